"""Audit messages on their way: RFC 5424 lines over TLS (RFC 5425), or plain on this machine.

Syslog has no answers. A connection is closed in good order after each batch, and what was sent
counts as delivered when the other side has closed it, too: a receiver that dies with bytes unread
resets the connection instead.
"""

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from typing import Literal

from dicom_ai_node.domain.audit import AuditRecord, Outcome
from dicom_ai_node.domain.errors import NodeError, PeerUnavailable

SECONDS = 20.0
"""How long the repository may take for anything."""
AUTHPRIV = 10
"""The facility of security messages, RFC 5424 6.2.1."""
MESSAGE_ID = "DICOM+RFC3881"
APPLICATION = "dicom-ai-node"
_BOM = b"\xef\xbb\xbf"
_NOTICE, _WARNING, _ERROR, _CRITICAL = 5, 4, 3, 2
_SEVERITY = {
    Outcome.SUCCESS: _NOTICE,
    Outcome.MINOR_FAILURE: _WARNING,
    Outcome.SERIOUS_FAILURE: _ERROR,
    Outcome.MAJOR_FAILURE: _CRITICAL,
}


class NotTrusted(PeerUnavailable):
    """The repository shows a certificate that we do not accept, or does not accept ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where audit messages go; `context` says whom to trust, `None` without TLS."""

    host: str
    port: int
    transport: Literal["tls", "tcp", "udp"] = "tls"
    context: ssl.SSLContext | None = None


def line(record: AuditRecord, host: str, process: str) -> bytes:
    """Return a record as RFC 5424 writes it, the message in UTF-8 behind its mark."""
    message = record.message
    priority = AUTHPRIV * 8 + _SEVERITY[message.outcome]
    at = message.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    head = f"<{priority}>1 {at} {_name(host)} {APPLICATION} {process or '-'} {MESSAGE_ID} - "
    return head.encode("ascii") + _BOM + message.text.encode()


def _name(host: str) -> str:
    """Return the name of a machine as a header takes it: printable ASCII, at most 255."""
    return "".join(one for one in host if "!" <= one <= "~")[:255] or "-"


class Syslog:
    """A way to an audit repository."""

    def __init__(self, repository: Repository, *, host: str, process: str) -> None:
        self._to = repository
        self._host = host
        self._process = process

    def send(self, records: Sequence[AuditRecord]) -> NodeError | None:
        """Send records in their order; `None` if the repository has all of them. Never raises."""
        lines = [line(record, self._host, self._process) for record in records]
        way: Callable[[Sequence[bytes]], None] = self._send_stream
        if self._to.transport == "udp":
            way = self._send_datagrams
        try:
            way(lines)
        except ssl.SSLCertVerificationError:
            return NotTrusted("the certificate of the audit repository is not accepted")
        except ssl.SSLError as trouble:
            if "ALERT" in (trouble.reason or ""):
                return NotTrusted("the audit repository does not accept our certificate")
            return PeerUnavailable(f"the audit repository does not speak TLS ({trouble.reason})")
        except OSError as trouble:
            kind = type(trouble).__name__
            return PeerUnavailable(f"the audit repository does not answer ({kind})")
        return None

    def _send_stream(self, lines: Sequence[bytes]) -> None:
        address = self._to.host, self._to.port
        with socket.create_connection(address, timeout=SECONDS) as plain:
            if self._to.context is None:
                plain.sendall(b"".join(map(_framed, lines)))
                _end(plain)
                return
            name = self._to.host
            with self._to.context.wrap_socket(plain, server_hostname=name) as sock:
                sock.sendall(b"".join(map(_framed, lines)))
                _end_tls(sock)

    def _send_datagrams(self, lines: Sequence[bytes]) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(
            self._to.host, self._to.port, type=socket.SOCK_DGRAM
        )[0]
        with closing(socket.socket(family, kind, protocol)) as sock:
            sock.settimeout(SECONDS)
            sock.connect(address)  # so that a port where nobody listens is told
            for each in lines:
                sock.send(each)


def _framed(one: bytes) -> bytes:
    """Return a line behind its length: octet counting, RFC 5425 4.3 and RFC 6587 3.4.1."""
    return b"%d %s" % (len(one), one)


def _end_tls(sock: ssl.SSLSocket) -> None:
    """Say that this was all, and wait until the other side has read it to its end.

    Raises
    ------
    OSError
        If it has not, as far as we know.
    """
    try:
        _end(sock.unwrap())
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return  # it has closed without a word, which it can only when nothing was left to read


def _end(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(4096):
        pass
