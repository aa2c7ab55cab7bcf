"""Made spots in a lung: dense or not, avid or not, as the patient's blood lets the PET show it."""

import numpy as np
import pytest

from dicom_ai_node.training.lumps import (
    AVID_FROM,
    AVID_ONLY,
    BOTH,
    CLASSES,
    DENSE_ONLY,
    NOTHING,
    erased,
    made_case,
)
from dicom_ai_node.training.petct import Patient

STEP_MM = (3.0, 3.0, 3.0)


def _patient() -> Patient:
    """Return a lung in a chest wall, with a hot dense lesion in its middle."""
    shape = (16, 32, 32)
    z, y, x = np.indices(shape)
    inside = np.hypot(y - 16, x - 16) < 12
    lesion = (z - 8) ** 2 + (y - 16) ** 2 + (x - 16) ** 2 < 9
    hu = np.where(lesion | ~inside, 40, -850).astype(np.float32)
    suv = np.where(lesion, 5, np.where(inside, 0.4, 0.6)).astype(np.float32)
    return Patient(suv=suv, hu=hu, lesion=lesion)


def test_a_lesion_is_erased_without_a_trace() -> None:
    """Lung stands in its place, in both images, and the rest stays."""
    where = _patient()
    free = erased(where, STEP_MM, np.random.default_rng(0))
    assert free.suv[where.lesion].max() < 0.7
    assert free.hu[where.lesion].max() < -600
    assert not free.lesion.any()
    far = np.indices(where.suv.shape)[1] < 3
    assert np.abs(free.hu - where.hu)[far].max() < 1


@pytest.mark.parametrize("label", range(CLASSES))
def test_a_case_is_what_its_class_says(label: int) -> None:
    """Corrected for glucose and build, its hottest spot is on the right side of the threshold."""
    random = np.random.default_rng(label)
    free = erased(_patient(), STEP_MM, random)
    right, dense = [], []
    for _ in range(24):
        case = made_case(free, label, STEP_MM, random)
        assert case.suv.shape == case.hu.shape == (16, 32, 32)
        assert case.suv.min() >= 0
        # Organs at the border are hot as well: only what is within the lung counts.
        within = np.zeros(case.suv.shape, bool)
        within[3:-3, 9:23, 9:23] = True
        top = float(case.suv[within].max()) / case.body.per_lean / case.body.competed()
        right.append((top >= AVID_FROM * 0.95) == (label in {AVID_ONLY, BOTH}))
        dense.append(float((case.hu[within] > -100).mean()) > 0.004)
    assert np.mean(right) > 0.6
    if label in {DENSE_ONLY, BOTH}:
        assert np.mean(dense) >= 0.5


def test_the_same_picture_means_different_things_in_different_patients() -> None:
    """That is why the facts are needed: uptake on both sides of the threshold looks alike."""
    random = np.random.default_rng(5)
    free = erased(_patient(), STEP_MM, random)
    tops = {
        label: [float(made_case(free, label, STEP_MM, random).suv.max()) for _ in range(30)]
        for label in (NOTHING, BOTH)
    }
    assert min(tops[BOTH]) < max(tops[NOTHING])
