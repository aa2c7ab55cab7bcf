"""Where the tiles of a result on a slide lie."""

from collections.abc import Sequence

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.slide import slide_of
from dicom_ai_node.encode.segmentation import encode
from dicom_ai_node.encode.tiles import is_on_slide
from tests import phantoms
from tests.encode import scenes


def segmentation(scene: scenes.Scene) -> Dataset:
    """Return the one segmentation of a scene."""
    (seg,) = encode(scene.findings, scene.origin)
    return seg


@pytest.mark.parametrize("source", ["whole slide", "sparse slide"])
def test_every_frame_lies_where_its_tile_lies(source: str) -> None:
    """In the matrix and in millimetres, and it names the tile it was made from."""
    scene = scenes.counted(scenes.COUNTED[source]())
    slide = slide_of(scene.origin.sources[0])
    tiles = {tile.frame: tile for tile in slide.tiles}
    seg = segmentation(scene)
    assert seg.DimensionOrganizationType == "TILED_SPARSE"
    assert (seg.TotalPixelMatrixRows, seg.TotalPixelMatrixColumns) == slide.shape
    for group in seg.PerFrameFunctionalGroupsSequence:
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        tile = tiles[image.ReferencedFrameNumber]
        (place,) = group.PlanePositionSlideSequence
        assert place.RowPositionInTotalImagePixelMatrix == tile.row + 1
        assert place.ColumnPositionInTotalImagePixelMatrix == tile.column + 1
        offsets = [float(place[f"{axis}OffsetInSlideCoordinateSystem"].value) for axis in "XYZ"]
        assert np.allclose(offsets, slide.corner_mm(tile))


def test_frames_are_told_apart_by_row_and_column() -> None:
    """The dimension index values are unique and in the order of the places."""
    seg = segmentation(scenes.counted(scenes.COUNTED["whole slide"]()))
    values = [
        tuple(group.FrameContentSequence[0].DimensionIndexValues)
        for group in seg.PerFrameFunctionalGroupsSequence
    ]
    assert len(set(values)) == len(values)
    assert values == sorted(values)
    assert len(seg.DimensionIndexSequence) == 3


@pytest.mark.parametrize(
    ("images", "answer"),
    [
        ([phantoms.sm()], True),
        ([phantoms.sm(FrameOfReferenceUID=None)], False),
        ([phantoms.sm(TotalPixelMatrixOriginSequence=None)], False),
        ([phantoms.vl_microscopic()], False),
        (phantoms.ct(slices=1), False),
    ],
)
def test_only_a_whole_slide_with_a_place_is_on_the_glass(
    images: Sequence[Dataset],
    answer: bool,
) -> None:
    """Anything else would be put somewhere it is not."""
    assert is_on_slide(images[0]) is answer
