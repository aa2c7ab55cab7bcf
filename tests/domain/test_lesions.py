"""Which lesions are targets, and what their sum is like."""

from dataclasses import replace

import pytest

from dicom_ai_node.domain.lesions import (
    COMPLETE,
    PARTIAL,
    PROGRESSIVE,
    STABLE,
    Code,
    Response,
    targets,
)


@pytest.mark.parametrize(
    ("now", "first", "least", "like"),
    [
        pytest.param(0, 50, 50, COMPLETE, id="nothing left"),
        pytest.param(35, 50, 50, PARTIAL, id="30 % less than at the first study"),
        pytest.param(36, 50, 50, STABLE, id="a little more than that"),
        pytest.param(60, 50, 50, PROGRESSIVE, id="20 % more than the least"),
        pytest.param(30, 50, 25, PROGRESSIVE, id="more than the least, though less than at first"),
        pytest.param(24, 100, 20, PARTIAL, id="20 % more but not 5 mm"),
        pytest.param(50, 50, 50, STABLE, id="the same"),
        pytest.param(6, 50, 0, PROGRESSIVE, id="again there after it was gone"),
    ],
)
def test_the_sum_is_judged_as_in_recist(now: float, first: float, least: float, like: Code) -> None:
    """Thresholds of RECIST 1.1: 30 % below the first sum, 20 % and 5 mm above the least."""
    told = Response(targets=(1,), sum_mm=now, baseline_mm=first, nadir_mm=least, new=0)
    assert told.category == like
    assert told.is_progressive is (like == PROGRESSIVE)
    assert replace(told, new=1).is_progressive


def test_targets_are_the_longest_but_not_all_of_one_organ() -> None:
    """At most two of an organ, five in all, none shorter than 10 mm."""
    lung = [(number, 40.0 - number, "lung") for number in (1, 2, 3)]
    assert targets(lung) == (1, 2)
    assert targets([*lung, (4, 9.9, "liver"), (5, 10.0, "liver")]) == (1, 2, 5)
    many = [(number, 20.0, f"organ {number}") for number in range(1, 9)]
    assert targets(many) == (1, 2, 3, 4, 5)
    assert targets([(1, 9.0, "lung")]) == ()
