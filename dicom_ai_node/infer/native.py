"""Stored objects as others can read them without a codec: Explicit VR Little Endian."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames, get_frame
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.quick_header import header_in
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.showing import NoSuchFrame, NotShowable
from dicom_ai_node.infer.codecs import codestream_size, decoder_for
from dicom_ai_node.infer.plain_frame import lowered, plain_frame_in
from dicom_ai_node.infer.planes import frame_count

LARGEST_FRAME_BYTES: Final = 1 << 30
"""A frame that is larger when it is decoded is not decoded."""
_COPIED_BYTES: Final = 1 << 20
_LONGEST_VALUE: Final = 0xFFFFFFFE
_UNDEFINED: Final = 0xFFFFFFFF
_PIXELS: Final = frozenset(("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
_WIDTHS: Final = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
_BROKEN: Final = (
    ValueError, RuntimeError, AttributeError, EOFError, OSError, KeyError, NotImplementedError,
    struct.error,
)  # fmt: skip


class Stored:
    """An object whose pixel data stays in its file; `header` is everything before it."""

    def __init__(self, file: BinaryIO) -> None:
        self.header, self._element_at = header_in(file)
        file.seek(self._element_at)
        self.syntax = self.header.file_meta.TransferSyntaxUID
        self.file = file
        self.keyword, self.vr, self.length = "", "OW", 0
        self._read_element()
        self.at = file.tell()

    def _read_element(self) -> None:
        """Go to the value of the pixel data, behind the header of its element."""
        head = self.file.read(8)
        if len(head) < 8:  # noqa: PLR2004 - then there is none
            return
        order = "<" if self.syntax.is_little_endian else ">"
        group, element, length = struct.unpack(f"{order}HHL", head)
        if not self.syntax.is_implicit_VR:
            self.vr = head[4:6].decode("ascii", "replace")
            (length,) = struct.unpack(f"{order}L", self.file.read(4))
        names = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}
        self.keyword = names.get(group << 16 | element, "PixelData")
        self.length = length

    @property
    def count(self) -> int:
        """Return the number of frames."""
        return frame_count(self.header)

    def decoded(self, number: int) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return frame `number`, from 1, and what describes it; colours in RGB.

        Raises
        ------
        NoSuchFrame
            If there are not so many.
        Rejected
            If it cannot be decoded.
        """
        if not 1 <= number <= self.count:
            raise NoSuchFrame(f"there are {self.count} frames, from 1")
        plain = self._plain()
        return next(self.all_decoded([number - 1])) if plain is None else plain

    def _plain(self) -> tuple[NDArray[Any], dict[str, Any]] | None:
        """Return the one frame of most images, which is stored as it is."""
        keywords = {"Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"}
        if self.keyword != "PixelData" or not all(word in self.header for word in keywords):
            return None
        self._check_size()
        values = plain_frame_in(self.file, self._element_at, self.header)
        if values is None:
            return None
        about = {
            "photometric_interpretation": self.header.PhotometricInterpretation,
            "bits_allocated": self.header.BitsAllocated,
        }
        return values, about

    def all_decoded(
        self, indices: Sequence[int] | None = None
    ) -> Iterator[tuple[NDArray[Any], dict[str, Any]]]:
        """Yield frames, from 0, or all of them, in turn."""
        try:
            decoder, plugin = decoder_for(self.syntax, int(self.header.get("SamplesPerPixel", 1)))
        except (NotImplementedError, KeyError, ValueError) as fault:
            raise Rejected(
                RejectCode.PIX_UNSUPPORTED, f"no decoder for {self.syntax.name}"
            ) from fault
        try:
            self._check_size()
            source, options = self._source()
            if decoder.is_encapsulated:
                self._check_codestreams(indices)
            elif (lift := self._lift()) > 0:
                frames = decoder.iter_array(
                    source, indices=indices, correct_unused_bits=False, **options
                )
                yield from ((lowered(one, self.header, lift), about) for one, about in frames)
                return
            yield from decoder.iter_array(
                source, indices=indices, decoding_plugin=plugin, **options
            )
        except _BROKEN as fault:
            raise Rejected(RejectCode.PIX_CORRUPT, "a frame cannot be decoded") from fault

    def _source(self) -> tuple[Any, dict[str, Any]]:
        if not self.keyword:
            raise Rejected(RejectCode.PIX_CORRUPT, "there is no pixel data")
        options = as_pixel_options(self.header, pixel_keyword=self.keyword, pixel_vr=self.vr)
        self.file.seek(self.at)
        return self.file, options

    def _lift(self) -> int:
        """Return how far above the lowest bit the values lie: old images keep them high."""
        ds = self.header
        if "BitsStored" not in ds or self.keyword != "PixelData":
            return 0
        return int(ds.get("HighBit", ds.BitsStored - 1)) + 1 - int(ds.BitsStored)

    def _check_size(self) -> None:
        ds = self.header
        size = int(ds.Rows) * int(ds.Columns) * int(ds.SamplesPerPixel) * 4
        if size > LARGEST_FRAME_BYTES:
            raise Rejected(RejectCode.PIX_TOO_LARGE, "a frame is larger than 1 GiB")

    def _check_codestreams(self, indices: Sequence[int] | None) -> None:
        """Compare sizes before a decoder allocates what a codestream asks for."""
        ds = self.header
        size = (ds.Rows, ds.Columns, ds.SamplesPerPixel)
        found = 0
        for frame in self._codestreams(indices):
            found += 1
            if codestream_size(frame) not in (None, size):
                raise Rejected(
                    RejectCode.PIX_CORRUPT, "a codestream has another size than the data set"
                )
        expected = self.count if indices is None else len(indices)
        if found != expected:
            raise Rejected(RejectCode.PIX_CORRUPT, f"{found} frames where {expected} belong")
        self.file.seek(self.at)

    def _codestreams(self, indices: Sequence[int] | None) -> Iterator[bytes]:
        self.file.seek(self.at)
        if indices is None:
            yield from generate_frames(self.file, number_of_frames=self.count)
            return
        offsets = self._offsets()
        for index in indices:  # by the table of offsets: a slide has 100,000 tiles before the last
            yield get_frame(self.file, index, extended_offsets=offsets, number_of_frames=self.count)

    def _offsets(self) -> tuple[bytes, bytes] | None:
        keywords = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
        starts, lengths = (self.header.get(keyword) for keyword in keywords)
        return (starts, lengths) if starts and lengths else None


