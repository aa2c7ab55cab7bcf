"""The models that detect: whole, honest, and the node gives what was scored."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dicom_ai_node.domain.boxes import Corners, iou
from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.run import run_inference
from dicom_ai_node.samples.images import cr_chest
from dicom_ai_node.training.boxed import BoxParts
from dicom_ai_node.training.detect import main
from tests import phantoms
from tests.bundles.models import (
    BUNDLES,
    DETECTORS,
    MATERIAL,
    box_recipe_of,
    facts_of,
    needs_material,
    spoilt_network,
)

EVERY_DETECTOR = pytest.mark.parametrize("name", DETECTORS)
RADIOLOGIST = {
    "Right lung": Corners(15.6, 27.1, 430.3, 238.6),
    "Left lung": Corners(9.0, 249.1, 441.6, 454.9),
}
"""The boxes that a radiologist drew on the chest X-ray of our samples."""


@cache
def parts_of(name: str) -> BoxParts:
    """Read the data of a recipe once for all tests."""
    return box_recipe_of(name).read(MATERIAL)


@EVERY_DETECTOR
def test_the_golden_boxes_come_out_as_they_did_at_release(name: str) -> None:
    """On this machine, as in serving."""
    facts = facts_of(name)
    check_golden(facts, task_of(facts, network(facts)))


@EVERY_DETECTOR
def test_weights_that_were_changed_fail_the_golden_case(name: str) -> None:
    """The golden case is not one that anything would pass."""
    facts = facts_of(name)
    with pytest.raises(ModelUnusable, match="golden"):
        check_golden(facts, task_of(facts, spoilt_network(facts)))


@EVERY_DETECTOR
def test_scores_have_intervals_and_stand_beside_simpler_methods(name: str) -> None:
    """Nobody needs to believe a number alone."""
    score = json.loads((BUNDLES / name / "docs/score.json").read_text())["test"]
    for row in (row for what, row in score.items() if ": " not in what):
        assert row["low"] <= row["value"] <= row["high"]
    overlaps = [row["value"] for what, row in score.items() if "mAP at IoU 0.5" in what]
    assert len(overlaps) == 3
    assert overlaps[0] >= max(overlaps[1:])
    assert score["calibration error (ECE)"]["value"] < 0.15


def test_the_lungs_of_our_sample_are_where_a_radiologist_saw_them(tmp_path: Path) -> None:
    """The patient's right lung is on the left; this patient is of the test part."""
    facts = facts_of("lung_box_cxr")
    order = InferenceOrder(
        kind="detect",
        model=facts.name,
        model_digest=facts.digest,
        inputs={"image": tuple(phantoms.write(cr_chest(), tmp_path))},
        options={"explain": True},
    )
    found = run_inference(order, facts, task_of(facts, network(facts)))
    assert found.detection is not None
    boxes = {found.detection.classes[box.of].label: box for box in found.detection.boxes}
    assert set(boxes) == set(RADIOLOGIST)
    for label, box in boxes.items():
        assert iou(box.corners, RADIOLOGIST[label]) > 0.7
        assert box.probability > 0.9
    assert boxes["Right lung"].corners.left < boxes["Left lung"].corners.left
    assert found.heat_map is not None
    row, column = np.unravel_index(found.heat_map.array[0].argmax(), (512, 512))
    at = boxes[found.detection.classes[found.heat_map.of].label].corners
    assert at.top < row < at.bottom
    assert at.left < column < at.right


@needs_material
@EVERY_DETECTOR
def test_no_picture_and_no_group_is_in_two_parts(name: str) -> None:
    """What was learned from, and what is nearly the same, is not scored."""
    parts = parts_of(name)
    sides = (parts.training, parts.validation, parts.test)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not {p.name for p in sides[one]} & {p.name for p in sides[other]}
        assert not {p.group for p in sides[one]} & {p.group for p in sides[other]}


@needs_material
def test_right_lungs_lie_on_the_left_of_every_image() -> None:
    """As in every chest X-ray that faces the reader."""
    parts = parts_of("lung_box_cxr")
    for picture in (*parts.training, *parts.validation, *parts.test):
        right, left = sorted(picture.truths, key=lambda truth: truth.of)
        assert right.corners.left < left.corners.left


@needs_material
@EVERY_DETECTOR
def test_the_scores_on_the_card_can_be_measured_again(name: str) -> None:
    """`--score-only` finds on the held-out part what score.json says."""
    recipe = replace(box_recipe_of(name), read=lambda _: parts_of(name))
    table = main(recipe, ["--data", str(MATERIAL), "--score-only"])
    assert "calibration error (ECE)" in table
