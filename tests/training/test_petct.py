"""Made lesions lie in lung, are hot, and are outlined as somebody outlined a real one."""

import numpy as np
import pytest

from dicom_ai_node.training.petct import (
    Patient,
    drawn,
    outline_part,
    overlap,
    varied,
    with_lesion,
    with_organ,
)

SPACING_MM = (2.0, 2.0, 2.0)


@pytest.fixture(scope="module")
def patient() -> Patient:
    """Return half a chest: lung of 0.4 and wall of 0.6, with a Gaussian hot spot of 6."""
    shape = (24, 48, 48)
    places = np.indices(shape) - np.array([12, 16, 20])[:, None, None, None]
    spot = np.exp(-(places**2).sum(0) / 18)
    hu = np.full(shape, -850, np.float32)
    hu[:, 40:] = 40
    suv = np.where(hu > 0, 0.6, 0.4) + 5.6 * spot
    return Patient(suv=suv.astype(np.float32), hu=hu, lesion=spot > 0.3)


def test_the_part_at_which_an_expert_drew_is_found_again(patient: Patient) -> None:
    """It decides where made lesions end, so that both mean the same by an outline."""
    assert outline_part(patient) == pytest.approx(0.3, abs=0.02)


def test_a_made_lesion_is_hot_where_it_says_and_nowhere_else(patient: Patient) -> None:
    """Its outline rises from its surroundings; what was there before is not touched."""
    random = np.random.default_rng(3)
    for _ in range(5):
        one = with_lesion(patient, 0.3, SPACING_MM, random)
        assert one.made.any()
        assert not (one.made & patient.lesion).any()
        assert np.array_equal(one.patient.lesion, patient.lesion | one.made)
        gained = one.patient.suv - patient.suv
        assert gained[one.made].mean() > 0.2
        far = np.ones_like(one.made)
        for axis, where in enumerate(np.nonzero(one.made)):
            inside = np.arange(far.shape[axis])
            inside = (inside > where.min() - 8) & (inside < where.max() + 8)
            far &= ~inside.reshape([-1 if n == axis else 1 for n in range(3)])
        assert np.abs(gained[far]).max(initial=0) < 0.05


def test_an_organ_is_no_lesion(patient: Patient) -> None:
    """It takes up some, and nobody has outlined it."""
    changed = with_organ(patient, SPACING_MM, np.random.default_rng(4))
    assert np.array_equal(changed.lesion, patient.lesion)
    assert (changed.hu != patient.hu).any()


def test_the_same_seed_gives_the_same_patients(patient: Patient) -> None:
    """So that scores on made cases can be repeated."""
    one, other = (
        drawn([varied(patient, 0.3, SPACING_MM, random)], random)
        for random in (np.random.default_rng(5), np.random.default_rng(5))
    )
    assert np.array_equal(one.suv, other.suv)
    assert np.array_equal(one.hu, other.hu)
    assert overlap(one.lesion, other.lesion) == 1
    assert overlap(np.zeros(3, bool), np.zeros(3, bool)) == 1
