"""The certificate that the node shows: checked before use, taken up again when it changes."""

import ssl
import threading
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509

from dicom_ai_node.domain.errors import ConfigError

log = structlog.get_logger()

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2, with forward secrecy; all of TLS 1.3 are fine."""
LOOK_EVERY_SECONDS = 30.0


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what speaks TLS 1.2 and 1.3 with a certificate.

    Raises
    ------
    ConfigError
        If a file is not there, is not what it should be, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    load(context, certificate, key)
    return context


def load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Let connections from now on see this certificate.

    Raises
    ------
    ConfigError
        As `tls_context`; what was shown before stays.
    """
    _read(certificate, "certificate")
    _read(key, "key")
    leaf(certificate)

    def no_password() -> str:
        raise ConfigError(f"serve.tls.key: {key} asks for a password, and nobody is there to type")

    for one in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
        try:
            one.load_cert_chain(certificate, key, no_password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigError(f"serve.tls: {key} is not the key of {certificate}") from error
            raise ConfigError(f"serve.tls: {certificate} or {key} is no PEM file") from error


def leaf(certificate: Path) -> x509.Certificate:
    """Return the first certificate in a file.

    Raises
    ------
    ConfigError
        If there is none.
    """
    try:
        return x509.load_pem_x509_certificate(_read(certificate, "certificate"))
    except ValueError as error:
        raise ConfigError(f"serve.tls.certificate: {certificate} is no PEM file") from error


def expires_at(certificate: Path) -> datetime:
    """Return when a certificate expires."""
    return leaf(certificate).not_valid_after_utc


def names(certificate: Path) -> frozenset[str]:
    """Return the names of hosts in a certificate."""
    try:
        found = leaf(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


class Renewal(threading.Thread):
    """Looks whether somebody has put a new certificate into the place of the old one.

    `expires_at` is of the one that is in use, whatever lies in the file by now.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        certificate: Path,
        key: Path,
        every_seconds: float = LOOK_EVERY_SECONDS,
    ) -> None:
        super().__init__(daemon=True)
        self._context = context
        self._files = certificate, key
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._seen = self._stamps()
        self.expires_at = expires_at(certificate)

    def run(self) -> None:
        """Look until it is stopped."""
        while not self._stopped.wait(self._every_seconds):
            self.look()

    def look(self) -> None:
        """Take up what is new; half of it, while it is being replaced, is no reason to stop."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        try:
            load(self._context, *self._files)
            self.expires_at = expires_at(self._files[0])
        except ConfigError:
            log.warning("certificate_not_taken", reason="it cannot be used, or its key is another")
        else:
            log.info("certificate_renewed")
            self._seen = stamps

    def close(self) -> None:
        """Stop looking."""
        self._stopped.set()

    def _stamps(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in self._files)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"serve.tls.{what}: cannot read {path}: {error.strerror}") from error
