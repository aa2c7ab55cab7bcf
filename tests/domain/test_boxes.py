"""A centre-point network's answer becomes boxes, each found thing once, to the border."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_ai_node.domain.boxes import Candidate, Corners, candidates, iou

ROWS, COLUMNS = 40, 50


def answer(*boxes: tuple[int, float, Corners], classes: int = 2) -> NDArray[np.float32]:
    """Return what a perfect network says of these (class, logit, box)."""
    said = np.full((classes + 4, ROWS, COLUMNS), -9.0, np.float32)
    for of, logit, at in boxes:
        row, column = int((at.top + at.bottom) / 2), int((at.left + at.right) / 2)
        said[of, row, column] = logit
        parts = np.array(
            [
                (row + 0.5 - at.top) / ROWS,
                (column + 0.5 - at.left) / COLUMNS,
                (at.bottom - row - 0.5) / ROWS,
                (at.right - column - 0.5) / COLUMNS,
            ]
        )
        said[-4:, row, column] = np.log(parts / (1 - parts))
    return said


def found(said: NDArray[np.float32], limit: int = 10) -> list[Candidate]:
    """Return what is found on an image without padding."""
    return candidates(said, (ROWS, COLUMNS), limit)


def numbers(at: Corners) -> tuple[float, ...]:
    """Return the four borders."""
    return at.top, at.left, at.bottom, at.right


def test_boxes_come_out_where_the_network_put_them() -> None:
    """To a part of a pixel, the surest first, each of its class."""
    one, other = Corners(3.25, 4.5, 17.75, 20.0), Corners(20.0, 22.0, 39.5, 49.0)
    (first, second) = found(answer((1, 1.5, one), (0, 3.0, other)))
    assert (first.of, second.of) == (0, 1)
    assert (first.logit, second.logit) == (3.0, 1.5)
    assert numbers(first.corners) == pytest.approx(numbers(other), abs=1e-3)
    assert numbers(second.corners) == pytest.approx(numbers(one), abs=1e-3)


def test_a_border_counts_as_dicom_counts() -> None:
    """A box around the first pixel alone goes from 0 to 1, and its centre is at 0.5."""
    (only,) = found(answer((0, 3.0, Corners(0.001, 0.001, 1.0, 1.0))))
    assert numbers(only.corners) == pytest.approx((0, 0, 1, 1), abs=0.01)


def test_two_boxes_of_one_class_that_are_nearly_the_same_are_one() -> None:
    """The surer one stays; of another class both stay."""
    one, near = Corners(5, 5, 25, 25), Corners(7, 6, 26, 27)
    assert [box.logit for box in found(answer((0, 1.0, one), (0, 2.0, near)))] == [2.0]
    assert len(found(answer((0, 1.0, one), (1, 2.0, near)))) == 2


def test_two_boxes_side_by_side_are_two() -> None:
    """Though they touch."""
    assert (
        len(found(answer((0, 1.0, Corners(5, 5, 25, 25)), (0, 2.0, Corners(5, 25, 25, 45))))) == 2
    )


def test_a_network_that_is_cold_everywhere_finds_nothing() -> None:
    """And not its least cold place."""
    assert found(answer()) == []
    assert found(answer((0, -5.0, Corners(5, 5, 25, 25)))) == []


def test_no_more_boxes_than_the_limit() -> None:
    """The surest of them."""
    boxes = [(0, float(n), Corners(2 + 6 * n, 3, 7 + 6 * n, 40)) for n in range(6)]
    assert [box.logit for box in found(answer(*boxes), limit=3)] == [5.0, 4.0, 3.0]


def test_what_lies_in_the_padding_is_not_found() -> None:
    """And boxes end where the image ends."""
    said = answer((0, 1.0, Corners(2, 2, 30, 30)), (0, 2.0, Corners(30, 30, 38, 48)))
    (only,) = candidates(said, (20, 25), 10)
    assert numbers(only.corners) == pytest.approx((2, 2, 20, 25), abs=1e-3)


@pytest.mark.parametrize(
    ("other", "overlap"),
    [
        pytest.param(Corners(0, 0, 10, 10), 1.0, id="the same"),
        pytest.param(Corners(0, 5, 10, 15), 1 / 3, id="half of each"),
        pytest.param(Corners(0, 10, 10, 20), 0.0, id="touching"),
        pytest.param(Corners(30, 30, 40, 40), 0.0, id="far away"),
        pytest.param(Corners(5, 5, 5, 5), 0.0, id="without an inside"),
    ],
)
def test_overlap_is_what_is_shared_of_what_is_covered(other: Corners, overlap: float) -> None:
    """It does not matter which is which."""
    one = Corners(0, 0, 10, 10)
    assert iou(one, other) == pytest.approx(overlap)
    assert iou(other, one) == pytest.approx(overlap)
    assert iou(other, other) == (1.0 if other.area else 0.0)
