"""The network as it is: a TCP proxy that is slow, cuts the line or swallows what it is given."""

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self


class Proxy:
    """Passes bytes on to `port` of loopback until it fails on purpose.

    Parameters
    ----------
    cut_after
        Reset both sides once so many bytes have come from the client.
    swallow_after
        Keep the line open, but pass nothing on in either direction, once so many bytes have
        come from the client.
    cut_answers_after
        Reset both sides instead of passing on the answer byte with this number.
    swallow_answers
        Pass on what the client says, but nothing of what it is answered.
    delay_seconds
        Pass on each piece so much later, in both directions.
    """

    def __init__(
        self,
        port: int,
        *,
        cut_after: int | None = None,
        swallow_after: int | None = None,
        cut_answers_after: int | None = None,
        swallow_answers: bool = False,
        delay_seconds: float = 0.0,
    ) -> None:
        self._target = port
        self._swallow_answers = swallow_answers
        self._delay_seconds = delay_seconds
        self._cut_after = cut_after
        self._swallow_after = swallow_after
        self._cut_answers_after = cut_answers_after
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0

    def __enter__(self) -> Self:
        """Start to listen."""
        self._run(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every line."""
        _close(self._listener)
        for line in self._sockets:
            _close(line)
        for thread in self._threads:
            thread.join(10)

    def fall_silent(self, *, after: int | None = None, answers: bool = False) -> None:
        """Swallow from now on: all after so many bytes of the client, or only what it is answered."""
        self._swallow_after, self._swallow_answers = after, answers

    def heal(self) -> None:
        """Pass everything on from now on, at once."""
        self._cut_after = self._swallow_after = self._cut_answers_after = None
        self._swallow_answers, self._delay_seconds = False, 0.0

    def _run(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except ConnectionRefusedError:
                    client.close()
                    continue
                self._sockets += [client, server]
                self._run(self._forward, client, server)
                self._run(self._back, client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while chunk := client.recv(4096):
                passed += len(chunk)
                time.sleep(self._delay_seconds)
                if self._cut_after is not None and passed > self._cut_after:
                    break
                if self._swallow_after is None or passed <= self._swallow_after:
                    server.sendall(chunk)
        _close(client)
        _close(server)

    def _back(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while chunk := server.recv(4096):
                passed += len(chunk)
                time.sleep(self._delay_seconds)
                if self._cut_answers_after is not None and passed > self._cut_answers_after:
                    break
                if self._swallow_after is None and not self._swallow_answers:
                    client.sendall(chunk)
        _close(client)
        _close(server)


def _close(line: socket.socket) -> None:
    # shutdown wakes a thread that waits in accept or recv, close alone does not.
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()
