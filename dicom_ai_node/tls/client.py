"""TLS to a destination: whom we take for it, what we show, and why it came to nothing."""

import hashlib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509

from dicom_ai_node.domain.destination import PeerTls
from dicom_ai_node.domain.errors import PeerRejected
from dicom_ai_node.tls.files import Pair, distrust, trust
from dicom_ai_node.tls.server import CIPHERS, Profile, modern

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PASSING = ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLWantReadError, ssl.SSLWantWriteError


class _Socket(ssl.SSLSocket):
    """Remembers in its context why there is no TLS: pynetdicom only says that there is none."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of ssl
        """Agree on everything, and look at the certificate before anything is said."""
        context = self.context
        assert isinstance(context, ClientTls)  # noqa: S101 - nobody else makes these
        try:
            super().do_handshake(block)
        except ssl.SSLError as error:
            context.note(error)
            raise
        context.look_at(self.getpeercert(binary_form=True) or b"")

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive; in TLS 1.3 this is where we hear that our certificate is not taken."""
        with self._noting():
            return super().recv(buflen, flags)

    def recv_into(
        self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0
    ) -> int:
        """Receive, as `recv`."""
        with self._noting():
            return super().recv_into(buffer, nbytes, flags)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLError as error:
            context = self.context
            if isinstance(context, ClientTls):
                context.note(error)
            raise


class ClientTls(ssl.SSLContext):
    """The context of one association.

    Attributes
    ----------
    objection
        Why it could not be used, in a sentence for whoever has to do something about it.
    """

    sslsocket_class = _Socket
    name: str
    peer: str
    fingerprint: str | None = None
    objection: str | None = None

    def note(self, error: ssl.SSLError) -> None:
        """Keep what only a person can change; a broken line is no such thing."""
        reason = (error.reason or "").lower().replace("_", " ")
        if isinstance(error, _PASSING) or not reason:
            return
        if isinstance(error, ssl.SSLCertVerificationError):
            self.objection = f"the certificate of {self.peer} is not taken: {error.verify_message}"
        elif " alert " in f" {reason} ":
            self.objection = f"{self.peer} ends TLS and says: {reason}"
        else:
            self.objection = f"{self.peer} does not speak TLS 1.2 or 1.3 on this port: {reason}"

    def look_at(self, encoded: bytes) -> None:
        """Look whether a certificate is the one that is meant, where one is.

        Raises
        ------
        ssl.SSLError
            If it is another one, or has expired.
        """
        if self.fingerprint is None:
            return
        if hashlib.sha256(encoded).hexdigest() != self.fingerprint:
            self.objection = f"the certificate of {self.peer} is another than that of `fingerprint`"
        elif x509.load_der_x509_certificate(encoded).not_valid_after_utc < datetime.now(UTC):
            self.objection = f"the certificate of {self.peer} has expired"
        if self.objection is not None:
            raise ssl.SSLError(self.objection)

    def require(self) -> None:
        """Raise `PeerRejected` if there was no TLS, and it will be no better the next time."""
        if self.objection is not None:
            raise PeerRejected(self.objection)


def client_tls(said: PeerTls, peer: str) -> ClientTls:
    """Return the context for an association with `peer`, from its files as they are now.

    Raises
    ------
    ConfigError
        If a file cannot be used.
    """
    context = ClientTls(ssl.PROTOCOL_TLS_CLIENT)
    modern(context, CIPHERS[Profile.RFC8996_MODIFIED])
    context.peer, context.name, context.fingerprint = peer, said.name, said.fingerprint
    if said.fingerprint is not None:
        context.check_hostname = False  # that very certificate says more than a name
    if said.trusted is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        trust(context, said.place, said.trusted)
    if said.revoked is not None:
        distrust(context, said.place, said.revoked)
    if (own := own_pair(said)) is not None:
        own.load(context)
    return context


def own_pair(said: PeerTls) -> Pair | None:
    """Return what we show to a destination."""
    if said.certificate is None or said.key is None:
        return None
    return Pair(place=said.place, certificate=said.certificate, key=said.key)
