"""Scores of objects against numbers that were worked out by hand."""

import numpy as np
import pytest

from dicom_ai_node.training.matching import overlaps_of, scores


def rows(*spans: tuple[int, int, int]) -> np.ndarray:
    """Return one row of 40 pixels with objects of (number, first, end)."""
    objects = np.zeros((1, 40), np.int32)
    for number, first, end in spans:
        objects[0, first:end] = number
    return objects


def test_the_same_objects_under_other_numbers_are_the_same() -> None:
    """Numbers are names, no more."""
    found = scores(rows((1, 0, 10), (2, 20, 30)), rows((7, 20, 30), (3, 0, 10)))
    assert [found[name] for name in ("Dice", "AJI", "F1 at IoU 0.5", "PQ")] == [1, 1, 1, 1]
    assert found["Data Science Bowl score"] == 1
    assert found["count, error"] == 0


def test_two_empty_fields_agree_and_a_phantom_does_not() -> None:
    """Where there is nothing, the one right answer is nothing."""
    empty, one = rows(), rows((1, 3, 9))
    assert scores(empty, empty)["AJI"] == scores(empty, empty)["PQ"] == 1
    for drawn, found in ((empty, one), (one, empty)):
        assert {scores(drawn, found)[name] for name in ("Dice", "AJI", "PQ")} == {0}
    assert scores(empty, one)["count, error"] == 1


def test_scores_are_those_worked_out_by_hand() -> None:
    """One object shifted by two of ten pixels, one missed, one that is not there."""
    found = scores(rows((1, 0, 10), (2, 15, 20)), rows((1, 2, 12), (2, 30, 35)))
    assert found["Dice"] == pytest.approx(2 * 8 / 30)
    assert found["AJI"] == pytest.approx(8 / (12 + 5 + 5))
    assert found["F1 at IoU 0.5"] == pytest.approx(0.5)
    assert found["PQ"] == pytest.approx(8 / 12 / 2)
    # An overlap of 2/3 is above 0.50, 0.55, 0.60 and 0.65: 1 hit of 3 objects at four of ten.
    assert found["Data Science Bowl score"] == pytest.approx(4 / 10 / 3)
    assert (found["count, error"], found["count, absolute error"]) == (0, 0)


def test_two_nuclei_in_one_are_a_mistake() -> None:
    """All pixels are right, and half of the cells are lost."""
    found = scores(rows((1, 0, 10), (2, 10, 20)), rows((1, 0, 20)))
    assert found["Dice"] == 1
    assert found["PQ"] == 0
    assert found["count, error"] == -1


def test_a_field_without_background_is_counted_right() -> None:
    """Every pixel may belong to an object."""
    whole = np.ones((2, 3), np.int32)
    assert overlaps_of(whole, whole).shared.tolist() == [[6]]
    assert scores(whole, whole)["AJI"] == 1
