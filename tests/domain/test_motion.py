"""What a path over time says in plain numbers."""

import numpy as np
import pytest

from dicom_ai_node.domain.motion import (
    along_axis,
    path_length,
    period_ms,
    smoothed,
    speeds,
)

TIMES_MS = np.arange(50) * 40.0


def test_the_main_axis_is_the_one_along_which_things_move() -> None:
    """A motion of 10 along a diagonal has an excursion of 10 on it, and none across."""
    way = 5 * np.sin(TIMES_MS / 300)[:, None] * [0.6, 0.8]
    turned = along_axis(way + np.array([40.0, 30.0]))
    assert np.ptp(turned[:, 0]) == pytest.approx(np.ptp(5 * np.sin(TIMES_MS / 300)))
    assert np.abs(turned[:, 1]).max() < 1e-9
    assert np.abs(turned[0]).max() < 1e-9


def test_the_larger_excursion_is_positive() -> None:
    """A plot does not stand on its head because an axis has two ends."""
    way = np.stack([np.zeros(9), -np.array([0, 1, 3, 6, 7, 5, 2, 0, 1.0])], axis=1)
    assert along_axis(way)[:, 0].max() == pytest.approx(7)


def test_where_nobody_knows_the_place_it_stays_unknown() -> None:
    """A lost frame is a gap, in the curve and in the speeds."""
    way = np.stack([np.arange(6.0), np.zeros(6)], axis=1)
    way[3] = np.nan
    assert np.isnan(along_axis(way)[3]).all()
    assert np.isnan(smoothed(way)[3]).all()
    assert np.allclose(speeds(way, np.arange(6) * 1000.0), 1)
    assert len(speeds(way, np.arange(6) * 1000.0)) == 3
    assert path_length(way) == pytest.approx(5)
    assert np.isnan(along_axis(np.full((3, 2), np.nan))).all()
    assert path_length(np.full((3, 2), np.nan)) == 0


def test_jitter_makes_a_path_longer_by_less_than_it_would() -> None:
    """Places that are off by a tenth do not add a tenth each."""
    still = np.random.default_rng(1).normal(0, 0.1, (200, 2))
    plain = np.linalg.norm(np.diff(still, axis=0), axis=1).sum()
    assert path_length(still) < 0.5 * plain


@pytest.mark.parametrize("period", [250.0, 480.0, 900.0])
def test_a_motion_that_repeats_has_its_period(period: float) -> None:
    """Also with a drift, some noise and frames that are missing."""
    noise = np.random.default_rng(2).normal(0, 0.2, len(TIMES_MS))
    values = 3 * np.sin(2 * np.pi * TIMES_MS / period + 1) + TIMES_MS / 500 + noise
    values[[7, 8, 30]] = np.nan
    assert period_ms(values, TIMES_MS) == pytest.approx(period, rel=0.03)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.sin(2 * np.pi * TIMES_MS / 1500), id="less than two cycles"),
        pytest.param(TIMES_MS / 10, id="a drift"),
        pytest.param(np.random.default_rng(3).normal(size=50), id="noise"),
        pytest.param(np.zeros(50), id="rest"),
        pytest.param(np.full(50, np.nan), id="nothing known"),
    ],
)
def test_what_is_not_seen_to_repeat_has_no_period(values: np.ndarray) -> None:
    """A number that was not seen is not told."""
    assert period_ms(values, TIMES_MS) is None
