"""Answers of any size in little memory: parts of files and words between them, piece by piece."""

import asyncio
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import structlog
from fastapi import HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

log = structlog.get_logger()

CHUNK_BYTES = 1 << 20
"""So much is read and sent at once; of one answer never more than two of these are in memory."""

READ_BYTES = 1 << 19
"""So much is read by one call: what fits into a cache of the processor is sent from there."""

LARGE_BYTES = 1 << 16
"""What is at least as long is not copied."""

STALLED_SECONDS = 60.0
"""Whoever takes nothing for so long gets nothing more."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """So many bytes of a file; one that is open is closed when they have been read."""

    file: Path | BinaryIO
    start: int
    length: int


Piece: TypeAlias = bytes | FilePart


def size_of(pieces: Sequence[Piece]) -> int:
    """Return how many bytes they are."""
    return sum(len(one) if isinstance(one, bytes) else one.length for one in pieces)


class Pieces(Response):
    """Sends pieces one after the other, as fast as the other side takes them.

    The first ones are read here, so that construct this in a thread, and not in the event loop.

    Parameters
    ----------
    size_bytes
        `None` if nobody knows before they are made.

    Raises
    ------
    HTTPException
        404, if the first of them has been removed in this moment.
    """

    def __init__(
        self,
        pieces: Iterable[Piece],
        media_type: str,
        size_bytes: int | None,
        headers: Mapping[str, str],
        status: int = 200,
    ) -> None:
        self.status_code = status
        self.media_type = media_type
        self.background = None
        self._groups = groups(pieces)
        try:
            self._first, self._second = next(self._groups, []), next(self._groups, None)
        except FileNotFoundError as gone:
            raise HTTPException(404, "this is here no more") from gone
        if size_bytes is None and self._second is None:
            size_bytes = sum(map(len, self._first))
        length = {} if size_bytes is None else {"Content-Length": str(size_bytes)}
        self.init_headers({**headers, **length, "Content-Type": media_type})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        await send(start)
        if scope["method"] != "HEAD" and self._second is None:
            await _sent(send, self._first, is_last=True)
            return
        try:
            await self._body(scope, receive, send)
        finally:
            await run_in_threadpool(self._groups.close)

    async def _body(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await _sent(send, [b""], is_last=True)
            return
        group, following = self._first, self._second
        gone = asyncio.create_task(_gone(receive))
        try:
            while following is not None:
                if gone.done() or not await _sent(send, group, is_last=False):
                    return
                group, following = following, await run_in_threadpool(next, self._groups, None)
            await _sent(send, group, is_last=True)
        finally:
            gone.cancel()


async def _sent(send: Send, group: Sequence[bytes], *, is_last: bool) -> bool:
    """Return whether the other side has taken it in time."""
    end = len(group) - 1 if is_last else len(group)
    with suppress(TimeoutError):
        async with asyncio.timeout(STALLED_SECONDS):
            for place, some in enumerate(group or [b""]):
                more = place != max(end, 0)
                await send({"type": "http.response.body", "body": some, "more_body": more})
        return True
    log.warning("reader_stalled", seconds=STALLED_SECONDS)
    return False


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def groups(pieces: Iterable[Piece]) -> Generator[list[bytes], None, None]:
    """Yield the bytes of pieces, about `CHUNK_BYTES` at once.

    Small ones are put together, large ones come as they were read: copying them would take longer
    than sending them.

    Raises
    ------
    OSError
        If a file cannot be read, or is shorter than its part.
    """
    group: list[bytes] = []
    small: list[bytes] = []
    size = 0
    for part in _parts(pieces):
        if len(part) >= LARGE_BYTES:
            group += [b"".join(small), part] if small else [part]
            small = []
        else:
            small.append(part)
        size += len(part)
        if size >= CHUNK_BYTES:
            yield [*group, b"".join(small)] if small else group
            group, small, size = [], [], 0
    if size:
        yield [*group, b"".join(small)] if small else group


def _parts(pieces: Iterable[Piece]) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        elif isinstance(piece.file, Path):
            with piece.file.open("rb", buffering=0) as file:
                yield from _read(file.fileno(), piece)
        else:
            with piece.file:
                yield from _read(piece.file.fileno(), piece)


def _read(number: int, part: FilePart) -> Iterator[bytes]:
    at, end = part.start, part.start + part.length
    while at < end:
        some = os.pread(number, min(READ_BYTES, end - at), at)
        if not some:
            raise OSError("a file is shorter than it was")
        at += len(some)
        yield some
