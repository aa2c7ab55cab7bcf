"""Answers with an ETag: not again what is known already, and parts of what lies in one piece."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fastapi import HTTPException, Request
from fastapi.responses import Response

from dicom_ai_node.serve.dicomweb.held import is_known
from dicom_ai_node.serve.dicomweb.sending import FilePart, Piece, Pieces, size_of

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_HEADERS = {
    "Cache-Control": "private",  # a proxy for many must not keep what one may see
    "Vary": "Accept, Accept-Encoding, Authorization, Cookie",
    "X-Content-Type-Options": "nosniff",
}


def headers_for(tag: str) -> dict[str, str]:
    """Return the headers of everything that is retrieved."""
    return {**_HEADERS, "ETag": tag}


def known(request: Request, tag: str) -> Response | None:
    """Return the answer to whoever has it already, `None` for others."""
    return Response(status_code=304, headers=headers_for(tag)) if is_known(request, tag) else None


def streamed(
    pieces: Iterable[Piece], content_type: str, tag: str, size_bytes: int | None = None
) -> Response:
    """Return an answer of any size."""
    return Pieces(pieces, content_type, size_bytes, headers_for(tag))


def in_one_piece(
    request: Request, pieces: Sequence[Piece], content_type: str, tag: str
) -> Response:
    """Return an answer of which a part may be asked for, RFC 9110 14."""
    size = size_of(pieces)
    headers = {**headers_for(tag), "Accept-Ranges": "bytes"}
    try:
        span = _span(request, size, tag)
    except HTTPException:
        _let_go(pieces)
        raise
    if span is None:
        return Pieces(pieces, content_type, size, headers)
    first, last = span
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Pieces(_cut(pieces, first, last + 1), content_type, last + 1 - first, headers, 206)


def _let_go(pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        if isinstance(piece, FilePart) and not isinstance(piece.file, Path):
            piece.file.close()


def _span(request: Request, size: int, tag: str) -> tuple[int, int] | None:
    """Return the first and the last byte asked for; `None` for all, and for several spans."""
    found = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if not found or request.headers.get("if-range", tag) != tag or found[0] == "bytes=-":
        return None
    begin, end = found[1], found[2]
    if begin:
        first, last = int(begin[:20]), min(int(end[:20]) if end else size, size - 1)
    else:
        first, last = max(0, size - int(end[:20])), size - 1
    if begin and end and int(end[:20]) < int(begin[:20]):
        return None  # no range at all, RFC 9110 14.1.1
    if first > last:
        raise HTTPException(416, f"there are {size} bytes", {"Content-Range": f"bytes */{size}"})
    return first, last


def _cut(pieces: Sequence[Piece], begin: int, end: int) -> list[Piece]:
    cut: list[Piece] = []
    at = 0
    for piece in pieces:
        size = size_of([piece])
        first, last = max(begin - at, 0), min(end - at, size)
        at += size
        if first >= last:
            continue
        if isinstance(piece, bytes):
            cut.append(piece[first:last])
        else:
            cut.append(FilePart(piece.file, piece.start + first, last - first))
    return cut
