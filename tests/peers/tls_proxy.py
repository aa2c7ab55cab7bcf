"""A proxy that speaks TLS outside and plain HTTP inside, as nginx does: one request a connection."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.certificates import Pair

CLIENT = "192.0.2.77"
NAME = "node.example.org"


class TlsProxy(threading.Thread):
    """Passes requests to a port of this machine, and says from whom and for which name they were."""

    def __init__(self, pair: Pair, inner_port: int) -> None:
        super().__init__(daemon=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.certificate, pair.key)
        self._inner_port = inner_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        """Take one connection after another."""
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                with line, suppress(OSError), self._context.wrap_socket(line, True) as outer:
                    self._pass(outer)

    def _pass(self, outer: socket.socket) -> None:
        asked = b"".join(_request(outer))
        head, _, body = asked.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith(b"connection:")]
        # Added at the end of what is there already, as proxies do.
        kept += [
            f"X-Forwarded-For: {CLIENT}".encode(),
            b"X-Forwarded-Proto: https",
            f"X-Forwarded-Host: {NAME}".encode(),
            b"Connection: close",
        ]
        with socket.create_connection(("127.0.0.1", self._inner_port)) as inner:
            inner.sendall(b"\r\n".join(kept) + b"\r\n\r\n" + body)
            while part := inner.recv(65_536):
                outer.sendall(part)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(5)


def _request(line: socket.socket) -> Iterator[bytes]:
    """Yield the bytes of one request with a Content-Length, or without a body."""
    asked = b""
    while b"\r\n\r\n" not in asked:
        part = line.recv(65_536)
        if not part:
            break
        asked += part
        yield part
    head, _, body = asked.partition(b"\r\n\r\n")
    found = [one for one in head.lower().split(b"\r\n") if one.startswith(b"content-length:")]
    missing = (int(found[0].split(b":")[1]) if found else 0) - len(body)
    while missing > 0:
        part = line.recv(65_536)
        missing -= len(part)
        yield part
