"""Nobody holds a connection without using it: deadlines that the HTTP server itself has not."""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol


class Patient(H11Protocol):
    """Speaks HTTP/1.1 and closes the connection of whoever neither sends nor takes anything."""

    head_seconds: ClassVar[float] = 30.0
    """From the connection, or the first byte of one more request, to the end of its headers."""
    quiet_seconds: ClassVar[float] = 120.0
    """Between two pieces of a body that is sent, or of an answer that is taken."""

    _timer: asyncio.TimerHandle | None = None
    _head_since: float | None = None
    _moved_at: float = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at the clock."""
        super().connection_made(transport)
        self._head_since = self._moved_at = self.loop.time()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note that something came."""
        self._moved_at = self.loop.time()
        if not self._is_answering() and self._head_since is None:
            self._head_since = self._moved_at
        super().data_received(data)
        if self._is_answering():
            self._head_since = None

    def resume_writing(self) -> None:
        """Note that something was taken."""
        self._moved_at = self.loop.time()
        super().resume_writing()

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
