"""One connection, read with a cap on every length and a deadline for every PDU, PS3.8 9.3.

What a peer says about lengths is believed only below a cap, and memory grows with what has
arrived, never with what was announced. A deadline is absolute: a byte now and then does not
prolong it.
"""

import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

PDU_HEADER_BYTES = 6
_FIRST_BUFFER_BYTES = 8192
_GLANCE_SECONDS = 0.5
"""How often a connection that waits looks whether it should leave."""

_LINGER_SECONDS = 2.0
_LINGER_BYTES = 1 << 20
"""How long, and for how much, we wait for a peer to close first."""


_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux only, and forgotten by the kernel after a while."""


class PeerGone(Exception):
    """The connection is over, in whatever way."""


class Breach(Exception):
    """The peer broke the protocol or fell silent.

    `reason` is that of an A-ABORT, PS3.8 Table 9-26.
    """

    def __init__(self, why: str, reason: int = 0) -> None:
        super().__init__(why)
        self.reason = reason


UNRECOGNIZED_PDU = 1
UNEXPECTED_PDU = 2
INVALID_PARAMETER = 6


class Wire:
    """A socket with a buffer and a deadline."""

    def __init__(self, sock: socket.socket, answer_seconds: float) -> None:
        self._sock = sock
        self._answer_seconds = answer_seconds
        self._deadline = monotonic() + answer_seconds
        self._buffer = memoryview(bytearray(_FIRST_BUFFER_BYTES))
        self._low = self._high = 0

    def within(self, seconds: float) -> None:
        """Set the deadline for everything that `take` reads from now on."""
        self._deadline = monotonic() + seconds

    def take(self, count: int) -> memoryview:
        """Return the next `count` bytes; the view is good until the next call.

        Raises
        ------
        Breach
            If they do not arrive before the deadline.
        PeerGone
            If the connection breaks.
        """
        if self._low == self._high:
            self._low = self._high = 0
        while self._high - self._low < count:
            self._make_room(count)
            try:
                self._receive(self._deadline - monotonic())
            except TimeoutError as error:
                raise Breach("too slow") from error
        view = self._buffer[self._low : self._low + count]
        self._low += count
        return view

    def reserve(self, count: int) -> None:
        """Get a buffer of `count` bytes: fewer and larger reads from here on."""
        self._move_to(memoryview(bytearray(max(count, self._high - self._low))))

    def wait(self, seconds: float, should_leave: Callable[[], bool]) -> bool:
        """Wait for the first byte of the next PDU; return False if we should leave instead.

        Raises
        ------
        Breach
            If nothing comes within `seconds`.
        PeerGone
            If the connection breaks.
        """
        until = monotonic() + seconds
        while self._low == self._high:
            if should_leave():
                return False
            self._low = self._high = 0
            left = until - monotonic()
            try:
                self._receive(min(left, _GLANCE_SECONDS))
            except TimeoutError as error:
                if left <= _GLANCE_SECONDS:
                    raise Breach("nothing came") from error
        return True

    def has_more(self) -> bool:
        """Return whether the peer has said something that was not taken yet; does not wait.

        Raises
        ------
        PeerGone
            If the connection is over.
        """
        if self._low == self._high:
            self._low = self._high = 0
            self._sock.settimeout(0)
            with suppress(BlockingIOError, ssl.SSLWantReadError):
                self._receive_now()
        return self._low < self._high

    def send(self, data: bytes | memoryview) -> None:
        """Send all of it.

        Raises
        ------
        PeerGone
            If the peer does not take it in time.
        """
        try:
            self._sock.settimeout(self._answer_seconds)
            self._sock.sendall(data)
        except OSError as error:
            raise PeerGone("the peer takes no answer") from error

    def abort(self, reason: int = 0) -> None:
        """Send an A-ABORT as the service provider, if the peer still listens, PS3.8 9.3.8."""
        self.send_if_possible(struct.pack(">BxLxxBB", 7, 4, 2, reason))

    def send_if_possible(self, data: bytes) -> None:
        """Send a last word, whether or not anyone listens."""
        with suppress(PeerGone):
            self.send(data)

    def linger(self) -> None:
        """Wait a little for the peer to close first; what it still says is thrown away.

        Closing with unread bytes makes the kernel reset the connection, and with it goes the
        rejection or the abort that the peer has not read yet.
        """
        self.within(_LINGER_SECONDS)
        with suppress(OSError, PeerGone):
            # Not the method of an SSLSocket, which would turn to plain text.
            socket.socket.shutdown(self._sock, socket.SHUT_WR)
            heard = 0
            while heard < _LINGER_BYTES:
                self._low = self._high = 0
                self._receive(self._deadline - monotonic())
                heard += self._high

    def _receive(self, seconds: float) -> None:
        if seconds <= 0:
            raise TimeoutError
        self._sock.settimeout(seconds)
        self._receive_now()

    def _receive_now(self) -> None:
        try:
            count = self._sock.recv_into(self._buffer[self._high :])
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            raise
        except OSError as error:
            raise PeerGone("the connection broke") from error
        if count == 0:
            raise PeerGone("the peer has closed")
        self._high += count
        if _QUICKACK is not None:
            # A sender with Nagle's algorithm, such as DCMTK as installed, holds back the rest of
            # its message until we acknowledge; delayed acknowledgements make that 40 ms each.
            with suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _make_room(self, count: int) -> None:
        if self._low + count <= len(self._buffer):
            return
        if self._low:
            self._move_to(self._buffer)
        if self._high == len(self._buffer):
            self._move_to(memoryview(bytearray(min(count, 2 * len(self._buffer)))))

    def _move_to(self, buffer: memoryview) -> None:
        rest = bytes(self._buffer[self._low : self._high])
        buffer[: len(rest)] = rest
        self._buffer, self._low, self._high = buffer, 0, len(rest)
