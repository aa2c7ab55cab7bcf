"""An outline is drawn where the image rises, whatever the network marked around it."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dicom_ai_node.neural.outline import outlined


def _ball(centre: tuple[int, int, int], radius: float) -> NDArray[np.bool_]:
    places = np.indices((24, 32, 32)) - np.array(centre)[:, None, None, None]
    return np.asarray((places**2).sum(0) <= radius**2)


def _seen(truth: NDArray[np.bool_], low: float, top: float) -> NDArray[np.float32]:
    soft = ndimage.gaussian_filter(truth.astype(np.float32), 1.5)
    return (low + (top - low) * soft / soft.max()).astype(np.float32)


@pytest.mark.parametrize("low", [0.0, 0.5, 3.0])
def test_a_ball_that_was_marked_too_widely_gets_its_size_back(low: float) -> None:
    """At 40 % of the rise lies its border, however warm its surroundings are."""
    truth = _ball((12, 16, 16), 5)
    found = outlined(_ball((12, 16, 16), 8), _seen(truth, low, 6.0), 0.4)
    assert found.sum() == pytest.approx(truth.sum(), rel=0.08)
    assert (found & truth).sum() > 0.93 * truth.sum()


def test_each_part_has_a_threshold_of_its_own() -> None:
    """A faint lesion is not lost beside a hot one."""
    hot, faint = _ball((12, 8, 8), 4), _ball((12, 22, 22), 4)
    values = _seen(hot, 0.0, 20.0) + _seen(faint, 0.0, 2.0)
    found = outlined(_ball((12, 8, 8), 6) | _ball((12, 22, 22), 6), values, 0.4)
    assert found[hot].mean() > 0.9
    assert found[faint].mean() > 0.9


def test_nothing_is_added_and_what_does_not_rise_stays() -> None:
    """A cold part cannot be outlined by its heat."""
    marked = _ball((12, 16, 16), 4)
    cold = np.where(marked, 1.0, 2.0).astype(np.float32)
    assert np.array_equal(outlined(marked, cold, 0.4), marked)
    assert not outlined(np.zeros_like(marked), cold, 0.4).any()
    rising = np.random.default_rng(1).normal(1, 0.2, marked.shape).astype(np.float32)
    assert not (outlined(marked, rising, 0.4) & ~marked).any()


def test_what_fills_the_whole_image_rises_from_zero() -> None:
    """It has no surroundings to compare with."""
    values = np.linspace(0, 1, 27, dtype=np.float32).reshape(3, 3, 3)
    found = outlined(np.ones((3, 3, 3), bool), values, 0.5)
    assert np.array_equal(found, values >= 0.5)
