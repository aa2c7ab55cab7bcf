"""A course tells how a quantity has changed, and no more than that."""

from dataclasses import replace

import pytest

from tests.encode import scenes


def test_the_change_is_that_since_the_study_before() -> None:
    """In the unit, in percent of what it was, and over how many days."""
    course = scenes.course("Liver", 1000.0, 800.0, 880.0)
    assert course.change == pytest.approx(80)
    assert course.change_percent == pytest.approx(10)
    assert course.days == pytest.approx(90)
    assert len(course.reports) == 2


def test_the_rate_is_the_slope_over_all_studies() -> None:
    """Least squares: the study in the middle of three does not tilt the line."""
    assert scenes.course("Liver", 100.0, 1000.0, 280.0).per_day == pytest.approx(1.0)


def test_nothing_is_a_percentage_of_nothing() -> None:
    """Nor of a negative value, as of air in Hounsfield units."""
    assert scenes.course("Liver", 0.0, 5.0).change_percent is None
    assert scenes.course("Liver", -700.0, -650.0).change_percent is None


def test_only_what_grows_has_a_rate() -> None:
    """An attenuation has none, nor has anything that was measured twice on one day."""
    course = scenes.course("Liver", 1.0, 2.0)
    assert replace(course, unit=scenes.codes.UCUM.HounsfieldUnit).per_day is None
    first, last = course.points
    same_day = replace(last, at=first.at.replace(hour=20))
    assert replace(course, points=(first, same_day)).per_day is None
