"""Walks over an encoded data set without decoding it: where each element lies, PS3.5 7.1.

Every length is checked against what encloses it, so that a data set which was cut off is noticed
although its DIMSE message was complete. Nesting is followed with a list and not by recursion.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from struct import Struct
from typing import NamedTuple

from pydicom._dicom_dict import DicomDictionary

from dicom_ai_node.domain.errors import NotUnderstood

MAX_DEPTH = 64
"""Sequences within sequences. DCMTK draws the line at the same number."""

MAX_ELEMENTS = 50_000
"""Elements at the top level; real images have some hundred."""

MAX_NESTED_ELEMENTS = 2_000_000
"""Elements in all sequences; a whole slide of 100,000 sparse tiles has about a million."""

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS = 0xFFFE
_HEADER = 8
_FIRST_GROUP = 0x0008
_MOST_INNER = 1000
"""Attributes of shared functional groups that are looked at; real images have some fifty."""

_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class Element(NamedTuple):
    """Where one element lies.

    Attributes
    ----------
    parent
        Tag of the sequence whose item holds it, 0 at the top level.
    vr
        As encoded, or `None` under Implicit VR.
    length
        In bytes, 0xFFFFFFFF if undefined.
    """

    parent: int
    tag: int
    vr: bytes | None
    at: int
    length: int


@dataclass(slots=True)
class _Open:
    """A sequence or an item that has not ended yet.

    `end` is that of what encloses it, if its own is undefined.
    """

    tag: int
    end: int
    is_defined: bool
    is_implicit: bool
    is_sequence: bool


@dataclass(slots=True)
class _Inner:
    """The elements so many levels down in a sequence; none at level 0."""

    levels: int
    found: list[Element] = field(default_factory=list)


_NOTHING_INNER = _Inner(0)


class Walk:
    """One walk over one data set that fills `data` from `start` to its end."""

    def __init__(
        self, data: mmap | bytes, start: int, *, is_implicit: bool, is_little: bool
    ) -> None:
        self._data = data
        self._start = start
        self._size = len(data)
        self._is_implicit = is_implicit
        order = "<" if is_little else ">"
        self._explicit_header = Struct(f"{order}HH2sH")
        self._long_length = Struct(f"{order}L")
        self._nested = 0

    def elements(self, within: Mapping[int, int]) -> Iterator[Element]:
        """Yield the elements at the top level, and those inside of some sequences.

        `within` maps the tag of a sequence at the top level to how many levels down: 1 for the
        attributes of its items, 2 for those of the sequences in them, as the attributes of each
        functional group are in the Shared Functional Groups Sequence, PS3.3 C.7.6.16.

        Raises
        ------
        NotUnderstood
            If the bytes are no data set, end too early, nest too deep or hold too many elements.
        """
        at, count = self._start, 0
        while self._size - at >= _HEADER:
            count += 1
            if count > MAX_ELEMENTS:
                raise NotUnderstood("the data set has too many elements")
            found = self._short(at)
            if found is not None:
                at = found.at + found.length
                yield found
                continue
            found, value_at = self._header(at, self._size, is_implicit=self._is_implicit)
            if not _FIRST_GROUP <= found.tag >> 16 < _DELIMITERS:
                raise NotUnderstood(f"{_named(found.tag)} is no element of a data set")
            inner = _Inner(within[found.tag]) if found.tag in within else _NOTHING_INNER
            at = self._after(found, value_at, inner)
            yield found
            yield from inner.found
        if any(self._data[at : self._size]):
            raise NotUnderstood("the data set ends within an element")

    def _short(self, at: int) -> Element | None:
        """Return what is at `at` if it is as most elements are: short, whole and in its place."""
        if self._is_implicit:
            return None
        group, element, vr, length = self._explicit_header.unpack_from(self._data, at)
        if (
            vr not in _SHORT
            or not _FIRST_GROUP <= group < _DELIMITERS
            or at + _HEADER + length > self._size
        ):
            return None
        return Element(0, group << 16 | element, vr, at + _HEADER, length)

    def _after(self, found: Element, value_at: int, inner: _Inner) -> int:
        """Return where the element ends, after a look at all that it encloses."""
        is_defined = found.length != _UNDEFINED
        if is_defined and not _is_sequence(found):
            return value_at + found.length
        if not is_defined and found.vr in (b"OB", b"OW"):
            return self._after_fragments(value_at)
        if not is_defined and found.vr not in (b"SQ", b"UN", None):
            raise NotUnderstood(f"{_named(found.tag)} has no length")
        sequence = _Open(
            tag=found.tag,
            end=value_at + found.length if is_defined else self._size,
            is_defined=is_defined,
            # A sequence that somebody could only call UN is Implicit VR inside, PS3.5 6.2.2.
            is_implicit=found.vr in (None, b"UN"),
            is_sequence=True,
        )
        return self._after_sequence(sequence, value_at, inner)

    def _after_sequence(self, outermost: _Open, at: int, inner: _Inner) -> int:
        stack = [outermost]
        while stack:
            top = stack[-1]
            if top.is_defined and at >= top.end:
                stack.pop()
                continue
            found, at = self._header(at, top.end, is_implicit=top.is_implicit)
            if found.tag == (_SEQUENCE_END if top.is_sequence else _ITEM_END):
                if top.is_defined:
                    raise NotUnderstood(f"{_named(top.tag)} has a length and a delimiter")
                stack.pop()
                continue
            # Each level is a sequence and an item of it.
            if len(stack) == 2 * inner.levels and len(inner.found) < _MOST_INNER:
                inner.found.append(found._replace(parent=stack[-2].tag))
            opened = self._opened_by(found, at, top)
            if opened is None:
                at = self._after_plain(found, at)
            elif len(stack) == 2 * MAX_DEPTH:
                raise NotUnderstood("sequences are nested too deep")
            else:
                stack.append(opened)
        return at

    def _opened_by(self, found: Element, at: int, top: _Open) -> _Open | None:
        """Return the item or sequence that begins here, or `None` for any other element."""
        if top.is_sequence:
            if found.tag != _ITEM:
                raise NotUnderstood(f"{_named(top.tag)} holds something that is no item")
            return self._opened(top, found, at, is_sequence=False)
        self._nested += 1
        if self._nested > MAX_NESTED_ELEMENTS:
            raise NotUnderstood("the data set has too many elements")
        if found.tag >> 16 == _DELIMITERS:
            raise NotUnderstood(f"{_named(top.tag)} has a delimiter where none can be")
        has_no_length = found.length == _UNDEFINED
        if _is_sequence(found) or (has_no_length and found.vr in (b"UN", None)):
            return self._opened(top, found, at, is_sequence=True)
        return None

    def _opened(self, top: _Open, found: Element, at: int, *, is_sequence: bool) -> _Open:
        is_defined = found.length != _UNDEFINED
        return _Open(
            tag=found.tag if is_sequence else top.tag,
            end=at + found.length if is_defined else top.end,
            is_defined=is_defined,
            is_implicit=top.is_implicit or (is_sequence and found.vr in (None, b"UN")),
            is_sequence=is_sequence,
        )

    def _after_plain(self, found: Element, at: int) -> int:
        if found.length != _UNDEFINED:
            return at + found.length
        if found.vr not in (b"OB", b"OW"):
            raise NotUnderstood(f"{_named(found.tag)} has no length")
        return self._after_fragments(at)

    def _after_fragments(self, at: int) -> int:
        """Return where encapsulated pixel data ends, PS3.5 A.4."""
        while True:
            found, at = self._header(at, self._size, is_implicit=True)
            if found.tag == _SEQUENCE_END:
                return at
            if found.tag != _ITEM or found.length == _UNDEFINED:
                raise NotUnderstood("encapsulated pixel data holds something that is no fragment")
            at += found.length

    def _header(self, at: int, end: int, *, is_implicit: bool) -> tuple[Element, int]:
        """Read the header at `at` of an element that must end before `end`, and where it ends."""
        if at + _HEADER > end:
            raise NotUnderstood("the data set ends within an element")
        vr: bytes | None
        value_at = at + _HEADER
        group, element, vr, length = self._explicit_header.unpack_from(self._data, at)
        if is_implicit or group == _DELIMITERS:
            vr = None
        elif vr in _LONG:
            if value_at + 4 > end:
                raise NotUnderstood("the data set ends within an element")
            (length,) = self._long_length.unpack_from(self._data, value_at)
            value_at += 4
        elif not (vr in _SHORT or (vr.isalpha() and vr.isupper())):
            vr = None  # some writers fall back to Implicit VR for single elements
        if vr is None:
            (length,) = self._long_length.unpack_from(self._data, at + 4)
        if length != _UNDEFINED and value_at + length > end:
            raise NotUnderstood(f"{_named(group << 16 | element)} is cut off")
        return Element(0, group << 16 | element, vr, value_at, length), value_at


def _is_sequence(found: Element) -> bool:
    if found.vr is not None:
        return found.vr == b"SQ"
    known = DicomDictionary.get(found.tag)
    return known is not None and known[0] == "SQ"


def _named(tag: int) -> str:
    """Return the keyword, and never the bytes of what may be no tag but somebody's name."""
    known = DicomDictionary.get(tag)
    return known[4] if known and known[4] else "an unknown element"
