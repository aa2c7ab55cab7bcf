"""The picture on the card of a classifier tells whether its probabilities can be believed."""

import numpy as np
import pytest

from dicom_ai_node.training.certainty import calibration_error
from dicom_ai_node.training.reliability import HEIGHT_PX, WIDTH_PX, bins_of, reliability_picture


def test_the_bins_are_those_of_the_calibration_error() -> None:
    """Weighted with their pictures, their distances from the diagonal add up to it."""
    random = np.random.default_rng(2)
    sure = random.uniform(0.5, 1, 500)
    found = np.stack([sure, 1 - sure], axis=1)
    labels = (random.uniform(size=500) > 0.8 * sure).astype(np.int64)
    bins = bins_of(found, labels)
    assert sum(one.count for one in bins) == 500
    error = sum(one.count / 500 * abs(one.certainty - one.right) for one in bins)
    assert error == pytest.approx(calibration_error(found, labels))


def test_an_interval_is_told_even_where_a_bin_is_all_right() -> None:
    """Three of three right may still be seven of ten."""
    found = np.array([[0.95, 0.05]] * 3)
    (only,) = bins_of(found, np.zeros(3, np.int64))
    assert (only.right, only.count) == (1.0, 3)
    assert only.low == pytest.approx(0.4385, abs=1e-3)
    assert only.high == pytest.approx(1.0)


def test_a_point_lies_where_its_numbers_say() -> None:
    """Half way up and 75 % to the right."""
    found = np.array([[0.75, 0.25]] * 10)
    labels = np.array([0, 1] * 5, np.int64)
    pixels = np.asarray(reliability_picture(bins_of(found, labels), "Test"))
    assert pixels.shape == (HEIGHT_PX, WIDTH_PX, 3)
    blue = np.argwhere((pixels == (0, 90, 180)).all(-1))
    assert blue.mean(0) == pytest.approx([60 + 220, 80 + 0.75 * 440], abs=2)
