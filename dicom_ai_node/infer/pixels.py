"""From pixel data to the values that were stored, frame by frame, in one honest piece.

Nothing is decoded before its size is known, and what cannot be decoded entirely is rejected.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import UID

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.codecs import codestream_size, decoder_for
from dicom_ai_node.infer.plain_frame import lowered, plain_frame
from dicom_ai_node.infer.planes import frame_count

_TENSOR_BYTES: Final = 4
"""Every value becomes a float32, whatever it was."""

_SUBSAMPLED: Final = "YBR_FULL_422"
_COLOURS: Final = frozenset({"RGB", "YBR_FULL", _SUBSAMPLED, "YBR_ICT", "YBR_RCT"})
_GREYS: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})
_PALETTE: Final = "PALETTE COLOR"
_LAYOUTS: Final = {1: frozenset({(1, 8), (1, 16), (1, 32)}), 3: frozenset({(3, 8), (3, 16)})}
"""(SamplesPerPixel, BitsAllocated) by the number of samples that a photometric has."""

_PIXEL_KEYWORDS: Final = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
)  # fmt: skip

_BROKEN: Final = (
    ValueError, RuntimeError, AttributeError, EOFError, OSError, KeyError, struct.error,
)  # fmt: skip
"""What pydicom and the codecs raise for damaged data."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One frame: (rows, columns) as stored, or (rows, columns, 3) in RGB."""

    values: NDArray[Any]
    photometric: str


def check_size(headers: Sequence[Dataset], max_pixels_bytes: int) -> None:
    """Say how much memory the pixels of these instances will need, before any of it is used.

    Raises
    ------
    Rejected
        With PIX_TOO_LARGE above `max_pixels_bytes`, PIX_CORRUPT if the Image Pixel module is
        not complete, PS3.3 C.7.6.3.
    """
    needed = sum(_decoded_bytes(ds) for ds in headers)
    if needed > max_pixels_bytes:
        raise Rejected(
            RejectCode.PIX_TOO_LARGE,
            f"{needed} bytes decoded, {max_pixels_bytes} are allowed",
        )


def decoded_frames(header: Dataset) -> Iterator[Decoded]:
    """Read the pixels of an instance from its file and yield every frame in order.

    Unused bits (old overlays) are cleared and signs extended, PS3.5 8.1.1.

    Parameters
    ----------
    header
        As `planes.read_headers` gave it: it knows its file.

    Raises
    ------
    Rejected
        With PIX_UNSUPPORTED if there is no decoder or the layout is none that we know; with
        PIX_CORRUPT if a frame is truncated, damaged, of another size than the data set says,
        or if there are more or fewer frames than it says.
    """
    decoder, plugin = _decoder(header)
    try:
        plain = plain_frame(header)
        if plain is not None:
            yield Decoded(plain, str(header.PhotometricInterpretation))
            return
        ds = pydicom.dcmread(header.filename, specific_tags=list(_PIXEL_KEYWORDS))
        _check_codestreams(ds, decoder)
        yield from _frames(ds, decoder, plugin)
    except Rejected:
        raise
    except _BROKEN as error:
        raise Rejected(RejectCode.PIX_CORRUPT, "a frame cannot be decoded") from error


def _decoder(header: Dataset) -> tuple[Decoder, str]:
    """Return the decoder and plug-in for an instance whose layout we know."""
    photometric = str(header.get("PhotometricInterpretation"))
    samples = 3 if photometric in _COLOURS else 1
    layout = (photometric, header.SamplesPerPixel, header.BitsAllocated)
    if photometric not in _COLOURS | _GREYS | {_PALETTE} or layout[1:] not in _LAYOUTS[samples]:
        words = " ".join(str(part) for part in layout)
        raise Rejected(RejectCode.PIX_UNSUPPORTED, f"a layout that is not read: {words}")
    transfer_syntax_uid = UID(str(header.file_meta.get("TransferSyntaxUID", "")))
    try:
        return decoder_for(transfer_syntax_uid, samples)
    except (NotImplementedError, KeyError, ValueError) as error:
        raise Rejected(
            RejectCode.PIX_UNSUPPORTED, f"no decoder for {transfer_syntax_uid.name}"
        ) from error


def _check_codestreams(ds: Dataset, decoder: Decoder) -> None:
    """Compare frame count and frame sizes with the data set before a decoder allocates them."""
    count = frame_count(ds)
    pixels = ds.get("PixelData")
    if not pixels or not isinstance(pixels, bytes):  # by another VR it is a number, or a text
        raise Rejected(RejectCode.PIX_CORRUPT, "there is no pixel data")
    if not decoder.is_encapsulated:
        expected = _stored_bytes(ds) * count
        found = len(pixels)
        if found < expected or found - expected >= max(2, _stored_bytes(ds)):
            raise Rejected(
                RejectCode.PIX_CORRUPT, f"{found} bytes of pixel data where {expected} belong"
            )
        return
    size = (ds.Rows, ds.Columns, ds.SamplesPerPixel)
    found = 0
    for frame in generate_frames(pixels, number_of_frames=count):
        found += 1
        if codestream_size(frame) not in (None, size):
            raise Rejected(
                RejectCode.PIX_CORRUPT, "a codestream has another size than the data set"
            )
    if found != count:
        raise Rejected(RejectCode.PIX_CORRUPT, f"{found} frames where {count} belong")


def _frames(ds: Dataset, decoder: Decoder, plugin: str) -> Iterator[Decoded]:
    # old images keep their bits high in the word; pydicom assumes that they lie low
    lift = int(ds.get("HighBit", ds.BitsStored - 1)) + 1 - int(ds.BitsStored)
    is_lifted = lift > 0 and not plugin
    if is_lifted:
        frames = decoder.iter_array(ds, correct_unused_bits=False)
    else:
        frames = decoder.iter_array(ds, decoding_plugin=plugin)
    for values, properties in frames:
        lain_low = lowered(values, ds, lift) if is_lifted else values
        yield Decoded(lain_low, str(properties["photometric_interpretation"]))


def _decoded_bytes(header: Dataset) -> int:
    try:
        samples = int(header.SamplesPerPixel)
        stored = samples * max(1, int(header.BitsAllocated) // 8)
        pixels = int(header.Rows) * int(header.Columns) * frame_count(header)
    except (AttributeError, TypeError, ValueError) as error:
        raise Rejected(RejectCode.PIX_CORRUPT, "the Image Pixel module is incomplete") from error
    return pixels * max(_TENSOR_BYTES, stored)


def _stored_bytes(ds: Dataset) -> int:
    """Return the bytes of one native frame."""
    values = int(ds.Rows) * int(ds.Columns) * int(ds.SamplesPerPixel)
    if ds.PhotometricInterpretation == _SUBSAMPLED:
        values = values * 2 // 3  # two pixels share their colour, PS3.3 C.7.6.3.1.2
    return values * int(ds.BitsAllocated) // 8
