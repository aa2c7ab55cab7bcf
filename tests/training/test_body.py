"""Made patients in numbers, and what they do to the uptake of FDG."""

from dataclasses import replace

import numpy as np
import pytest

from dicom_ai_node.training.body import FEMALE, MALE, Body, drawn_body, drawn_told

USUAL = Body(age=60, sex=MALE, weight=80, size=1.8, glucose=100, crp=3)


def test_lean_mass_is_that_of_the_published_equations() -> None:
    """A man of 80 kg and 1.80 m has 61 kg of it, a woman of 70 kg and 1.65 m 43 kg."""
    assert USUAL.lean_kg == pytest.approx(61.7, abs=0.2)
    assert replace(USUAL, sex=FEMALE, weight=70, size=1.65).lean_kg == pytest.approx(43.1, abs=0.2)


def test_more_fat_makes_all_else_look_more_avid() -> None:
    """SUV by body weight is higher than by lean mass, the more so the heavier one is."""
    assert replace(USUAL, weight=130).per_lean > replace(USUAL, weight=70).per_lean


def test_glucose_competes_with_the_tracer() -> None:
    """At twice the usual glucose half of it is taken up."""
    assert USUAL.competed() == 1
    assert replace(USUAL, glucose=200).competed() == 0.5


def test_drawn_patients_are_adults_as_they_occur() -> None:
    """Inflamed ones have more C-reactive protein; a tenth of what is known is not told."""
    random = np.random.default_rng(0)
    bodies = [drawn_body(random) for _ in range(400)]
    assert all(20 <= body.age <= 95 and 35 < body.weight < 190 for body in bodies)
    assert 100 < np.median([body.glucose for body in bodies]) < 125
    inflamed = [drawn_body(random, inflamed=True).crp for _ in range(400)]
    assert np.median(inflamed) > 4 * np.median([body.crp for body in bodies])
    told = [drawn_told(body, random) for body in bodies]
    missing = np.mean([value is None for one in told for value in one.values()])
    assert missing == pytest.approx(0.1, abs=0.03)
