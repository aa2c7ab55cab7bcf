"""The body of an HTTP request, as it comes off the wire, with a deadline for every piece."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.receive.multipart import TooMuch

BLOCK_BYTES = 256 << 10
"""What is handed on at once."""

_LINGER_BYTES = 4 << 20
_LINGER_SECONDS = 2.0


class Broken(Exception):
    """The client has gone before its body has come in full."""


class TooSlow(NodeError):
    """A body does not come as fast as it must."""

    http_status = 408


class Body:
    """One body: read with `blocks`, and by `linger` if it is not wanted.

    Parameters
    ----------
    receive
        Returns the next message of the request, as ASGI has it.
    seconds
        Within which each block must come: a byte now and then does not prolong it.
    longest_bytes
        How long the body may be.
    """

    def __init__(
        self, receive: Callable[[], Awaitable[Any]], seconds: float, longest_bytes: int
    ) -> None:
        self._receive = receive
        self._seconds = seconds
        self._left_bytes = longest_bytes
        self._is_read = False

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yield the body in blocks of at least `BLOCK_BYTES`, and a last one.

        Raises
        ------
        Broken
            If the client goes.
        TooSlow
            If one of them takes too long.
        TooMuch
            If it does not end.
        """
        clock = asyncio.get_running_loop().time
        gathered, until = bytearray(), clock() + self._seconds
        while not self._is_read:
            try:
                async with asyncio.timeout_at(until):
                    gathered += await self._next()
            except (Broken, TimeoutError) as error:
                yield bytes(gathered)  # there may be whole instances in it
                if isinstance(error, Broken):
                    raise
                raise TooSlow("the body does not come fast enough") from error
            if len(gathered) >= BLOCK_BYTES:
                yield bytes(gathered)
                gathered, until = bytearray(), clock() + self._seconds
        if gathered:
            yield bytes(gathered)

    async def linger(self) -> bool:
        """Read on for a little, and return whether the end of the body was reached.

        A client that is still sending does not hear an answer if the connection breaks under it.
        """
        left_bytes = _LINGER_BYTES
        with suppress(TimeoutError, Broken, TooMuch):
            async with asyncio.timeout(_LINGER_SECONDS):
                while left_bytes > 0 and not self._is_read:
                    left_bytes -= len(await self._next())
        return self._is_read

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] != "http.request":
            raise Broken
        chunk: bytes = message.get("body", b"")
        self._is_read = not message.get("more_body", False)
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise TooMuch("the request is too large")
        return chunk
