"""Reads a multipart/related body piece by piece, RFC 2046 5.1 and RFC 2387, in constant memory.

Bytes go in as they come off the wire, in whatever pieces; parts come out. Nothing is kept but the
header of a part, and of its data no more than a boundary is long.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from dicom_ai_node.domain.errors import NotUnderstood, Refused

LONGEST_BOUNDARY = 200
"""RFC 2046 allows 70; Orthanc sends 73."""
LONGEST_HEADERS_BYTES = 16 << 10
LONGEST_PREAMBLE_BYTES = 64 << 10
"""Text before the first boundary, which nobody looks at."""
LONGEST_PADDING_BYTES = 256
"""White space between a boundary and the end of its line."""
MOST_PARTS = 20_000

_CRLF = b"\r\n"
_END_OF_HEADERS = b"\r\n\r\n"
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class TooMuch(Refused):
    """A body, or what is in it, is larger than this node takes."""

    dimse_status = 0xA700
    http_status = 413


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part begins; the names of its headers are in lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """Some bytes of the part; the view is good until the next piece is fed."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The part has come in full."""


Event: TypeAlias = PartBegins | PartData | PartEnds


class _At(Enum):
    PREAMBLE = auto()
    LINE = auto()  # the rest of the line that begins with a boundary
    HEADERS = auto()
    DATA = auto()
    EPILOGUE = auto()


class Multipart:
    """The parts of one body.

    Raises
    ------
    NotUnderstood
        If `boundary` cannot be one.
    """

    def __init__(self, boundary: str, most_parts: int = MOST_PARTS) -> None:
        if len(boundary) > LONGEST_BOUNDARY or _BOUNDARY.fullmatch(boundary) is None:
            raise NotUnderstood("the boundary in Content-Type is missing or cannot be one")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._most_parts = most_parts
        self._parts = 0
        self._at = _At.PREAMBLE
        # The first boundary may be the very first thing: then no line ends before it.
        self._rest = _CRLF
        self._kept_from = 0
        self._passed = 0  # bytes of the preamble, or of headers, that have been searched
        self._silent = 0  # bytes at the beginning of the rest that are not data

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Yield what is in the body up to the end of `piece`.

        Raises
        ------
        NotUnderstood
            If the body is not what its Content-Type says.
        TooMuch
            If it has more parts than anybody sends.
        """
        data = self._rest + piece
        at: int | None = 0
        while at is not None:
            self._kept_from = at
            at, events = self._step(data, at)
            yield from events
        self._rest = data[self._kept_from :]

    def close(self) -> None:
        """Say that the body has ended.

        Raises
        ------
        NotUnderstood
            If it has ended too early.
        """
        if self._at is _At.PREAMBLE:
            raise NotUnderstood("the boundary that Content-Type names is not in the body")
        if self._at is not _At.EPILOGUE:
            raise NotUnderstood("the body ends before its last boundary")

    def _step(self, data: bytes, at: int) -> tuple[int | None, tuple[Event, ...]]:
        """Return where to go on, `None` if more has to come first, and what was there."""
        match self._at:
            case _At.PREAMBLE:
                return self._preamble(data, at), ()
            case _At.LINE:
                return self._line(data, at), ()
            case _At.HEADERS:
                return self._headers(data, at)
            case _At.DATA:
                return self._data(data, at)
            case _At.EPILOGUE:
                self._kept_from = len(data)
                return None, ()

    def _preamble(self, data: bytes, at: int) -> int | None:
        found = data.find(self._delimiter, at)
        if found < 0:
            self._kept_from = max(at, len(data) - len(self._delimiter) + 1)
        self._passed += (found if found >= 0 else self._kept_from) - at
        if self._passed > LONGEST_PREAMBLE_BYTES + len(_CRLF):
            raise NotUnderstood("the boundary that Content-Type names is not in the body")
        if found < 0:
            return None
        self._at = _At.LINE
        return found + len(self._delimiter)

    def _line(self, data: bytes, at: int) -> int | None:
        end = at
        while data[end : end + 1] in (b" ", b"\t") and end - at <= LONGEST_PADDING_BYTES:
            end += 1
        following = data[end : end + 2]
        if end - at > LONGEST_PADDING_BYTES:
            raise NotUnderstood("the line of a boundary is too long")
        if len(following) < len(_CRLF):
            return None
        if following == b"--" and end == at:
            self._at = _At.EPILOGUE
            return end + 2
        if following != _CRLF:
            raise NotUnderstood("a line begins with the boundary and does not end with it")
        self._parts += 1
        if self._parts > self._most_parts:
            raise TooMuch(f"a request may have at most {self._most_parts} parts")
        self._at, self._passed = _At.HEADERS, 0
        return end  # with the end of this line, so that a part without headers looks alike

    def _headers(self, data: bytes, at: int) -> tuple[int | None, tuple[Event, ...]]:
        found = data.find(_END_OF_HEADERS, at + max(0, self._passed - 3))
        self._passed = len(data) - at
        length = found - at if found >= 0 else self._passed - len(_END_OF_HEADERS) + 1
        if length > LONGEST_HEADERS_BYTES:
            raise NotUnderstood("the header of a part is too long")
        if found < 0:
            return None, ()
        self._at, self._silent = _At.DATA, len(_CRLF)
        # With the empty line: the boundary may come at once, and begins with the end of a line.
        return found + 2, (PartBegins(_parsed(data[at:found])),)

    def _data(self, data: bytes, at: int) -> tuple[int | None, tuple[Event, ...]]:
        found = data.find(self._delimiter, at)
        begin = at + self._silent
        if found >= 0:
            self._at, self._silent = _At.LINE, 0
            events: tuple[Event, ...] = (PartEnds(),)
            if found > begin:
                events = (PartData(memoryview(data)[begin:found]), PartEnds())
            return found + len(self._delimiter), events
        sure = len(data) - len(self._delimiter) + 1
        if sure <= begin:
            return None, ()
        self._kept_from, self._silent = sure, 0
        return None, (PartData(memoryview(data)[begin:sure]),)


def _parsed(block: bytes) -> dict[str, str]:
    """Return the headers of a part by their names in lower case, RFC 5322 2.2."""
    headers: dict[str, str] = {}
    name = ""
    for line in block.split(_CRLF)[1:]:
        if line[:1] in (b" ", b"\t") and name:
            headers[name] += " " + line.decode("latin-1").strip()
            continue
        before, colon, after = line.partition(b":")
        if not colon or _NAME.fullmatch(before) is None:
            raise NotUnderstood("a part has a line in its header that is no header")
        name = before.decode("ascii").lower()
        if name in headers:
            raise NotUnderstood("a part has a header twice")
        headers[name] = after.decode("latin-1").strip()
    return headers
