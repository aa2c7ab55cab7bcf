"""The TLS handshake of one connection, with a deadline, in the thread of that connection."""

import socket
import ssl
from contextlib import suppress
from time import monotonic

import structlog

from dicom_ai_node.tls.shown import Shown, shown

log = structlog.get_logger()

_LINGER_SECONDS = 2.0
_LINGER_BYTES = 1 << 20


class NoHandshake(Exception):
    """The peer speaks no TLS that we take, or has no certificate that we take; says which."""


def shaken(sock: ssl.SSLSocket, seconds: float, address: str) -> Shown | None:
    """Return the certificate that the peer has shown, `None` if it need not show one.

    Raises
    ------
    NoHandshake
        If there is no TLS; the peer has been told why, as far as TLS can.
    OSError
        If the connection breaks, or `seconds` are over.
    """
    sock.settimeout(seconds)
    try:
        sock.do_handshake()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        raise  # somebody who only looks whether the port is open
    except ssl.SSLError as error:
        # Words of OpenSSL and none of the certificate: that may be one of a person.
        why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else None
        log.warning("tls_refused", peer=address, status=error.reason, reason=why)
        _linger(sock)
        raise NoHandshake((why or error.reason or "no TLS").lower().replace("_", " ")) from error
    return shown(sock)


def _linger(sock: ssl.SSLSocket) -> None:
    """Wait a little for the peer to close first: a reset would take the alert away from it."""
    until, heard = monotonic() + _LINGER_SECONDS, 0
    with suppress(OSError):
        # Not the methods of an SSLSocket, which would try to understand what comes.
        socket.socket.shutdown(sock, socket.SHUT_WR)
        while heard < _LINGER_BYTES and (left := until - monotonic()) > 0:
            sock.settimeout(left)
            heard += (count := len(socket.socket.recv(sock, 1 << 16)))
            if not count:
                break
