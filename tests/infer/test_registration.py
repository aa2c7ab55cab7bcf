"""Two studies of a body that lies differently are brought together."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dicom_ai_node.domain.image import Geometry, Volume
from dicom_ai_node.infer.registration import rigid
from tests.lesion_studies import SHAPE, SPACING_MM, body

BALL = (24.0, -8.0, -15.0, 9.0)


def _volume(values: NDArray[np.int16]) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = np.fliplr(np.diag(SPACING_MM[::-1]))
    middle = (np.array(SHAPE) - 1) / 2
    affine[:3, 3] = -(affine[:3, :3] @ middle)
    return Volume(
        array=values.astype(np.float32),
        geometry=Geometry(affine, SHAPE, "1.2.3"),
        unit="[hnsf'U]",
        sources=(),
    )


def _move(turn: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    move[:3, 3] = shift
    return move


@pytest.mark.parametrize(
    ("turn", "shift"),
    [
        pytest.param((0, 0, 0), (0, 0, 0), id="as it lay"),
        pytest.param((0, 0, 0), (9, -6, 7), id="shifted"),
        pytest.param((3, -4, 8), (5, 4, -6), id="turned and shifted"),
    ],
)
def test_a_body_that_lies_differently_is_found(
    turn: tuple[float, float, float], shift: tuple[float, float, float]
) -> None:
    """To 2 mm at any place in the middle of the body, although a lesion has grown."""
    move = _move(turn, shift)
    moving = _volume(body([BALL]))
    fixed = _volume(body([(*BALL[:3], 12.0)], np.linalg.inv(move)))
    found = rigid(moving, fixed)
    assert found.is_good
    places = np.array([(24, -8, -15, 1), (-25, -10, 10, 1), (0, 30, 0, 1), (0, 0, 25, 1)])
    apart = np.linalg.norm((places @ found.move.T - places @ move.T)[:, :3], axis=1)
    assert apart.max() < 2.0


def test_another_body_is_not_taken_for_the_same() -> None:
    """What is not alike is not brought together, and the result says so."""
    noise = np.random.default_rng(0).normal(size=SHAPE)
    strange = (noise * 300).astype(np.int16)
    found = rigid(_volume(body([BALL])), _volume(strange))
    assert not found.is_good


def test_the_same_volumes_give_the_same_move() -> None:
    """To the last bit, or a report that is made again would change."""
    moving, fixed = _volume(body([BALL])), _volume(body([BALL], _move((0, 0, 4), (3, 0, 0))))
    one, other = rigid(moving, fixed), rigid(moving, fixed)
    assert np.array_equal(one.move, other.move)
