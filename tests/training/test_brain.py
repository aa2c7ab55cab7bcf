"""Made brains: a mean PET in a skull, and disease that is what its class says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_ai_node.training.brain import (
    CLASSES,
    DEFECT,
    LOWERED,
    MASS,
    USUAL,
    Brain,
    MadeBrain,
    box_of,
    laid_in,
    made_brain,
    with_scalp,
)

STEP_MM = (6.0, 6.0, 6.0)
SHAPE = (26, 36, 36)


def _ball(centre: tuple[float, ...], radii: tuple[float, ...]) -> NDArray[np.bool_]:
    places = np.indices(SHAPE)
    parts = zip(places, centre, radii, strict=True)
    return np.asarray(sum(((p - c) / r) ** 2 for p, c, r in parts) <= 1)


def _head() -> Brain:
    """Return a brain of even uptake in a skull, in a head with a scalp."""
    inside = _ball((13, 18, 18), (9, 13, 11))
    skull = _ball((13, 18, 18), (10.5, 14.5, 12.5))
    skin = _ball((13, 18, 18), (11.5, 15.5, 13.5))
    hu = np.where(inside, 34, np.where(skull, 900, np.where(skin, 20, -1000)))
    return Brain(uptake=inside.astype(np.float32), hu=hu.astype(np.float32), inside=inside)


def _cases(label: int, count: int = 16) -> list[MadeBrain]:
    random = np.random.default_rng(label)
    return [made_brain(_head(), label, STEP_MM, random) for _ in range(count)]


def test_a_template_comes_to_lie_in_the_skull() -> None:
    """Its box on the skull's box, whatever the grids; nothing outside; 1 in the mean."""
    brain = np.zeros((20, 50, 40), bool)
    brain[4:16, 10:42, 8:34] = True
    template = np.where(brain, 3.0, 0.2).astype(np.float32)
    template[4:10][brain[4:10]] = 6.0  # more at the foot
    inside = _head().inside
    found = laid_in(template, brain, inside)
    assert found[inside].mean() == pytest.approx(1, rel=1e-3)
    assert not found[~inside].any()
    assert found[8][inside[8]].mean() > 1.7 * found[18][inside[18]].mean()
    low, high = box_of(found > 0.3)
    first, last = box_of(inside)
    assert np.abs(low - first).max() <= 1
    assert np.abs(high - last).max() <= 1


def test_the_scalp_takes_up_a_little() -> None:
    """Where there is tissue around the brain, and not in the air."""
    head = with_scalp(_head(), STEP_MM)
    air = head.hu < -900
    scalp = ~head.inside & ~air
    assert 0.02 < head.uptake[scalp].mean() < 0.2
    assert head.uptake[air].mean() < 0.01
    assert np.array_equal(head.uptake[head.inside], _head().uptake[head.inside])


@pytest.mark.parametrize("label", range(CLASSES))
def test_a_case_has_images_on_the_grid_and_facts_of_which_some_are_missing(label: int) -> None:
    """Of its class, and of no other case."""
    cases = _cases(label)
    told = [fact for case in cases for fact in case.told.values()]
    assert 0 < sum(fact is None for fact in told) < len(told) / 3
    for case in cases:
        assert case.label == label
        assert case.suv.shape == case.hu.shape == SHAPE
        assert case.suv.dtype == case.hu.dtype == np.float32
        assert case.suv.min() >= 0
        assert 25 <= (case.told["age"] or 60) <= 95
        assert 5 <= (case.told["memory"] or 20) <= 30
    assert len({case.suv.tobytes() for case in cases}) == len(cases)


def test_only_a_defect_is_dark_in_the_ct_and_only_a_mass_is_hot() -> None:
    """Against what is usual; lowered uptake alone leaves the CT as it was."""

    def dark(case: MadeBrain) -> float:
        brain = (case.hu > -20) & (case.hu < 100) & (case.suv > 0.1)
        return float((case.hu[brain] < 22).sum())

    def hot(case: MadeBrain) -> float:
        return float(case.suv.max() / np.median(case.suv[case.suv > case.suv.max() / 4]))

    darks = [np.mean([dark(case) for case in _cases(label)]) for label in range(CLASSES)]
    hots = [np.mean([hot(case) for case in _cases(label)]) for label in range(CLASSES)]
    assert darks[DEFECT] > 3 * max(darks[USUAL], darks[LOWERED], 1)
    assert hots[MASS] > 1.2 * max(hots[USUAL], hots[LOWERED], hots[DEFECT])


def test_those_with_lowered_uptake_are_older_and_remember_less() -> None:
    """In the mean: a fact says something, and not everything."""

    def mean(label: int, name: str) -> float:
        return float(np.mean([c.told[name] for c in _cases(label, 60) if c.told[name] is not None]))

    assert mean(LOWERED, "age") > mean(USUAL, "age") + 3
    assert mean(LOWERED, "memory") < mean(USUAL, "memory") - 3
