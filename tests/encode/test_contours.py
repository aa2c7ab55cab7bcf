"""Outlines of masks, filled again by somebody else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from dicom_ai_node.encode.contours import contours


def area(polygon: NDArray[np.float64]) -> float:
    """Return the area that a polygon encloses, by the shoelace formula."""
    row, column = polygon.T
    return abs(float(row @ np.roll(column, 1) - column @ np.roll(row, 1))) / 2


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_filling_the_outlines_gives_the_mask_back(mask: NDArray[np.bool_]) -> None:
    """Pixel for pixel and in its area, whatever the mask, with holes in holes and corners only."""
    found = contours(mask)
    filled = np.zeros_like(mask)
    for polygon in found:
        filled |= polygon2mask(mask.shape, polygon)
    assert np.array_equal(filled, mask)
    assert sum(map(area, found)) == mask.sum()


def test_an_outline_runs_along_the_borders_of_the_pixels() -> None:
    """Half a pixel outside of the centres, with no point where it goes straight on."""
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    (outline,) = contours(mask)
    assert sorted(map(tuple, outline)) == [(0.5, 1.5), (0.5, 4.5), (2.5, 1.5), (2.5, 4.5)]


def test_a_hole_is_cut_out_by_a_keyhole() -> None:
    """One outline that goes to the hole and back by the same way, as PS3.3 C.8.8.6.3 has it."""
    mask = np.ones((7, 7), bool)
    mask[2:4, 3:5] = False
    (outline,) = contours(mask)
    assert area(outline) == mask.sum()
    assert list(map(tuple, outline)).count((-0.5, 2.5)) == 2


def test_an_empty_mask_has_no_outline() -> None:
    """Nothing is drawn where nothing was found."""
    assert contours(np.zeros((4, 4), bool)) == []
