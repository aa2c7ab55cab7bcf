"""Where the frames of an image lie in its file: by arithmetic, or by the offset tables.

PS3.5 8.1 and A.4, PS3.3 C.7.6.3.1.8. Nothing is decoded here.
"""

import mmap
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import unpack
from threading import Lock

from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.serve.dicomweb.elements import (
    EXPLICIT_BIG,
    UNDEFINED,
    Element,
    Part10,
    Unreadable,
    opened,
)
from dicom_ai_node.serve.dicomweb.sending import FilePart

FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010
_PIXELS = frozenset((FLOAT_PIXELS, DOUBLE_PIXELS, PIXELS))
_OFFSETS, _LENGTHS = 0x7FE00001, 0x7FE00002
_SAMPLES, _PHOTOMETRIC, _FRAMES = 0x00280002, 0x00280004, 0x00280008
_ROWS, _COLUMNS, _BITS_ALLOCATED = 0x00280010, 0x00280011, 0x00280100
_WANTED = frozenset((_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS_ALLOCATED))
_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
"""How the codestream of a frame begins: JPEG and JPEG-LS, JPEG 2000, JPEG 2000 in boxes."""
VIDEO = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (
    "100", "100.1", "101", "101.1", "102", "102.1", "103", "103.1", "104", "104.1", "105",
    "105.1", "106", "106.1", "107", "108",
))  # fmt: skip
"""One codestream holds all frames."""

MOST_CACHED = 4096
MOST_CACHED_OFFSETS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """The frames of one image.

    Attributes
    ----------
    bits
        Of one frame where it lies as it is; may be no multiple of 8.
    starts, ends
        Of encapsulated frames: where the first item of each begins, and where its last ends.
    """

    transfer_syntax_uid: str
    count: int
    at: int
    bits: int
    is_encapsulated: bool
    starts: Sequence[int]
    ends: Sequence[int]

    @property
    def is_plain(self) -> bool:
        """Return whether the bytes of frames may be sent as they lie."""
        return not self.is_encapsulated and self.transfer_syntax_uid != EXPLICIT_BIG

    @property
    def is_video(self) -> bool:
        """Return whether frames cannot be told apart."""
        return self.transfer_syntax_uid in VIDEO

    @property
    def last(self) -> int:
        """Return the number of the last frame that may be asked for alone."""
        return 1 if self.is_video else self.count


