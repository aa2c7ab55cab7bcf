"""Scores of boxes: worked by hand on a few, and what they do on the edge."""

import numpy as np
import pytest

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.training.detections import (
    Found,
    Judged,
    Truth,
    average_precision,
    best_threshold,
    box_calibration_error,
    false_from,
    interval,
    judged,
    mean_average_precision,
    overlap_from,
    platt,
    sensitivity_at,
    sensitivity_from,
)

HERE, THERE = Corners(0, 0, 10, 10), Corners(20, 20, 40, 40)
NEAR = Corners(0, 2, 10, 10)
"""Overlaps HERE by 0.8."""


def image(*boxes: tuple[float, bool], truths: int = 1) -> Judged:
    """Return an image of one class with (score, is right)."""
    rows = [(0, score, 0.8 if is_right else 0.0) for score, is_right in boxes]
    return Judged(np.array(rows, float).reshape(-1, 3), np.array([truths]))


def test_each_true_box_is_found_once() -> None:
    """A second box on it is false, however well it lies; the surer one is right."""
    found = [Found(0, 0.5, HERE), Found(0, 0.9, NEAR), Found(0, 0.7, THERE)]
    rows = judged(found, [Truth(0, HERE), Truth(0, THERE)], 1).boxes
    assert rows[:, 1].tolist() == [0.9, 0.7, 0.5]
    assert rows[:, 2].tolist() == pytest.approx([0.8, 1.0, 0.0])


def test_a_box_of_another_class_is_false() -> None:
    """A left lung in the place of the right one is no lung found."""
    result = judged([Found(1, 0.9, HERE)], [Truth(0, HERE)], 2)
    assert result.boxes[:, 2].tolist() == [0.0]
    assert result.truths.tolist() == [1, 0]


def test_average_precision_as_worked_by_hand() -> None:
    """Right, false, right of three: precision 1 up to a third, 2/3 up to two thirds."""
    images = [image((0.9, True), (0.8, False)), image((0.7, True)), image()]
    assert average_precision(0)(images) == pytest.approx((1 + 2 / 3) / 3)
    assert average_precision(0, 0.85)(images) == 0
    assert mean_average_precision(1)(images) == pytest.approx((1 + 2 / 3) / 3)


def test_sensitivity_has_its_price() -> None:
    """At no false box only what is surer than the first one, at half a false box per image more."""
    images = [image((0.9, True), (0.8, False)), image((0.7, True))]
    assert sensitivity_at(0.0)(images) == 0.5
    assert sensitivity_at(0.5)(images) == 1.0


def test_a_threshold_decides_what_counts() -> None:
    """For sensitivity, false boxes and overlap alike."""
    images = [image((0.9, True), (0.8, False)), image((0.7, True))]
    assert sensitivity_from(0.75)(images) == 0.5
    assert false_from(0.75)(images) == 0.5
    assert false_from(0.85)(images) == 0.0
    assert overlap_from(0.75)(images) == pytest.approx(0.8)


def test_the_operating_point_lies_between_two_scores() -> None:
    """Above it is what raises F1, so that rounding moves nothing across it."""
    assert best_threshold([image((0.9, True), (0.3, False)), image((0.7, True))]) == 0.5


def test_scores_that_are_as_often_right_as_they_say_have_no_error() -> None:
    """Seven of ten at 0.7; where they say 0.9, the error is 0.2."""
    honest = [image((0.75, n < 7)) for n in range(10)]
    assert box_calibration_error(honest) == pytest.approx(0.05)
    boastful = [image((0.9, n < 7)) for n in range(10)]
    assert box_calibration_error(boastful) == pytest.approx(0.2)


def test_calibration_makes_scores_honest() -> None:
    """A network that is always twice too sure of itself is brought back."""
    random = np.random.default_rng(1)
    true = random.normal(0, 1.5, 4000)
    right = random.random(4000) < 1 / (1 + np.exp(-true))
    slope, offset = platt(2 * true + 1, right)
    assert slope == pytest.approx(0.5, abs=0.05)
    assert offset == pytest.approx(-0.5, abs=0.1)


def test_calibration_of_a_handful_stays_off_certainty() -> None:
    """Five right and two wrong boxes do not make a probability of 1."""
    logits = np.array([2.0, 2.5, 3, 3.5, 4, -2, -3])
    slope, offset = platt(logits, logits > 0)
    assert 1 / (1 + np.exp(-(slope * 4 + offset))) < 0.95


def test_an_interval_draws_whole_groups() -> None:
    """Ten images of one patient are one throw of the dice, and the interval is wide."""
    images = [image((0.9, n < 10)) for n in range(20)]
    alone = interval(sensitivity_from(0.5), images, [str(n) for n in range(20)])
    together = interval(sensitivity_from(0.5), images, [str(n // 10) for n in range(20)])
    assert together == (0.0, 1.0)
    assert together[0] < alone[0] < 0.5 < alone[1] < together[1]


def test_nothing_to_find_has_no_sensitivity() -> None:
    """It is not a number, and no 0 or 1."""
    empty = [image(truths=0)]
    for measure in (
        average_precision(0),
        sensitivity_at(1.0),
        sensitivity_from(0),
        overlap_from(0),
    ):
        assert np.isnan(measure(empty))
    assert np.isnan(box_calibration_error(empty))
