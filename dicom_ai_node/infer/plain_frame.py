"""The one frame of a grey image that is stored as it is, straight from its file.

Most series are made of such images, and pydicom reads the whole data set again for each. What is
unusual in any way is left to it: it, and who asks it, say what is wrong.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_ai_node.infer.planes import PIXELS_AT, frame_count

_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"
_EXPLICIT: Final = frozenset({b"OW\0\0", b"OB\0\0"})
_WORDS: Final = {8: 1, 16: 2, 32: 4}
_PLAIN: Final = frozenset({ExplicitVRLittleEndian, ImplicitVRLittleEndian})
_GREYS: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})


def plain_frame(header: Dataset) -> NDArray[Any] | None:
    """Return the stored values (rows, columns) of an instance, or `None` if it is not of the kind.

    Unused bits are cleared and signs extended, PS3.5 8.1.1.

    Parameters
    ----------
    header
        As `planes.read_headers` gave it: it knows its file, and where in it the pixels are.
    """
    at = getattr(header, PIXELS_AT, None)
    if at is None:
        return None
    with Path(header.filename).open("rb") as file:
        return plain_frame_in(file, at, header)


def plain_frame_in(file: BinaryIO, at: int, header: Dataset) -> NDArray[Any] | None:
    """Return the same of an open file in which the element of the pixels begins `at`."""
    if not _is_plain(header):
        return None
    is_implicit = header.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    count, width = int(header.Rows) * int(header.Columns), _WORDS[header.BitsAllocated]
    file.seek(at)
    length = _length(file.read(12), is_implicit=is_implicit)
    if length != count * width + count * width % 2:
        return None
    file.seek(at + (8 if is_implicit else 12))
    values = np.empty(count, f"<{'i' if header.PixelRepresentation else 'u'}{width}")
    if file.readinto(values.view(np.uint8)) != values.nbytes:  # type: ignore[attr-defined]
        return None
    stored = int(header.BitsStored)
    lift = int(header.get("HighBit", stored - 1)) + 1 - stored
    return lowered(values, header, lift).reshape(header.Rows, header.Columns)


def _is_plain(header: Dataset) -> bool:
    """Return whether an image is of the kind, as far as its header tells."""
    return (
        header.file_meta.get("TransferSyntaxUID") in _PLAIN
        and header.get("BitsAllocated") in _WORDS
        and header.get("SamplesPerPixel") == 1
        and header.get("PhotometricInterpretation") in _GREYS
        and frame_count(header) == 1
    )


def _length(head: bytes, *, is_implicit: bool) -> int | None:
    """Return how long the pixel data is, if this is its head."""
    if head[:4] != _PIXEL_DATA or not (is_implicit or head[4:8] in _EXPLICIT):
        return None
    length: int = struct.unpack("<L", head[4:8] if is_implicit else head[8:12])[0]
    return length


def lowered(values: NDArray[Any], ds: Dataset, lift: int) -> NDArray[Any]:
    """Move BitsStored bits from `lift` to 0, PS3.5 8.1.1."""
    stored = int(ds.BitsStored)
    above = int(ds.BitsAllocated) - stored - lift
    if not lift and values.dtype.kind == "u":  # then nothing has to be moved to clear what is above
        return values & values.dtype.type((1 << stored) - 1) if above else values
    shifted: NDArray[Any] = (values << above) >> (above + lift)
    return shifted