def write_frame(file: BinaryIO, number: int, made: BinaryIO) -> None:
    """Write the values of one frame, little endian and by pixel, as wide as Bits Allocated."""
    stored = Stored(file)
    made.write(_frame_bytes(stored, *stored.decoded(number)))


def _frame_bytes(stored: Stored, values: NDArray[Any], properties: dict[str, Any]) -> bytes:
    bits = int(stored.header.get("BitsAllocated", properties["bits_allocated"]))
    if bits == 1:
        return np.packbits(values.ravel(), bitorder="little").tobytes()
    wide = values.astype(f"<{values.dtype.kind}{max(bits // 8, 1)}")
    return wide.tobytes()


def write_uncompressed(file: BinaryIO, made: BinaryIO, *, is_implicit: bool = False) -> None:
    """Write the object uncompressed, frame by frame; its UID stays, PS3.4 B.4.1.3.

    In Explicit VR Little Endian, or for those who know no other in Implicit VR Little Endian.
    What stands behind the pixel data, padding or a signature over other bytes, is left out.
    """
    stored = Stored(file)
    ds = stored.header
    if not stored.syntax.is_little_endian:
        ds.walk(_swapped)
    frames = None
    if stored.syntax.is_encapsulated and stored.keyword:
        frames = stored.all_decoded()
        first = next(frames)
        _describe(ds, *first)
        length = len(_frame_bytes(stored, *first)) * stored.count
    else:
        length = stored.length
    ds.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    )
    dcmwrite(made, ds, implicit_vr=is_implicit, little_endian=True, enforce_file_format=True)
    if not stored.keyword:
        return
    made.write(_head(stored, length, is_implicit=is_implicit))
    if frames is None:
        _copy(stored, made)
        return
    made.write(_frame_bytes(stored, *first))
    made.writelines(_frame_bytes(stored, *frame) for frame in frames)
    made.write(bytes(length % 2))


def write_value(file: BinaryIO, path: Sequence[str], made: BinaryIO) -> None:
    """Write the bytes of one element, little endian."""
    place: Dataset = dcmread(file)
    if not place.file_meta.TransferSyntaxUID.is_little_endian:
        place.walk(_swapped)
    for tag, item in zip(path[::2], path[1::2], strict=False):
        place = place[int(tag, 16)].value[int(item) - 1]
    made.write(place[int(path[-1], 16)].value)


def _describe(ds: Dataset, values: NDArray[Any], properties: dict[str, Any]) -> None:
    """Let a header say what the pixels are after decoding."""
    ds.PhotometricInterpretation = str(properties["photometric_interpretation"])
    if values.ndim == 3:  # noqa: PLR2004 - colours
        ds.PlanarConfiguration = 0
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        with suppress(AttributeError):
            delattr(ds, keyword)


def _head(stored: Stored, length: int, *, is_implicit: bool) -> bytes:
    """Return what goes before the pixels: the header of their element."""
    if length > _LONGEST_VALUE:
        raise NotShowable("decoded it would be longer than an element can be")
    ds, padded = stored.header, length + length % 2
    tag = {"FloatPixelData": 8, "DoubleFloatPixelData": 9}.get(stored.keyword, 0x10)
    if is_implicit:
        return struct.pack("<HHL", 0x7FE0, tag, padded)
    vr = {8: b"OF", 9: b"OD"}.get(tag, b"OB" if int(ds.get("BitsAllocated", 16)) == 8 else b"OW")  # noqa: PLR2004
    return struct.pack("<HH2sHL", 0x7FE0, tag, vr, 0, padded)


def _copy(stored: Stored, made: BinaryIO) -> None:
    """Copy native pixels, in the order of bytes that is written here."""
    narrowest = 1 if stored.vr == "OB" else 2  # of words even the bytes are turned
    width = max(narrowest, int(stored.header.get("BitsAllocated", 16)) // 8)
    is_turned = not stored.syntax.is_little_endian
    stored.file.seek(stored.at)
    left = stored.length
    while some := stored.file.read(min(_COPIED_BYTES, left)):
        made.write(_turned(some, width) if is_turned else some)
        left -= len(some)


def _swapped(_dataset: Dataset, element: DataElement) -> None:
    width = _WIDTHS.get(element.VR)
    if width and isinstance(element.value, bytes):
        element.value = _turned(element.value, width)


def _turned(raw: bytes, width: int) -> bytes:
    if width == 1 or len(raw) % width:
        return raw
    return np.frombuffer(raw, f">u{width}").astype(f"<u{width}").tobytes()
