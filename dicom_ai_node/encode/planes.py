"""Where a source frame lies: read from a single-frame header or from functional groups."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.encode.identity import by_instance

EVEN_WITHIN_MM = 0.01
"""Gaps between slices that differ by less are one spacing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One source frame and where it lies; lengths in mm, PS3.3 C.7.6.2.

    `position` and `orientation` keep the digits of the source, as PS3.10 text, so that viewers that
    compare positions find an exact match.
    """

    frame: SourceFrame
    header: Dataset
    position: tuple[str, ...] | None
    orientation: tuple[str, ...] | None
    spacing: tuple[str, ...] | None
    thickness: str | None

    @property
    def is_placed(self) -> bool:
        """Whether the frame has a place in the patient."""
        return bool(
            self.header.get("FrameOfReferenceUID")
            and self.position
            and self.orientation
            and self.spacing
        )

    @property
    def corner_mm(self) -> NDArray[np.float64]:
        """Centre of the first pixel as (x, y, z) in the patient."""
        return np.asarray(self.position, np.float64)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector that stands on the frame: row direction times column direction."""
        row, column = np.asarray(self.orientation, np.float64).reshape(2, 3)
        return np.cross(row, column)


def planes(frames: Sequence[SourceFrame], sources: Sequence[Dataset]) -> list[Plane]:
    """Return the plane of every frame, in order.

    Raises
    ------
    TaskFailed
        If a frame belongs to none of `sources`.
    """
    known = by_instance(sources)
    found = []
    for frame in frames:
        header = known.get(frame.sop_instance_uid)
        if header is None:
            raise TaskFailed("the findings name a frame that is none of the job's inputs")
        found.append(_plane(frame, header))
    return found


def are_placed(frames: Sequence[Plane]) -> bool:
    """Return whether all frames lie in one frame of reference."""
    references = {plane.header.get("FrameOfReferenceUID") for plane in frames}
    return len(references) == 1 and all(plane.is_placed for plane in frames)


def even_spacing_mm(frames: Sequence[Plane]) -> float | None:
    """Return the distance between neighbours along the normal, or `None` if it varies."""
    if len({plane.orientation for plane in frames}) != 1:
        return None
    normal = frames[0].normal
    heights = np.unique([round(float(normal @ plane.corner_mm), 4) for plane in frames])
    gaps = np.diff(heights)
    if not len(gaps) or float(np.ptp(gaps)) > EVEN_WITHIN_MM:
        return None
    return float(gaps.mean())


def order(frames: Sequence[Plane]) -> list[tuple[int, int]]:
    """Return (which time, which place) of every frame, both counted from 1.

    Places are counted along the normal of the first frame, times by how often the same place has
    come before. Frames without a place are counted as they come.
    """
    if not are_placed(frames):
        return [(1, index + 1) for index in range(len(frames))]
    normal = frames[0].normal
    keys = [
        (round(float(normal @ plane.corner_mm), 4), plane.position, plane.orientation)
        for plane in frames
    ]
    rank = {key: number for number, key in enumerate(sorted(set(keys)), start=1)}
    times: dict[int, int] = {}
    places = []
    for key in keys:
        place = rank[key]
        times[place] = times.get(place, 0) + 1
        places.append((times[place], place))
    return places


def pixel_aspect(plane: Plane) -> float:
    """Return how many times as high as wide a pixel is, 1 if the source does not say."""
    header = plane.header
    regions = header.get("SequenceOfUltrasoundRegions") or ()
    candidates = [
        plane.spacing,
        header.get("ImagerPixelSpacing"),
        [regions[0].get("PhysicalDeltaY"), regions[0].get("PhysicalDeltaX")] if regions else None,
        header.get("PixelAspectRatio"),
    ]
    for pair in candidates:
        if pair is None or isinstance(pair, str) or len(pair) != 2 or None in pair:  # noqa: PLR2004
            continue
        vertical, horizontal = (abs(float(value)) for value in pair)
        if vertical > 0 and horizontal > 0:
            return min(max(vertical / horizontal, 0.1), 10.0)
    return 1.0


def _plane(frame: SourceFrame, header: Dataset) -> Plane:
    return Plane(
        frame=frame,
        header=header,
        position=_texts(_lookup(header, frame, "PlanePositionSequence", "ImagePositionPatient"), 3),
        orientation=_texts(
            _lookup(header, frame, "PlaneOrientationSequence", "ImageOrientationPatient"), 6
        ),
        spacing=_texts(_lookup(header, frame, "PixelMeasuresSequence", "PixelSpacing"), 2),
        thickness=_thickness(_lookup(header, frame, "PixelMeasuresSequence", "SliceThickness")),
    )


def _lookup(header: Dataset, frame: SourceFrame, group: str, keyword: str) -> object:
    """Return an attribute of a frame: of its own group, of the shared one, or of the header."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or ()
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    own = per_frame[frame.number - 1 : frame.number]
    for item in (*own, *shared):
        macro = item.get(group) or ()
        if macro and macro[0].get(keyword) is not None:
            return macro[0].get(keyword)
    return header.get(keyword)


def _texts(value: object, length: int) -> tuple[str, ...] | None:
    if value is None or isinstance(value, str) or not isinstance(value, Sequence):
        return None
    return tuple(str(part) for part in value) if len(value) == length else None


def _thickness(value: object) -> str | None:
    return None if value is None or not float(str(value)) > 0 else str(value)
