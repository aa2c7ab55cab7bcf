"""Multipart messages, RFC 2387 and PS3.18 8.6.1.2: one part after the other, never all at once."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dicom_ai_node.serve.dicomweb.sending import Piece, size_of


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its Content-Type, its bytes, and where to get it alone."""

    content_type: str
    pieces: Iterable[Piece]
    location: str = ""


class Message:
    """A message whose boundary follows from what it holds, so that the same is the same again."""

    def __init__(self, media_type: str, tag: str) -> None:
        self._boundary = hashlib.sha256(tag.encode()).hexdigest()[:40]
        self.content_type = f'multipart/related; type="{media_type}"; boundary={self._boundary}'

    def pieces(self, parts: Iterable[Part]) -> Iterator[Piece]:
        """Yield the message."""
        is_first = True
        for part in parts:
            yield self._head(part, is_first=is_first)
            yield from part.pieces
            is_first = False
        yield f"\r\n--{self._boundary}--\r\n".encode()

    def size_bytes(self, parts: Sequence[Part], sizes: Sequence[int]) -> int:
        """Return how long the message is whose parts hold so many bytes."""
        heads = sum(len(self._head(part, is_first=place == 0)) for place, part in enumerate(parts))
        return heads + sum(sizes) + len(self._boundary) + 8

    def _head(self, part: Part, *, is_first: bool) -> bytes:
        location = f"Content-Location: {part.location}\r\n" if part.location else ""
        before = "" if is_first else "\r\n"
        return (
            f"{before}--{self._boundary}\r\nContent-Type: {part.content_type}\r\n{location}\r\n"
        ).encode()


__all__ = ["Message", "Part", "Piece", "size_of"]
