"""The rulers that models are measured with."""

import math

import numpy as np
import pytest

from dicom_ai_node.training.scores import (
    circumference_mm,
    dice,
    ellipse_axes_mm,
    interval_of_mean,
    summaries,
    summary,
)


def ellipse(rows: int, columns: int, axes_px: tuple[float, float]) -> np.ndarray:
    """Return a filled upright ellipse with these full axes (rows, columns)."""
    y, x = np.indices((rows, columns))
    return ((y - rows / 2) / axes_px[0]) ** 2 + ((x - columns / 2) / axes_px[1]) ** 2 <= 0.25


def test_dice_is_one_where_both_are_empty_and_zero_where_only_one_is() -> None:
    """A structure that is rightly not found is no mistake."""
    empty, full = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)
    assert dice(empty, empty, 1) == 1.0
    assert dice(full, empty, 1) == 0.0
    assert dice(full, full, 1) == 1.0


def test_dice_counts_one_segment_only() -> None:
    """Half of one segment is found, the other does not count."""
    truth = np.array([[1, 1, 2, 2]], np.uint8)
    found = np.array([[1, 0, 1, 1]], np.uint8)
    assert dice(found, truth, 1) == pytest.approx(2 / 5)
    assert dice(found, truth, 2) == 0.0


def test_the_axes_of_an_ellipse_are_in_millimetres_even_if_pixels_are_oblong() -> None:
    """Rows of 0.5 mm and columns of 0.25 mm."""
    long, short = ellipse_axes_mm(ellipse(200, 300, (120, 160)), (0.5, 0.25))
    assert long == pytest.approx(60, rel=0.01)
    assert short == pytest.approx(40, rel=0.01)


def test_the_circumference_of_a_circle_is_pi_times_its_diameter() -> None:
    """Within a thousandth, for a head of common size."""
    assert circumference_mm(ellipse(200, 200, (150, 150)), (1.0, 1.0)) == pytest.approx(
        math.pi * 150, rel=1e-3
    )


def test_nothing_has_no_circumference() -> None:
    """An empty mask measures 0, it raises nothing."""
    assert circumference_mm(np.zeros((5, 5), bool), (1.0, 1.0)) == 0.0


def test_a_summary_tells_the_worst_case_too() -> None:
    """A mean alone hides the case that went wrong."""
    assert summary([0.9, 1.0, 0.2], ["a", "b", "c"]) == {
        "mean": 0.7, "sd": 0.4359, "median": 0.9, "min": 0.2, "max": 1.0, "cases": 3,
    }  # fmt: skip


def test_a_score_counts_only_the_cases_that_have_it() -> None:
    """A slice without lung says nothing about lungs."""
    found = summaries([{"lung": 0.5, "bone": 1.0}, {"bone": 0.5}], ["a", "b"])
    assert (found["lung"]["cases"], found["bone"]["cases"]) == (1, 2)


def test_the_interval_of_a_mean_is_that_of_statistics() -> None:
    """About two standard errors to either side, where all cases are independent."""
    values = np.random.default_rng(1).normal(5, 2, 400).tolist()
    low, high = interval_of_mean(values, [str(n) for n in range(400)])
    assert low == pytest.approx(np.mean(values) - 1.96 * 0.1, abs=0.03)
    assert high == pytest.approx(np.mean(values) + 1.96 * 0.1, abs=0.03)


def test_cases_that_are_alike_make_an_interval_wider() -> None:
    """Ten copies of a case say no more than one."""
    values = np.random.default_rng(1).normal(5, 2, 40).repeat(10).tolist()
    alone = interval_of_mean(values, [str(n) for n in range(400)])
    together = interval_of_mean(values, [str(n // 10) for n in range(400)])
    assert together[1] - together[0] > 2.5 * (alone[1] - alone[0])


def test_too_few_groups_have_no_interval() -> None:
    """Slices of two patients say nothing about a third, however many they are."""
    assert "low" not in summary([0.9] * 10, ["one", "two"] * 5)
    assert "low" in summary([0.9] * 10, list("abcde") * 2)