class FrameIndex:
    """Knows where frames lie, and remembers it; any number of threads may ask."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[Sha256, Frames] = OrderedDict()
        self._offsets = 0

    def frames(self, sha256: Sha256, path: Path) -> Frames:
        """Return the frames of the blob `sha256`, which lies at `path`.

        Raises
        ------
        Unreadable
            If it has no pixel data, or its frames cannot be told apart.
        FileNotFoundError
            If it has gone in the meantime.
        """
        with self._lock:
            known = self._known.get(sha256)
            if known is not None:
                self._known.move_to_end(sha256)
                return known
        found = frames_of(path)
        with self._lock:
            if sha256 not in self._known:
                self._known[sha256] = found
                self._offsets += len(found.starts)
            while len(self._known) > MOST_CACHED or self._offsets > MOST_CACHED_OFFSETS:
                _, oldest = self._known.popitem(last=False)
                self._offsets -= len(oldest.starts)
        return found


def frames_of(path: Path) -> Frames:
    """Return where the frames of a Part 10 file lie.

    Raises
    ------
    Unreadable
        If it has no pixel data, or its frames cannot be told apart.
    """
    with opened(path) as part10:
        facts: dict[int, bytes] = {}
        tables: dict[int, Element] = {}
        for found in part10.elements():
            if found.tag in _WANTED and found.length <= 64:  # noqa: PLR2004 - none is longer
                facts[found.tag] = part10.data[found.at : found.at + found.length]
            elif found.tag in (_OFFSETS, _LENGTHS):
                tables[found.tag] = found
            elif found.tag in _PIXELS:
                return _frames(part10, found, facts, tables)
    raise Unreadable("this has no pixel data")


def parts_of(frames: Frames, number: int, path: Path) -> list[FilePart]:
    """Return where frame `number`, from 1, lies: one part, or its fragments.

    For frames in whole bytes only.
    """
    if not frames.is_encapsulated:
        size = frames.bits // 8
        return [FilePart(path, frames.at + (number - 1) * size, size)]
    start, end = frames.starts[number - 1], frames.ends[number - 1]
    with opened(path) as part10:
        parts = []
        for at, length in part10.fragments(start):
            parts.append(FilePart(path, at, length))
            if at + length >= end:
                return parts
    raise Unreadable("a frame ends within a fragment")


def frame_in_bits(frames: Frames, number: int, path: Path) -> bytes:
    """Return a frame whose bits do not begin or end with a byte, from its first bit on."""
    first = (number - 1) * frames.bits
    begin, end = first // 8, -(-(first + frames.bits) // 8)
    with path.open("rb") as file:
        file.seek(frames.at + begin)
        packed = int.from_bytes(file.read(end - begin), "little")
    mask = (1 << frames.bits) - 1
    return (packed >> first % 8 & mask).to_bytes(-(-frames.bits // 8), "little")


def _frames(
    part10: Part10, pixels: Element, facts: dict[int, bytes], tables: dict[int, Element]
) -> Frames:
    order = "<" if part10.encoding.is_little else ">"

    def number(tag: int, otherwise: int) -> int:
        raw = facts.get(tag, b"")
        return int(unpack(f"{order}H", raw[:2])[0]) if len(raw) >= 2 else otherwise  # noqa: PLR2004

    try:
        count = max(1, int(facts.get(_FRAMES, b"").strip(b" \0") or b"1"))
    except ValueError as fault:
        raise Unreadable("Number of Frames is no number") from fault
    values = number(_ROWS, 0) * number(_COLUMNS, 0) * number(_SAMPLES, 1)
    if facts.get(_PHOTOMETRIC, b"").strip(b" \0") == b"YBR_FULL_422":
        values = values * 2 // 3
    bits = values * {FLOAT_PIXELS: 32, DOUBLE_PIXELS: 64}.get(
        pixels.tag, number(_BITS_ALLOCATED, 0)
    )
    starts: Sequence[int] = ()
    ends: Sequence[int] = ()
    is_encapsulated = pixels.length == UNDEFINED
    if is_encapsulated:
        if part10.transfer_syntax_uid in VIDEO:
            starts, ends = _by_fragments(part10, pixels.at, 1)
        else:
            starts, ends = _encapsulated(part10, pixels.at, count, tables)
    elif bits * count > pixels.length * 8:
        raise Unreadable("there is less pixel data than frames")
    return Frames(
        transfer_syntax_uid=part10.transfer_syntax_uid,
        count=count,
        at=pixels.at,
        bits=bits,
        is_encapsulated=is_encapsulated,
        starts=starts,
        ends=ends,
    )


def _encapsulated(
    part10: Part10, at: int, count: int, tables: dict[int, Element]
) -> tuple[Sequence[int], Sequence[int]]:
    """Return where frames begin (at an item header) and end (with the value of an item)."""
    table_at, table_length = next(part10.fragments(at), (at, 0))
    first = table_at + table_length
    extended, lengths = tables.get(_OFFSETS), tables.get(_LENGTHS)
    if extended and lengths and extended.length == lengths.length == 8 * count:
        offsets = _numbers(part10.data, extended, "Q")
        sizes = _numbers(part10.data, lengths, "Q")
        starts = array("Q", (first + offset for offset in offsets))
        ends = array("Q", (start + 8 + size for start, size in zip(starts, sizes, strict=True)))
        return _checked(part10, starts, ends)
    if count > 1 and table_length == 4 * count:
        offsets = _numbers(part10.data, Element(0, b"", table_at, table_length), "I")
        starts = array("Q", (first + offset for offset in offsets))
        # Where one begins the one before has ended, with the value of its last item.
        ends = array("Q", [*starts[1:], len(part10.data)])
        if sorted(starts) == starts.tolist():
            ends[-1] = _end(part10, starts[-1])
            return _checked(part10, starts, ends)
    return _by_fragments(part10, at, count)


def _by_fragments(part10: Part10, at: int, count: int) -> tuple[Sequence[int], Sequence[int]]:
    """Look at every fragment: one is one frame, or a frame begins where a codestream does."""
    fragments = list(part10.fragments(at))[1:]
    if count == 1 and fragments:
        return (fragments[0][0] - 8,), (sum(fragments[-1]),)
    if len(fragments) != count:
        begins = [
            place
            for place, (start, _) in enumerate(fragments)
            if part10.data[start : start + 8].startswith(_STARTS)
        ]
        if len(begins) != count or begins[0] != 0:
            raise Unreadable("the frames cannot be told apart")
    else:
        begins = list(range(count))
    starts = array("Q", (fragments[place][0] - 8 for place in begins))
    lasts = [*(place - 1 for place in begins[1:]), len(fragments) - 1]
    return starts, array("Q", (sum(fragments[place]) for place in lasts))


def _end(part10: Part10, start: int) -> int:
    end = start
    for at, length in part10.fragments(start):
        end = at + length
    return end


def _checked(
    part10: Part10, starts: "array[int]", ends: "array[int]"
) -> tuple[Sequence[int], Sequence[int]]:
    """Return offsets if an item begins at each; a table that lies leads nowhere."""
    size = len(part10.data)
    for start, end in zip(starts, ends, strict=True):
        if end > size or part10.data[start : start + 4] != b"\xfe\xff\x00\xe0":
            raise Unreadable("the table of offsets is wrong")
    return starts, ends


def _numbers(data: mmap.mmap, element: Element, code: str) -> "array[int]":
    numbers = array(code)
    numbers.frombytes(data[element.at : element.at + element.length])
    return numbers
