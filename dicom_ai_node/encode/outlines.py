"""Objects as lines on a picture, and a bar that says how long a micrometre is in it."""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.findings import Instances, Segment
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.slide import WHOLE_SLIDE, slide_of
from dicom_ai_node.encode.identity import tracking_id, tracking_uid
from dicom_ai_node.encode.marks import Mark
from dicom_ai_node.encode.picture import Entry
from dicom_ai_node.encode.planes import Plane, planes

LARGEST_PIXEL_MM = 0.01
"""Images with larger pixels are not of a microscope, and get no bar."""
BAR_PART = 0.25
"""The bar is at most this part of the picture's width."""
_LENGTHS_UM = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def outlines_on(frame: SourceFrame, found: Instances | None, origin: Origin) -> list[Mark]:
    """Return a mark without words for every object of which a part may be seen on a frame."""
    if found is None:
        return []
    header = planes([frame], origin.sources)[0].header
    segments = {segment.number: segment for segment in found.segments}
    is_near, corner = _near(frame, found, header)
    outlines = found.outlines()
    return [
        _mark(frame, outlines[n] - corner, segments[int(found.numbers[n])], origin) for n in is_near
    ]


def _mark(
    frame: SourceFrame, points: NDArray[np.float32], segment: Segment, origin: Origin
) -> Mark:
    # From pixel centres to borders as whole numbers.
    places = [(float(column), float(row)) for row, column in points + np.float32(0.5)]
    return Mark(
        source=frame,
        label=segment.label,
        colour_rgb=segment.colour_rgb,
        points=(*places, places[0]),
        text="",
        tracking_id=tracking_id(segment),
        tracking_uid=tracking_uid(origin, segment),
    )


def scale_bar(plane: Plane, enlarged: float) -> list[Entry]:
    """Return the bar of a picture whose pixels are `enlarged` times those of the frame.

    None if the pixels of the frame have no known size, or not that of a microscope's.
    """
    column_mm = 0.0 if plane.spacing is None else float(plane.spacing[1])
    if not 0 < column_mm <= LARGEST_PIXEL_MM:
        return []
    px_per_um = enlarged / column_mm / 1000
    room_px = BAR_PART * enlarged * float(plane.header.Columns)
    fitting = [length for length in _LENGTHS_UM if length * px_per_um <= room_px]
    if not fitting:
        return []
    return [Entry(f"{fitting[-1]} um", bar_px=round(fitting[-1] * px_per_um))]


def _near(
    frame: SourceFrame, found: Instances, header: Dataset
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return which objects reach into a frame, and the (row, column) of its first pixel."""
    if header.get("SOPClassUID") != WHOLE_SLIDE:
        is_here = [source == frame for source in found.sources]
        chosen = np.flatnonzero(np.asarray(is_here, np.bool_)[found.frames])
        return chosen, np.zeros(2, np.float32)
    slide = slide_of(header)
    tile = next(tile for tile in slide.tiles if tile.frame == frame.number)
    corner = np.array([tile.row, tile.column], np.float32)
    if not len(found):
        return np.zeros(0, np.intp), corner
    lowest = np.minimum.reduceat(found.points, found.starts[:-1])
    highest = np.maximum.reduceat(found.points, found.starts[:-1])
    reaches = (highest >= corner) & (lowest <= corner + slide.tile_shape)
    return np.flatnonzero(reaches.all(axis=1)), corner
