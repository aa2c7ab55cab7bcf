"""Ultrasound: where tissue is shown, how large its pixels are, when frames were taken."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.planes import Plane, frame_count

_TWO_DIMENSIONAL, _TISSUE, _COLOUR_FLOW = 1, 1, 2
"""RegionSpatialFormat, and two values of RegionDataType, PS3.3 C.8.5.5.1."""

_CENTIMETRES: Final = 3
"""PhysicalUnitsXDirection, PS3.3 C.8.5.5.1.15."""

Region = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The part of the image that shows tissue, and the distance of its pixel centres.

    `region` is (first row, end row, first column, end column); `spacing_mm` is (row, column).
    """

    region: Region
    spacing_mm: tuple[float, float] | None
    notes: tuple[str, ...] = ()


def calibrated(header: Dataset, options: Mapping[str, Option]) -> Calibrated:
    """Return the largest tissue region of an ultrasound image.

    Raises
    ------
    Rejected
        With US_DOPPLER if colour Doppler lies over it, unless the option `allow_doppler` is set.
    """
    size = int(header.Rows), int(header.Columns)
    items = list(header.get("SequenceOfUltrasoundRegions") or ())
    tissue = [(region, item) for item, region in _regions(items, size, _TISSUE)]
    flow = [region for _, region in _regions(items, size, _COLOUR_FLOW)]
    whole = (0, size[0], 0, size[1])
    region, item = max(tissue, key=lambda pair: _area(pair[0]), default=(whole, None))
    if not options.get("allow_doppler"):
        _check_doppler(header, region, flow, is_told=bool(items))
    notes: tuple[str, ...] = ()
    if len(tissue) > 1:
        notes = (f"the largest of {len(tissue)} tissue regions taken",)
    spacing = _region_spacing_mm(item) if item is not None else _whole_spacing_mm(header, items)
    if spacing is None:
        notes += (f"{RejectCode.MEAS_UNCALIBRATED.name}: measured in pixels only",)
    return Calibrated(region, spacing, notes)


def times_ms(header: Dataset) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    """Return when each frame of a cine was taken after the first, and a note if it is not told.

    FrameTimeVector counts if FrameIncrementPointer or its length says so, then FrameTime, then
    CineRate, PS3.3 C.7.6.5.
    """
    count = frame_count(header)
    if count == 1:
        return None, ()
    plane = Plane(header)
    vector = plane.numbers("FrameTimeVector")
    if len(vector) == count and min(vector) >= 0 and sum(vector[1:]) > 0:
        total, times = 0.0, [0.0]  # the first increment is meaningless and not always 0
        for increment in vector[1:]:
            total += increment
            times.append(total)
        return tuple(times), ()
    step = _step_ms(plane)
    if step is None:
        return None, (f"{RejectCode.TIME_UNKNOWN.name}: frames have no times",)
    return tuple(index * step for index in range(count)), ()


def _step_ms(plane: Plane) -> float | None:
    for value in plane.numbers("FrameTime")[:1]:
        if value > 0:
            return value
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        for rate in plane.numbers(keyword)[:1]:
            if rate > 0:
                return 1000 / rate
    return None


def _regions(
    items: Sequence[Dataset], size: tuple[int, int], data_type: int
) -> list[tuple[Dataset, Region]]:
    """Return the 2-D regions of one data type that lie in the image."""
    found = []
    for item in items:
        if item.get("RegionSpatialFormat") != _TWO_DIMENSIONAL:
            continue
        if item.get("RegionDataType") != data_type:
            continue
        region = _region(item, size)
        if _area(region) > 0:
            found.append((item, region))
    return found


def _region(item: Dataset, size: tuple[int, int]) -> Region:
    """Return a region with its ends exclusive and inside the image; an empty one if absurd."""
    names = ("MinY0", "MaxY1", "MinX0", "MaxX1")
    places = [item.get(f"RegionLocation{name}") for name in names]
    if any(place is None for place in places):
        return 0, 0, 0, 0
    top, bottom, left, right = (int(place) for place in places)
    return max(0, top), min(size[0], bottom + 1), max(0, left), min(size[1], right + 1)


def _region_spacing_mm(item: Dataset) -> tuple[float, float] | None:
    units = (item.get("PhysicalUnitsYDirection"), item.get("PhysicalUnitsXDirection"))
    if units != (_CENTIMETRES, _CENTIMETRES):
        return None
    down, across = (Plane(item).numbers(f"PhysicalDelta{axis}") for axis in "YX")
    # the sign says in which direction the axis runs
    spacing_mm = [abs(value) * 10 for value in down + across]
    if len(spacing_mm) != 2 or not all(0 < value < math.inf for value in spacing_mm):  # noqa: PLR2004
        return None
    return spacing_mm[0], spacing_mm[1]


def _whole_spacing_mm(header: Dataset, items: Sequence[Dataset]) -> tuple[float, float] | None:
    spacing = Plane(header).numbers("PixelSpacing")
    if items or len(spacing) != 2 or min(spacing) <= 0:  # noqa: PLR2004 (row, column)
        return None
    return spacing[0], spacing[1]


def _check_doppler(
    header: Dataset, region: Region, flow: Sequence[Region], *, is_told: bool
) -> None:
    if any(_overlap(region, other) for other in flow):
        raise Rejected(RejectCode.US_DOPPLER, "colour Doppler lies over the tissue")
    if not is_told and header.get("UltrasoundColorDataPresent") == 1:
        raise Rejected(RejectCode.US_DOPPLER, "the image has colour data and no regions")


def _overlap(one: Region, other: Region) -> bool:
    rows = min(one[1], other[1]) - max(one[0], other[0])
    columns = min(one[3], other[3]) - max(one[2], other[2])
    return rows > 0 and columns > 0


def _area(region: Region) -> int:
    return max(0, region[1] - region[0]) * max(0, region[3] - region[2])
