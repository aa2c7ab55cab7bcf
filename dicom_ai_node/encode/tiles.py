"""Where the tiles of a result on a slide lie, PS3.3 C.7.6.17, C.8.12.6 and C.8.12.14.

A segmentation of a slide has frames where something was found and nowhere else, TILED_SPARSE; each
is a tile of the source.
"""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_ai_node.domain.slide import WHOLE_SLIDE, Slide, Tile, slide_of
from dicom_ai_node.encode.planes import Plane

_POINTERS = (
    ("ReferencedSegmentNumber", "SegmentIdentificationSequence"),
    ("RowPositionInTotalImagePixelMatrix", "PlanePositionSlideSequence"),
    ("ColumnPositionInTotalImagePixelMatrix", "PlanePositionSlideSequence"),
)
_SPECIMEN = (
    "ContainerIdentifier", "IssuerOfTheContainerIdentifierSequence", "ContainerTypeCodeSequence",
    "SpecimenDescriptionSequence",
)  # fmt: skip


def is_on_slide(header: Dataset) -> bool:
    """Return whether an image is one of a whole slide that knows where it lies on the glass."""
    if header.get("SOPClassUID") != WHOLE_SLIDE or not header.get("FrameOfReferenceUID"):
        return False
    slide = slide_of(header)
    return slide.origin_mm is not None and slide.spacing_mm is not None


def add_place(result: Dataset, source: Dataset) -> None:
    """Say on which slide a result lies, by what both share, and of which specimen it is."""
    result.FrameOfReferenceUID = source.FrameOfReferenceUID
    result.PositionReferenceIndicator = source.get("PositionReferenceIndicator") or None
    if source.get("ContainerIdentifier") and source.get("SpecimenDescriptionSequence"):
        for keyword in _SPECIMEN:
            if keyword in source:
                setattr(result, keyword, source.get(keyword))
        for keyword in _SPECIMEN[1:3]:  # Type 2
            if keyword not in result:
                setattr(result, keyword, [])


def add_tiles(
    seg: Dataset, numbers: Sequence[int | None], where: Sequence[Plane], organization_uid: str
) -> None:
    """Add matrix, dimensions and the place of every frame.

    Parameters
    ----------
    seg
        Has functional groups for all frames, without place and dimensions.
    numbers
        Of the segment that a frame shows, or `None` where its pixels say that.
    where
        The tile of every frame.
    """
    source = where[0].header
    slide = slide_of(source)
    tiles = {tile.frame: tile for tile in slide.tiles}
    _add_matrix(seg, source, slide)
    _add_dimensions(seg, numbers, organization_uid)
    shown = [tiles[plane.frame.number] for plane in where]
    rows = {row: at for at, row in enumerate(sorted({tile.row for tile in shown}), start=1)}
    columns = {row: at for at, row in enumerate(sorted({tile.column for tile in shown}), start=1)}
    groups = seg.PerFrameFunctionalGroupsSequence
    for group, number, tile in zip(groups, numbers, shown, strict=True):
        content = Dataset()
        segment = [] if number is None else [number]
        content.DimensionIndexValues = [*segment, rows[tile.row], columns[tile.column]]
        group.FrameContentSequence = [content]
        group.PlanePositionSlideSequence = [_position(slide, tile)]


def _add_matrix(seg: Dataset, source: Dataset, slide: Slide) -> None:
    seg.DimensionOrganizationType = "TILED_SPARSE"
    seg.TotalPixelMatrixRows, seg.TotalPixelMatrixColumns = slide.shape
    seg.TotalPixelMatrixFocalPlanes = 1
    seg.ImageOrientationSlide = [str(value) for value in source.ImageOrientationSlide]
    origin = Dataset()
    for axis in "XY":
        keyword = f"{axis}OffsetInSlideCoordinateSystem"
        setattr(origin, keyword, str(source.TotalPixelMatrixOriginSequence[0].get(keyword)))
    seg.TotalPixelMatrixOriginSequence = [origin]


def _add_dimensions(seg: Dataset, numbers: Sequence[int | None], organization_uid: str) -> None:
    organization = Dataset()
    organization.DimensionOrganizationUID = organization_uid
    seg.DimensionOrganizationSequence = [organization]
    seg.DimensionIndexSequence = []
    for keyword, group in _POINTERS[1 if numbers[0] is None else 0 :]:
        item = Dataset()
        item.DimensionIndexPointer = Tag(keyword)
        item.FunctionalGroupPointer = Tag(group)
        item.DimensionOrganizationUID = organization_uid
        item.DimensionDescriptionLabel = keyword
        seg.DimensionIndexSequence.append(item)


def _position(slide: Slide, tile: Tile) -> Dataset:
    x, y, z = slide.corner_mm(tile)
    position = Dataset()
    position.XOffsetInSlideCoordinateSystem = f"{x:.10g}"
    position.YOffsetInSlideCoordinateSystem = f"{y:.10g}"
    position.ZOffsetInSlideCoordinateSystem = f"{z:.10g}"
    position.RowPositionInTotalImagePixelMatrix = tile.row + 1
    position.ColumnPositionInTotalImagePixelMatrix = tile.column + 1
    return position
