"""Where the tiles of a slide lie, and which slides cannot be understood."""

from collections.abc import Callable

import numpy as np
import pytest
from highdicom.spatial import PixelToReferenceTransformer
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.slide import Tile, slide_of
from tests import phantoms


def test_tiles_of_a_full_slide_follow_each_other_row_by_row() -> None:
    """PS3.3 C.7.6.17.3: from the first pixel along the rows, numbered from 1."""
    slide = slide_of(phantoms.sm(rows=128, columns=192, tile_px=64))
    assert slide.shape == (128, 192)
    assert slide.tiles[:4] == (Tile(1, 0, 0), Tile(2, 0, 64), Tile(3, 0, 128), Tile(4, 64, 0))
    assert slide.covered_px == 128 * 192


def test_tiles_at_the_end_reach_beyond_the_matrix() -> None:
    """What lies beyond it is no part of the slide, and does not count."""
    slide = slide_of(
        phantoms.sm(rows=128, columns=128, TotalPixelMatrixRows=100, TotalPixelMatrixColumns=120)
    )
    assert slide.covered_px == 100 * 120


def test_tiles_of_a_sparse_slide_lie_where_they_say() -> None:
    """In any order, and with gaps."""
    slide = slide_of(phantoms.sparse(phantoms.sm(), [5, 0, 11]))
    assert slide.tiles == (Tile(1, 64, 64), Tile(2, 0, 0), Tile(3, 128, 192))
    assert slide.covered_px == 3 * 64 * 64


@pytest.mark.parametrize(
    "orientation", [[0, -1, 0, -1, 0, 0], [1, 0, 0, 0, 1, 0], [0.6, 0.8, 0, -0.8, 0.6, 0]]
)
def test_a_place_on_the_glass_is_that_of_another_implementation(orientation: list[float]) -> None:
    """highdicom maps pixels of the total matrix to the same millimetres."""
    ds = phantoms.sm(ImageOrientationSlide=orientation)
    theirs = PixelToReferenceTransformer.for_image(ds, for_total_pixel_matrix=True)
    points = np.array([[0, 0], [17, 5], [191, 255]])
    ours = slide_of(ds).to_mm(points.astype(np.float32))
    assert np.allclose(ours, theirs(np.ascontiguousarray(points[:, ::-1])), atol=1e-9)


def test_a_microscopy_image_in_one_piece_is_one_tile() -> None:
    """It has no place on the glass, and a spacing only if it says so."""
    slide = slide_of(phantoms.vl_microscopic(rows=50, columns=60))
    assert (slide.tiles, slide.spacing_mm, slide.origin_mm) == ((Tile(1, 0, 0),), None, None)
    assert slide_of(phantoms.vl_microscopic(PixelSpacing=[0.001, 0.002])).spacing_mm == (
        0.001,
        0.002,
    )
    with pytest.raises(ValueError, match="no place"):
        slide.to_mm(np.zeros((1, 2), np.float32))


def _several_planes() -> Dataset:
    return phantoms.sm(TotalPixelMatrixFocalPlanes=3)


def _several_paths() -> Dataset:
    return phantoms.sm(NumberOfOpticalPaths=2)


def _part_of_a_slide() -> Dataset:
    return phantoms.sm(ConcatenationUID="2.25.1")


def _too_few() -> Dataset:
    return phantoms.sm(NumberOfFrames=11)


def _no_size() -> Dataset:
    return phantoms.sm(TotalPixelMatrixRows=None)


def _several_frames() -> Dataset:
    return phantoms.vl_microscopic(NumberOfFrames=2)


def _tile_outside() -> Dataset:
    ds = phantoms.sparse(phantoms.sm(), range(12))
    position = ds.PerFrameFunctionalGroupsSequence[3].PlanePositionSlideSequence[0]
    position.RowPositionInTotalImagePixelMatrix = 500
    return ds


def _tile_nowhere() -> Dataset:
    ds = phantoms.sparse(phantoms.sm(), range(12))
    del ds.PerFrameFunctionalGroupsSequence[3].PlanePositionSlideSequence
    return ds


def _group_missing() -> Dataset:
    ds = phantoms.sparse(phantoms.sm(), range(12))
    del ds.PerFrameFunctionalGroupsSequence[3]
    return ds


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        pytest.param(_several_planes, "GEO_MULTIFRAME", "focal planes", id="several focal planes"),
        pytest.param(_several_paths, "GEO_MULTIFRAME", "optical paths", id="several optical paths"),
        pytest.param(_part_of_a_slide, "GEO_MULTIFRAME", "concatenation", id="one of many parts"),
        pytest.param(_too_few, "GEO_MULTIFRAME", "11 tiles", id="a tile too few"),
        pytest.param(_several_frames, "GEO_MULTIFRAME", "several frames", id="several pictures"),
        pytest.param(_tile_outside, "GEO_MULTIFRAME", "outside", id="a tile outside"),
        pytest.param(_group_missing, "GEO_MULTIFRAME", "12 tiles and 11", id="a group too few"),
        pytest.param(_no_size, "GEO_MISSING_ATTRIBUTE", "TotalPixelMatrix", id="no size"),
        pytest.param(_tile_nowhere, "GEO_MISSING_ATTRIBUTE", "a tile", id="a tile without a place"),
    ],
)
def test_what_cannot_be_put_together_is_declined(
    make: Callable[[], Dataset], code: str, words: str
) -> None:
    """A slide in the wrong order would be counted wrong, and nobody would notice."""
    with pytest.raises(Rejected, match=words) as reason:
        slide_of(make())
    assert reason.value.code is RejectCode[code]
