"""What tells the frames of a result apart and where each lies, PS3.3 C.7.6.16 and C.7.6.17.

Planes are always those of the source, in the digits of the source.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_ai_node.encode.planes import Plane, even_spacing_mm


@dataclass(frozen=True, slots=True)
class Dimensions:
    """By what the frames are told apart: segment, time, and place or order."""

    by_segment: bool
    by_time: bool
    by_place: bool
    uid: str

    def describe(self, image: Dataset) -> None:
        """Add Dimension Organization and Dimension Index Sequence."""
        pointers = [("ReferencedSegmentNumber", "SegmentIdentificationSequence")] * self.by_segment
        pointers += [("TemporalPositionIndex", "FrameContentSequence")] * (
            self.by_time or not self.by_place
        )
        pointers += [("ImagePositionPatient", "PlanePositionSequence")] * self.by_place
        organization = Dataset()
        organization.DimensionOrganizationUID = self.uid
        image.DimensionOrganizationSequence = [organization]
        image.DimensionIndexSequence = []
        for keyword, group in pointers:
            item = Dataset()
            item.DimensionIndexPointer = Tag(keyword)
            item.FunctionalGroupPointer = Tag(group)
            item.DimensionOrganizationUID = self.uid
            item.DimensionDescriptionLabel = keyword
            image.DimensionIndexSequence.append(item)

    def values(self, segment: int | None, time: int, place: int) -> Dataset:
        """Return the item of Frame Content Sequence of one frame."""
        content = Dataset()
        values = [] if segment is None else [segment]
        if self.by_time or not self.by_place:
            # Frames without a place are told apart by their order alone.
            content.TemporalPositionIndex = time if self.by_place else place
            values.append(content.TemporalPositionIndex)
        if self.by_place:
            values.append(place)
        content.DimensionIndexValues = values
        return content


def common_geometry(where: Sequence[Plane]) -> Dataset:
    """Return the shared group: pixel measures and orientation where all frames agree."""
    shared = Dataset()
    if len({(plane.spacing, plane.thickness) for plane in where}) == 1:
        shared.PixelMeasuresSequence = [measures(where[0], even_spacing_mm(where))]
    if len({plane.orientation for plane in where}) == 1:
        shared.PlaneOrientationSequence = [_orientation(where[0])]
    return shared


def place(item: Dataset, plane: Plane, shared: Dataset) -> None:
    """Say in the groups of one frame where it lies, as far as the shared groups do not."""
    position = Dataset()
    position.ImagePositionPatient = list(plane.position or ())
    item.PlanePositionSequence = [position]
    if "PixelMeasuresSequence" not in shared:
        item.PixelMeasuresSequence = [measures(plane, None)]
    if "PlaneOrientationSequence" not in shared:
        item.PlaneOrientationSequence = [_orientation(plane)]


def measures(plane: Plane, between_mm: float | None) -> Dataset:
    """Return the item of Pixel Measures Sequence; `between_mm` is `None` where gaps vary."""
    item = Dataset()
    item.PixelSpacing = list(plane.spacing or ())
    if between_mm is not None:
        item.SpacingBetweenSlices = f"{between_mm:.10g}"
    thickness = plane.thickness or (None if between_mm is None else f"{between_mm:.10g}")
    if thickness is not None:
        item.SliceThickness = thickness
    return item


def _orientation(plane: Plane) -> Dataset:
    orientation = Dataset()
    orientation.ImageOrientationPatient = list(plane.orientation or ())
    return orientation
