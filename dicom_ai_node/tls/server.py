"""What our ports speak: HTTPS, and DICOM over TLS as PS3.15 Annex B wants it."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from dicom_ai_node.tls.files import Pair, distrust, trust
from dicom_ai_node.tls.renewal import Renewal


class Profile(StrEnum):
    """A secure transport connection profile; the value is that of the configuration."""

    RFC8996 = "rfc8996"
    """BCP 195, RFC 8996, PS3.15 B.12."""
    RFC8996_MODIFIED = "rfc8996-modified"
    """With more authenticated ciphers, PS3.15 B.13, as far as OpenSSL has them."""


_SOUND = "@SECLEVEL=2:"
"""RSA of 2048 bits, curves of 224 bits and SHA-2 at least, whatever the machine's own default."""

CIPHERS: Mapping[Profile, str] = MappingProxyType({
    Profile.RFC8996: _SOUND + "ECDHE+AESGCM",
    Profile.RFC8996_MODIFIED: _SOUND + "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AESCCM:!AESCCM8",
})  # fmt: skip
"""Of TLS 1.2, with forward secrecy and authenticated; all of TLS 1.3 are fine."""

HTTPS_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def modern(context: ssl.SSLContext, ciphers: str) -> None:
    """Let a context speak TLS 1.2 and 1.3 only."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    context.options |= ssl.OP_NO_RENEGOTIATION


def https_context(pair: Pair) -> ssl.SSLContext:
    """Return what speaks HTTPS with a certificate.

    Raises
    ------
    ConfigError
        If a file is not there, is not what it should be, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    modern(context, HTTPS_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    pair.load(context)
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomTls:
    """How a port for DICOM speaks TLS.

    Attributes
    ----------
    trusted
        CAs; with them whoever connects has to show a certificate.
    revoked
        Lists of certificates that these CAs have taken back.
    """

    pair: Pair
    trusted: Path | None = None
    revoked: Path | None = None
    profile: Profile = Profile.RFC8996

    @property
    def files(self) -> Sequence[Path]:
        """Return everything that may be replaced."""
        others = (self.trusted, self.revoked)
        return (*self.pair.files, *(one for one in others if one is not None))

    def context(self) -> ssl.SSLContext:
        """Return what speaks it.

        Raises
        ------
        ConfigError
            If a file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        modern(context, CIPHERS[self.profile])
        # A resumed session would be one whose certificate nobody looks at again.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        self.pair.load(context)
        if self.trusted is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            trust(context, self.pair.place, self.trusted)
        if self.revoked is not None:
            distrust(context, self.pair.place, self.revoked)
        return context


class KeptTls:
    """What a port speaks now; made anew, CAs included, when one of its files has changed.

    Raises
    ------
    ConfigError
        If a file cannot be used at first.
    """

    def __init__(self, said: DicomTls) -> None:
        self._said = said
        self._context = said.context()
        self.renewal = Renewal(said.files, self._take)

    def __call__(self) -> ssl.SSLContext:
        """Return the context for a new connection; those that are open keep theirs."""
        return self._context

    def _take(self) -> None:
        self._context = self._said.context()
