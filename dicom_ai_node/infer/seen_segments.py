"""Segmentations as a person sees them: each segment in its colour, alone or over an image.

Which frame of a segmentation belongs to a frame of an image, its references say, PS3.3
C.7.6.16.2.6; where it has none, its place in the patient.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy.ndimage import binary_erosion, map_coordinates

from dicom_ai_node.domain.colour import RGB, rgb_of
from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.native import Stored

SEGMENTATIONS: Final = frozenset(("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"))
FILLED: Final = 0.3
"""How much of the colour covers the inside of a segment; its border is all colour."""
MOST_OVERLAID: Final = 200
"""Frames of one segmentation that lie over one frame of an image."""
_SAME_PLACE_MM: Final = 0.5
"""Planes closer than this, or than half of a slice, are one place."""
_PARALLEL: Final = 0.999


@dataclass(frozen=True, slots=True)
class Layer:
    """One segment on one frame: (rows, columns) of 0..1, and its colour."""

    cover: NDArray[np.float32]
    colour: RGB


def is_segmentation(header: Dataset) -> bool:
    """Return whether frames of this are segments."""
    return str(header.get("SOPClassUID")) in SEGMENTATIONS


def alone(stored: Stored, number: int) -> NDArray[np.uint8]:
    """Return a frame of a segmentation over nothing: (rows, columns, 4) with transparency."""
    layers = list(_layers(stored, number))
    rows, columns = int(stored.header.Rows), int(stored.header.Columns)
    picture = np.zeros((rows, columns, 4), np.float32)
    for layer in layers:
        seen = layer.cover > picture[..., 3]
        picture[seen, :3] = layer.colour
        picture[..., 3] = np.maximum(picture[..., 3], layer.cover)
    picture[..., 3] *= 255
    return np.rint(picture).astype(np.uint8)


def over(
    shown: NDArray[np.uint8], image: Dataset, number: int, segmentation: BinaryIO
) -> NDArray[np.uint8]:
    """Return a frame of an image, (rows, columns) or in colours, with all segments on it.

    Parameters
    ----------
    image
        The header of the image.
    number
        Which of its frames is shown, from 1.
    segmentation
        An open Part 10 file.
    """
    stored = Stored(segmentation)
    if not is_segmentation(stored.header):
        raise Rejected(RejectCode.PIX_UNSUPPORTED, "what is to be shown over it has no segments")
    picture = shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2)  # noqa: PLR2004
    mixed = picture.astype(np.float32)
    for frame, places in _frames_on(stored.header, image, number)[:MOST_OVERLAID]:
        for layer in _layers(stored, frame):
            cover = _placed(layer.cover, places, mixed.shape[:2])
            _paint(mixed, cover, layer.colour)
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)


def _paint(picture: NDArray[np.float32], cover: NDArray[np.float32], colour: RGB) -> None:
    inside = cover >= 0.5  # noqa: PLR2004 - half
    border = inside & ~binary_erosion(inside, border_value=1)
    part = FILLED * cover
    part[border] = 1
    picture += part[..., None] * (np.asarray(colour, np.float32) - picture)


def _layers(stored: Stored, number: int) -> Iterator[Layer]:
    """Yield what one frame of a segmentation shows: one segment, or all in a label map."""
    header = stored.header
    values, _ = stored.decoded(number)
    colours = _colours(header)
    if str(header.get("SegmentationType")) == "LABELMAP":
        for value in np.unique(values):
            if value in colours and value != header.get("PixelPaddingValue", 0):
                here: NDArray[np.float32] = (values == value).astype(np.float32)
                yield Layer(here, colours[int(value)])
        return
    most = 1
    if str(header.get("SegmentationType")) == "FRACTIONAL":
        most = int(header.get("MaximumFractionalValue", 255))
    segment = _segment_of(header, number)
    cover = np.clip(values.astype(np.float32) / np.float32(max(most, 1)), 0, 1)
    yield Layer(cover, colours.get(segment, rgb_of(None, segment)))


def _colours(header: Dataset) -> dict[int, RGB]:
    return {
        int(item.SegmentNumber): rgb_of(
            item.get("RecommendedDisplayCIELabValue"), int(item.SegmentNumber)
        )
        for item in header.get("SegmentSequence") or ()
        if item.get("SegmentNumber") is not None
    }


def _groups(header: Dataset, number: int) -> Iterator[Dataset]:
    """Yield the functional groups of a frame, its own before the shared ones."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or ()
    if number <= len(per_frame):
        yield per_frame[number - 1]
    yield from (header.get("SharedFunctionalGroupsSequence") or ())[:1]


