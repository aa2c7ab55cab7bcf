"""Nobody holds a connection without using it: limits that the HTTP server itself has not."""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Patient(HttpToolsProtocol):
    """Speaks HTTP/1.1 and closes the connection of whoever neither sends nor takes anything.

    Nor does it read headers without an end.
    """

    head_seconds: ClassVar[float] = 30.0
    """From the connection, or the first byte of one more request, to the end of its headers."""
    head_bytes: ClassVar[int] = 64 * 1024
    quiet_seconds: ClassVar[float] = 120.0
    """Between two pieces of a body that is sent, or of an answer that is taken."""

    _timer: asyncio.TimerHandle | None = None
    _head_since: float | None = None
    _head_read: int = 0
    _moved_at: float = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at the clock."""
        super().connection_made(transport)
        self._head_since = self._moved_at = self.loop.time()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop looking."""
        self._rest()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Stop looking: a socket is open for hours, and has a pulse of its own."""
        self._rest()
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        """Note that something came, and how much of it before a request is known."""
        self._moved_at = self.loop.time()
        if not self._is_answering():
            self._head_since = self._head_since or self._moved_at
            self._head_read += len(data)
        super().data_received(data)
        if self._is_answering():
            self._head_since, self._head_read = None, 0
        elif self._head_read > self.head_bytes:
            self.transport.abort()

    def resume_writing(self) -> None:
        """Note that something was taken."""
        self._moved_at = self.loop.time()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Begin anew with what comes next."""
        self._head_since, self._head_read = None, 0
        super().on_response_complete()

    def _is_answering(self) -> bool:
        # There is no cycle before the first request, whatever its type says.
        return bool(self.cycle) and not self.cycle.response_complete

    def _look(self) -> None:
        now = self.loop.time()
        is_late = self._head_since is not None and now - self._head_since > self.head_seconds
        if is_late or (self._waits_for_peer() and now - self._moved_at > self.quiet_seconds):
            self.transport.abort()
            return
        self._timer = self.loop.call_later(self.head_seconds / 4, self._look)

    def _waits_for_peer(self) -> bool:
        """Return whether it is for the other side to go on."""
        if not self._is_answering():
            return False
        is_reading = self.cycle.more_body and not self.flow.read_paused
        return is_reading or self.flow.write_paused

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
