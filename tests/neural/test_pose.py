"""The motion of a stiff thing, from points of which some are wrong."""

import numpy as np
import pytest

from dicom_ai_node.neural.pose import Pose, moved, points_on, pose

ANGLE = np.radians(12)
TURN = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])


def _square(side: int = 12) -> np.ndarray:
    mask = np.zeros((60, 80), np.bool_)
    mask[20 : 20 + side, 30 : 30 + side] = True
    return mask


def test_turn_and_shift_are_found_although_some_points_are_wrong() -> None:
    """A third of them has gone elsewhere, and the rest agrees."""
    before = points_on(_square(30), 16).astype(np.float64)
    after = (before - 35) @ TURN.T + [38.0, 33.0]
    after[::3] += [15.0, -9.0]
    found, agree = pose(before, after, np.ones(len(before)))
    truth = (before - 35) @ TURN.T + [38.0, 33.0]
    assert np.allclose(found.forth(before), truth, atol=0.05)
    assert np.allclose(found.back(truth), before, atol=0.05)
    assert agree == pytest.approx((len(before) - len(before[::3])) / len(before), abs=0.01)


def test_points_that_nobody_is_sure_of_do_not_count() -> None:
    """With no weight at all there is no motion and nobody agrees."""
    before = points_on(_square(), 9).astype(np.float64)
    weights = np.zeros(len(before))
    found, agree = pose(before, before + 5, weights)
    assert agree == 0
    assert np.allclose(found.forth(before), before)
    weights[:2] = 0.8
    found, agree = pose(before, before + 5, weights)
    assert np.allclose(found.forth(before), before + 5)
    assert agree == pytest.approx(1.6 / len(before))


def test_points_are_spread_over_the_mask_and_not_too_many() -> None:
    """However small it is, there is one; of nothing there is none."""
    found = points_on(_square(30), 25)
    assert 9 <= len(found) <= 25
    assert _square(30)[tuple(found.astype(int).T)].all()
    assert np.ptp(found[:, 0]) > 15
    assert points_on(_square(1), 25).tolist() == [[20, 30]]
    assert points_on(np.zeros((4, 4), np.bool_), 25).shape == (0, 2)


def test_a_mask_moves_with_the_motion_and_leaves_the_image() -> None:
    """Half a pixel covers half a pixel; what is outside is gone."""
    shifted = moved(_square(), Pose.shift(np.zeros(2), np.array([3.5, -2.0])))
    assert shifted[23, 33] == pytest.approx(0.5)
    assert shifted[24:35, 28:40].min() == 1
    assert shifted.sum() == pytest.approx(_square().sum())
    assert moved(_square(), Pose.shift(np.zeros(2), np.array([100.0, 0.0]))).sum() == 0