def _said(header: Dataset, number: int, macro: str, keyword: str) -> Any:  # noqa: ANN401
    """Return what the functional groups of a frame say, else the header, else `None`."""
    for group in _groups(header, number):
        for item in (group.get(macro) or ())[:1]:
            if item.get(keyword) is not None:
                return item.get(keyword)
    return header.get(keyword)


def _segment_of(header: Dataset, number: int) -> int:
    said = _said(header, number, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
    return int(said or 1)


@dataclass(frozen=True, slots=True)
class _Plane:
    """Where a frame lies: its corner, one step along a row and a column, and its normal."""

    corner: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    normal: NDArray[np.float64]
    thickness_mm: float


def _plane(header: Dataset, number: int) -> _Plane | None:
    position = _said(header, number, "PlanePositionSequence", "ImagePositionPatient")
    orientation = _said(header, number, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _said(header, number, "PixelMeasuresSequence", "PixelSpacing")
    if position is None or orientation is None or spacing is None:
        return None
    row, column = np.asarray(orientation, np.float64).reshape(2, 3)
    thickness = _said(header, number, "PixelMeasuresSequence", "SliceThickness")
    return _Plane(
        corner=np.asarray(position, np.float64),
        along_row=row * float(spacing[1]),
        along_column=column * float(spacing[0]),
        normal=np.cross(row, column),
        thickness_mm=float(thickness or 0),
    )


_Places = tuple[_Plane, _Plane] | None
"""The plane of the image and that of the segmentation; `None` if their pixels coincide."""


def _frames_on(header: Dataset, image: Dataset, number: int) -> list[tuple[int, _Places]]:
    """Return the frames of a segmentation that lie on frame `number` of an image."""
    count = int(header.get("NumberOfFrames") or 1)
    here = _plane(image, number)
    by_name = [n for n in range(1, count + 1) if _refers(header, n, image, number)]
    found: list[tuple[int, _Places]] = []
    for frame in by_name or range(1, count + 1):
        there = _plane(header, frame)
        is_near = here is not None and there is not None and _is_same(here, there)
        if here is not None and there is not None and is_near:
            is_one_frame = header.get("FrameOfReferenceUID") == image.get("FrameOfReferenceUID")
            if by_name or is_one_frame:
                found.append((frame, (here, there)))
        elif by_name and (here is None or there is None):
            found.append((frame, None))
    return found


def _refers(header: Dataset, frame: int, image: Dataset, number: int) -> bool:
    for group in _groups(header, frame):
        for derivation in group.get("DerivationImageSequence") or ():
            for source in derivation.get("SourceImageSequence") or ():
                if source.get("ReferencedSOPInstanceUID") != image.SOPInstanceUID:
                    continue
                numbers = source.get("ReferencedFrameNumber")
                if numbers is None or number in _many(numbers):
                    return True
    return False


def _many(numbers: Any) -> Sequence[int]:  # noqa: ANN401 - one number or several
    return [int(one) for one in numbers] if hasattr(numbers, "__iter__") else [int(numbers)]


def _is_same(here: _Plane, there: _Plane) -> bool:
    if abs(float(here.normal @ there.normal)) < _PARALLEL:
        return False
    apart = abs(float(here.normal @ (there.corner - here.corner)))
    return apart <= max(_SAME_PLACE_MM, here.thickness_mm / 2) * 1.001


def _placed(
    cover: NDArray[np.float32], places: _Places, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return a layer on the pixels of the image."""
    if places is None:
        if cover.shape != shape:
            raise Rejected(RejectCode.GEO_MISSING_ATTRIBUTE, "nobody says where its pixels lie")
        return cover
    here, there = places
    rows, columns = np.indices(shape, np.float64)
    points = (
        here.corner
        + columns[..., None] * here.along_row
        + rows[..., None] * here.along_column
        - there.corner
    )
    at = [points @ step / float(step @ step) for step in (there.along_column, there.along_row)]
    placed: NDArray[np.float32] = map_coordinates(cover, at, order=0, cval=0.0, prefilter=False)
    return placed
