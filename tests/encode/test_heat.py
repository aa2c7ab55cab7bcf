"""The colours of a heat map."""

import numpy as np

from dicom_ai_node.encode.heat import MOST_COVERED, blended, coloured, scale

LUMA = np.array([0.2126, 0.7152, 0.0722])


def test_more_heat_is_always_lighter() -> None:
    """So that it is read without telling colours apart, and on a grey print."""
    lightness = coloured(np.linspace(0, 1, 200)) @ LUMA
    assert (np.diff(lightness) > 0).all()


def test_where_nothing_speaks_for_the_class_the_image_stays_as_it_is() -> None:
    """And where most does, the image can still be seen through it."""
    image = np.full((1, 2, 3), 100, np.float32)
    shown = blended(image, np.array([[0.0, 1.0]]))
    assert (shown[0, 0] == 100).all()
    hottest = coloured(np.array(1.0))
    assert np.allclose(shown[0, 1], 100 + MOST_COVERED * (hottest - 100))


def test_heat_outside_of_its_range_is_clipped() -> None:
    """A rounding error makes no new colour."""
    assert np.array_equal(coloured(np.array([-1.0, 2.0])), coloured(np.array([0.0, 1.0])))


def test_the_scale_runs_from_none_to_most() -> None:
    """Every colour of a picture is found on it."""
    bar = scale(64, 5)
    assert bar.shape == (5, 64, 3)
    assert (bar == bar[:1]).all()
    assert np.array_equal(bar[0, [0, -1]], np.rint(coloured(np.array([0.0, 1.0]))))
