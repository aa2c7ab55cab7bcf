"""Two volumes of one patient, brought to one grid by where their voxels lie."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import Geometry, Volume
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.align import aligned

STRAIGHT = np.array([[0, 0, 1.0, -20], [0, 1.0, 0, -20], [2.0, 0, 0, -30], [0, 0, 0, 1]])
"""Slices of 2 mm toward the head, rows and columns of 1 mm."""


def _turned(degrees: float) -> NDArray[np.float64]:
    """Return a grid that is turned about the long axis and shifted by part of a voxel."""
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = turn @ np.array([[0, 0, 0.7, -8], [0, 0.7, 0, -8], [1.5, 0, 0, -14], [0, 0, 0, 1]])
    return np.asarray(affine)


def _volume(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> Volume:
    """Return a volume whose values are 10 x + 3 y - 2 z, wherever its voxels lie."""
    places = np.indices(shape).reshape(3, -1)
    x, y, z = affine[:3, :3] @ places + affine[:3, 3:]
    array = (10 * x + 3 * y - 2 * z).reshape(shape).astype(np.float32)
    return Volume(array=array, geometry=Geometry(affine, shape, "1.2"), unit="1", sources=())


@pytest.mark.parametrize("degrees", [0, 17, 90, 180])
def test_values_stay_where_they_are_in_the_patient(degrees: float) -> None:
    """What is linear in the patient is the same after linear interpolation, on any grid."""
    reference = _volume(_turned(degrees), (12, 20, 18))
    found = aligned(_volume(STRAIGHT, (30, 40, 40)), reference, "ct", -1000)
    assert np.allclose(found.array, reference.array, atol=1e-3)
    assert found.geometry is reference.geometry
    assert found.valid is not None
    assert found.valid.all()
    assert found.notes == ()


def test_where_the_other_does_not_reach_counts_as_outside() -> None:
    """And is no valid pixel, so that no statistics take it in; a voxel reaches to its border."""
    reference = _volume(STRAIGHT, (30, 40, 40))
    found = aligned(_volume(STRAIGHT, (15, 40, 40)), reference, "ct", -1000)
    assert np.array_equal(found.array[:15], reference.array[:15])
    assert (found.array[15:] == -1000).all()
    assert found.valid is not None
    assert found.valid[:15].all()
    assert not found.valid[15:].any()
    assert found.notes == ("ct covers 50 %; the rest counts as -1000",)
    thin = _volume(STRAIGHT @ np.diag([0.5, 1, 1, 1]), (59, 40, 40))
    halved = aligned(_volume(STRAIGHT, (15, 40, 40)), thin, "ct", -1000)
    assert (halved.array[:30] > -1000).all()


def test_padding_of_the_other_counts_as_outside() -> None:
    """The circle around a CT is not minus two thousand HU of patient."""
    image = _volume(STRAIGHT, (30, 40, 40))
    valid = np.ones(image.array.shape, bool)
    valid[:, :5] = False
    image.array[:, :5] = -2000
    found = aligned(replace(image, valid=valid), _volume(STRAIGHT, (30, 40, 40)), "ct", -1000)
    assert (found.array[:, :5] == -1000).all()
    assert found.valid is not None
    assert np.array_equal(found.valid, valid)


@pytest.mark.parametrize("frame", ["1.3", ""])
def test_another_frame_of_reference_is_rejected(frame: str) -> None:
    """Nobody knows how the two lie to each other, however alike their numbers are."""
    image = _volume(STRAIGHT, (4, 4, 4))
    other = replace(image, geometry=replace(image.geometry, frame_of_reference_uid=frame))
    for one, two in ((image, other), (other, other)) if not frame else ((image, other),):
        with pytest.raises(Rejected) as caught:
            aligned(one, two, "ct", 0)
        assert caught.value.code is RejectCode.FUSION_NO_FOR


def test_two_that_do_not_overlap_are_rejected() -> None:
    """A CT of the legs says nothing about a PET of the head."""
    away = STRAIGHT.copy()
    away[2, 3] = 500
    with pytest.raises(Rejected) as caught:
        aligned(_volume(away, (4, 4, 4)), _volume(STRAIGHT, (4, 4, 4)), "ct", 0)
    assert caught.value.code is RejectCode.IN_COVERAGE
