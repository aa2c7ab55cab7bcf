"""Where the elements of a Part 10 file lie, found without decoding them: PS3.10 7.1, PS3.5 7.

What lies in the store has been walked over and found whole when it came; that a file is damaged
is told here all the same, by `Unreadable`.
"""

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import Struct, error
from typing import NamedTuple

from dicom_ai_node.domain.errors import NotUnderstood
from dicom_ai_node.domain.part10 import data_set_in

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS = 0xFFFE
_MAX_DEPTH = 64
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR",
                   b"UT", b"UV"))  # fmt: skip


class Unreadable(ValueError):
    """The file is damaged; the message quotes nothing of it."""


class Element(NamedTuple):
    """Where a value lies; `vr` is empty in Implicit VR."""

    tag: int
    vr: bytes
    at: int
    length: int


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a data set is written down."""

    is_implicit: bool
    is_little: bool

    @property
    def headers(self) -> tuple[Struct, Struct, Struct]:
        """Return the layouts of an implicit, a short and a long element header."""
        return _LITTLE if self.is_little else _BIG


_LITTLE = (Struct("<HHL"), Struct("<HH2sH"), Struct("<L"))
_BIG = (Struct(">HHL"), Struct(">HH2sH"), Struct(">L"))


class Part10:
    """An open Part 10 file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        try:
            self.transfer_syntax_uid, self.start = data_set_in(data)
        except NotUnderstood as cause:
            raise Unreadable(str(cause)) from cause
        self.encoding = Encoding(
            is_implicit=self.transfer_syntax_uid == IMPLICIT_LITTLE,
            is_little=self.transfer_syntax_uid != EXPLICIT_BIG,
        )

    def elements(self) -> Iterator[Element]:
        """Yield the elements at the top level."""
        return elements(self.data, self.start, len(self.data), self.encoding)

    def fragments(self, at: int) -> Iterator[tuple[int, int]]:
        """Yield where each item of encapsulated pixel data lies, and its length, PS3.5 A.4."""
        header = _LITTLE[0]
        while True:
            group, element, length = header.unpack_from(self.data, at)
            tag = group << 16 | element
            if tag == SEQUENCE_END:
                return
            at += 8
            if tag != ITEM or at + length > len(self.data):
                raise Unreadable("encapsulated pixel data holds something that is no fragment")
            yield at, length
            at += length


@contextmanager
def opened(path: Path) -> Iterator[Part10]:
    """Open a Part 10 file and look at it.

    Raises
    ------
    Unreadable
        If it is none, or damaged where one looks.
    """
    if path.stat().st_size == 0:
        raise Unreadable("the file is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            yield Part10(data)
        except (error, IndexError) as fault:
            raise Unreadable("the file ends too early") from fault


def elements(data: mmap.mmap, at: int, end: int, encoding: Encoding) -> Iterator[Element]:
    """Yield the elements of one level, up to `end` or to the delimiter of the item."""
    while at + 8 <= end:
        found = _element(data, at, encoding)
        if found.tag == ITEM_END:
            return
        yield found
        at = _after(data, found, encoding, 0)


def items(data: mmap.mmap, sequence: Element, encoding: Encoding) -> Iterator[tuple[int, int]]:
    """Yield where each item of a sequence begins, and where it ends at the latest."""
    is_defined = sequence.length != UNDEFINED
    at = sequence.at
    end = sequence.at + sequence.length if is_defined else len(data)
    while at + 8 <= end:
        item = _element(data, at, encoding)
        if item.tag != ITEM:
            return
        yield item.at, item.at + item.length if item.length != UNDEFINED else end
        at = _after_item(data, item, encoding, 0)


def found_at(part10: Part10, path: Sequence[str]) -> tuple[Element, Encoding] | None:
    """Return the element at `tag/item/tag...`, items from 1, `None` if there is none."""
    data, encoding = part10.data, part10.encoding
    level = part10.elements()
    for place, step in enumerate(path):
        if place % 2:
            continue
        tag = int(step, 16)
        element = next((one for one in level if one.tag == tag), None)
        if element is None or place == len(path) - 1:
            return None if element is None else (element, encoding)
        if element.vr == b"UN":  # a sequence that somebody could only call UN, PS3.5 6.2.2
            encoding = Encoding(is_implicit=True, is_little=True)
        number = int(path[place + 1])
        spans = (span for count, span in enumerate(items(data, element, encoding), 1)
                 if count == number)  # fmt: skip
        span = next(spans, None)
        if span is None:
            return None
        level = elements(data, *span, encoding)
    return None


def _element(data: mmap.mmap, at: int, encoding: Encoding) -> Element:
    implicit, short, long = encoding.headers
    group, element, length = implicit.unpack_from(data, at)
    tag = group << 16 | element
    if encoding.is_implicit or group == _DELIMITERS:
        return Element(tag, b"", at + 8, length)
    _, _, vr, length = short.unpack_from(data, at)
    if vr in _LONG:
        return Element(tag, vr, at + 12, long.unpack_from(data, at + 8)[0])
    if not vr.isalpha():  # some writers fall back to Implicit VR for single elements
        return Element(tag, b"", at + 8, implicit.unpack_from(data, at)[2])
    return Element(tag, vr, at + 8, length)


def _after(data: mmap.mmap, found: Element, encoding: Encoding, depth: int) -> int:
    """Return where the element after this one begins."""
    if found.length != UNDEFINED:
        return found.at + found.length
    if depth > _MAX_DEPTH:
        raise Unreadable("sequences are nested too deep")
    inside = Encoding(is_implicit=True, is_little=True) if found.vr == b"UN" else encoding
    at = found.at
    while True:
        item = _element(data, at, inside)
        if item.tag == SEQUENCE_END:
            return item.at
        if item.tag != ITEM:
            raise Unreadable("a sequence holds something that is no item")
        at = _after_item(data, item, inside, depth + 1)


def _after_item(data: mmap.mmap, item: Element, encoding: Encoding, depth: int) -> int:
    if item.length != UNDEFINED:
        return item.at + item.length
    at = item.at
    while True:
        found = _element(data, at, encoding)
        if found.tag == ITEM_END:
            return found.at
        at = _after(data, found, encoding, depth)


__all__ = [
    "EXPLICIT_BIG", "IMPLICIT_LITTLE", "UNDEFINED", "Element", "Encoding", "Part10",
    "Unreadable", "elements", "found_at", "items", "opened",
]  # fmt: skip
