"""Certificates, their keys, and files with secrets."""

import os
import ssl
import stat
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from dicom_ai_node.doctor.finding import Finding, fault, ok, warning
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.tls.files import Pair

SOON = timedelta(days=30)
_FOR_OTHERS = 0o077


def certificate(pair: Pair, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Look whether a certificate can be used, with its key, and until when."""
    try:
        pair.load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        leaf = pair.leaf()
    except ConfigError as wrong:
        yield fault("certificates", str(wrong), "put a certificate and its key there, in PEM")
        return
    yield from secret(f"{pair.place}.key", pair.key)
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    renew = "put a new one in its place: the node takes it up within a minute"
    if ends < now():
        yield fault("certificates", f"{pair.place} has expired on {ends:%Y-%m-%d}", renew)
    elif begins > now():
        yield fault(
            "certificates",
            f"{pair.place} is valid from {begins:%Y-%m-%d} on",
            "look at the clock, or ask for a certificate that is valid now",
        )
    elif ends - now() < SOON:
        yield warning("certificates", f"{pair.place} expires on {ends:%Y-%m-%d}", renew)
    else:
        yield ok("certificates", f"{pair.place} is valid until {ends:%Y-%m-%d}, its key fits")


def secret(place: str, path: Path) -> Iterator[Finding]:
    """Look whether a file with a secret is there, and for nobody else to read."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
    except OSError as error:
        yield fault(
            "secrets",
            f"{place}: {path} cannot be read: {error.strerror}",
            "put it there, readable by the node's account and nobody else",
        )
        return
    if (mode := stat.S_IMODE(found.st_mode)) & _FOR_OTHERS:
        yield fault(
            "secrets", f"{place}: others may read {path}, mode {mode:04o}", f"chmod 600 {path}"
        )
    elif found.st_size == 0:
        yield fault("secrets", f"{place}: {path} is empty", "write the secret into it")
    else:
        yield ok("secrets", f"{place}: {path}, mode {mode:04o}")


def secret_in_environment(place: str, name: str) -> Iterator[Finding]:
    """Look whether a secret is in the environment; that of the service may be another."""
    if os.environ.get(name):
        yield ok("secrets", f"{place}: {name} is in the environment")
    else:
        yield warning(
            "secrets",
            f"{place}: {name} is not in this environment",
            f"see that the service has it: EnvironmentFile= in the unit, or {place}: {{file: ...}}",
        )


def secret_of_the_unit(place: str, name: str) -> Iterator[Finding]:
    """Look whether a credential of systemd is here; only the service itself is given it."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and (Path(folder) / name).is_file():
        yield ok("secrets", f"{place}: the credential {name} is here")
    else:
        yield warning(
            "secrets",
            f"{place}: the credential {name} is given to the service only, and cannot be seen here",
            f"see that the unit has LoadCredential={name}:PATH",
        )
