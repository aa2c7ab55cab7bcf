"""What is drawn is the same in every object: the same lines, words, colours and names."""

import math
from itertools import combinations

import pytest

from dicom_ai_node.encode.marks import COLOURS, colour_of, marks_of
from tests import phantoms
from tests.encode import scenes


def test_a_mark_has_the_line_of_its_box_and_says_what_it_is() -> None:
    """Column before row, closed, with a probability that a person can say."""
    right, left = marks_of(*_parts(scenes.detected([phantoms.cr()])))
    assert right.text == "Right lung 99 %"
    assert right.points[0] == right.points[-1] == (0.0, 9.6)
    assert right.points[2] == (36.0, 86.4)
    assert left.points[2] == (80.0, 81.6)
    assert (right.tracking_id, left.tracking_id) == ("Right lung 1", "Left lung 1")
    assert right.tracking_uid != left.tracking_uid


def _parts(scene: scenes.Scene) -> tuple[scenes.Findings, scenes.Origin]:
    return scene.findings, scene.origin


def test_without_boxes_there_are_no_marks() -> None:
    """Whatever else was found."""
    assert marks_of(*_parts(scenes.scene(phantoms.ct()))) == []
    assert marks_of(*_parts(scenes.undetected([phantoms.cr()]))) == []


def test_the_same_job_gives_the_same_names_and_another_job_others() -> None:
    """So that a second report of the same job is a duplicate, and that of another none."""
    one, again = (scenes.detected([phantoms.cr()]) for _ in range(2))
    other = scenes.detected([phantoms.cr()], job=scenes.JobKey("77" * 32))
    uids = [[mark.tracking_uid for mark in marks_of(*_parts(s))] for s in (one, again, other)]
    assert uids[0] == uids[1]
    assert not set(uids[0]) & set(uids[2])


def _seen(colour: tuple[int, int, int], matrix: tuple[tuple[float, ...], ...]) -> list[float]:
    return [sum(w * c for w, c in zip(row, colour, strict=True)) for row in matrix]


@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param(((1, 0, 0), (0, 1, 0), (0, 0, 1)), id="by everybody"),
        # Machado, Oliveira and Fernandes 2009, severity 1.0
        pytest.param(
            ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
            id="without red",
        ),
        pytest.param(
            ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
            id="without green",
        ),
    ],
)
def test_colours_can_be_told_apart(matrix: tuple[tuple[float, ...], ...]) -> None:
    """The first four from each other, and all from grey by their brightness on black."""
    for one, other in combinations(COLOURS[:4], 2):
        assert math.dist(_seen(one, matrix), _seen(other, matrix)) > 50
    assert colour_of(len(COLOURS)) == colour_of(0)
