"""The certificate that a peer has shown, as far as anybody asks."""

import hashlib
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A certificate that OpenSSL has verified.

    Attributes
    ----------
    fingerprint
        The sha256 of all of it, as 64 digits.
    names
        The names of hosts in it; the common name only where it has none, as RFC 6125 6.4.4.
    """

    fingerprint: str
    names: frozenset[str] = field(default_factory=frozenset)

    def is_meant_by(self, said: str) -> bool:
        """Return whether it is the one of this fingerprint or name."""
        return said == self.fingerprint or said.lower() in self.names


def shown(sock: ssl.SSLSocket) -> Shown | None:
    """Return what the peer has shown, `None` if nothing."""
    encoded, read = sock.getpeercert(binary_form=True), sock.getpeercert()
    if not encoded or not read:
        return None
    return Shown(fingerprint=hashlib.sha256(encoded).hexdigest(), names=_names(read))


def _names(read: Mapping[str, Any]) -> frozenset[str]:
    hosts = frozenset(value for kind, value in read.get("subjectAltName", ()) if kind == "DNS")
    common = [value for kind, value in _subject(read) if kind == "commonName"]
    # Of several common names none is the one.
    found = hosts or (common if len(common) == 1 else ())
    return frozenset(name.lower() for name in found)


def _subject(read: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return (pair for relative in read.get("subject", ()) for pair in relative)
