"""Certificates, keys and trusted CAs as files in PEM: checked before they are used."""

import hashlib
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dicom_ai_node.domain.errors import ConfigError

_LIST = re.compile(b"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate with its chain, and its key; `place` is where the configuration names them."""

    place: str
    certificate: Path
    key: Path

    @property
    def files(self) -> Sequence[Path]:
        """Return both."""
        return self.certificate, self.key

    def load(self, context: ssl.SSLContext) -> None:
        """Let connections from now on see this certificate.

        Raises
        ------
        ConfigError
            If a file is not there, is not what it should be, or the two do not belong together;
            what was shown before stays.
        """
        _read(self.place, "certificate", self.certificate)
        _read(self.place, "key", self.key)
        self.leaf()

        def no_password() -> str:
            raise ConfigError(
                f"{self.place}.key: {self.key} asks for a password, and nobody is there to type"
            )

        for one in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
            try:
                one.load_cert_chain(self.certificate, self.key, no_password)
            except ssl.SSLError as error:
                raise ConfigError(self._mistake(error)) from error

    def _mistake(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{self.place}: {self.key} is not the key of {self.certificate}"
        if error.reason and error.reason.endswith(("KEY_TOO_SMALL", "MD_TOO_WEAK")):
            return f"{self.place}.certificate: {self.certificate} is too weak to be taken by others"
        return f"{self.place}: {self.certificate} or {self.key} is no PEM file"

    def leaf(self) -> x509.Certificate:
        """Return the first certificate in the file.

        Raises
        ------
        ConfigError
            If there is none.
        """
        try:
            return x509.load_pem_x509_certificate(
                _read(self.place, "certificate", self.certificate)
            )
        except ValueError as error:
            raise ConfigError(
                f"{self.place}.certificate: {self.certificate} is no PEM file"
            ) from error

    def expires_at(self) -> datetime:
        """Return when the certificate expires."""
        return self.leaf().not_valid_after_utc

    def fingerprint(self) -> str:
        """Return the sha256 of the certificate."""
        return hashlib.sha256(self.leaf().public_bytes(Encoding.DER)).hexdigest()

    def names(self) -> frozenset[str]:
        """Return the names of hosts in the certificate."""
        try:
            found = self.leaf().extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return frozenset()
        return frozenset(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


def trust(context: ssl.SSLContext, place: str, trusted: Path) -> None:
    """Take the word of the CAs in a file, and of single certificates in it for themselves.

    Raises
    ------
    ConfigError
        If there are none.
    """
    _read(place, "trusted", trusted)
    try:
        context.load_verify_locations(trusted)
    except ssl.SSLError as error:
        raise ConfigError(f"{place}.trusted: {trusted} holds no certificate in PEM") from error
    # Without a CA of the hospital its devices make their own certificates.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def distrust(context: ssl.SSLContext, place: str, revoked: Path) -> None:
    """Take no certificate that a list in a file names, RFC 5280 5.

    From then on each CA needs its list there, and a list that is past its next update lets nobody
    in: an old one may be what a thief has put back.

    Raises
    ------
    ConfigError
        If there is none.
    """
    revocation_lists(place, revoked)
    context.load_verify_locations(revoked)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def revocation_lists(place: str, revoked: Path) -> Sequence[x509.CertificateRevocationList]:
    """Return the lists in a file in PEM.

    Raises
    ------
    ConfigError
        If there is none.
    """
    parts = _LIST.findall(_read(place, "revoked", revoked))
    try:
        found = [x509.load_pem_x509_crl(part) for part in parts]
    except ValueError as error:
        raise ConfigError(f"{place}.revoked: {revoked} holds a list that is damaged") from error
    if not found:
        raise ConfigError(
            f"{place}.revoked: {revoked} holds no list of revoked certificates in PEM"
        )
    return found


def _read(place: str, what: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{place}.{what}: cannot read {path}: {error.strerror}") from error
