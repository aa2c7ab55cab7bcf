"""The models that count: whole, honest, and the node gives what was scored."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.image import Frames, SourceFrame
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.neural.separate import separate
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.instances import FieldParts, limits_of, main, probabilities_of
from dicom_ai_node.training.matching import scores
from tests.bundles.models import (
    CATALOG,
    COUNTERS,
    MATERIAL,
    counting_recipe_of,
    needs_material,
    spoilt_network,
)

EVERY_COUNTER = pytest.mark.parametrize("name", COUNTERS)


@cache
def parts_of(name: str) -> FieldParts:
    """Read the data of a recipe once for all tests."""
    return counting_recipe_of(name).read(MATERIAL)


def test_there_are_counters() -> None:
    """Otherwise the tests below would be about nothing."""
    assert "nuclei" in COUNTERS


@EVERY_COUNTER
def test_the_golden_case_comes_out_as_it_did_at_release(name: str) -> None:
    """As the node checks it before a model takes work; weights that were changed fail it."""
    facts = CATALOG.facts(name)
    check_golden(facts, task_of(facts, network(facts)))
    with pytest.raises(ModelUnusable, match="golden"):
        check_golden(facts, task_of(facts, spoilt_network(facts)))


@needs_material
@EVERY_COUNTER
def test_neighbours_and_near_duplicates_are_in_one_part(name: str) -> None:
    """What was learned from is not scored; every kind of field is in every part."""
    parts = parts_of(name)
    every = (parts.training, parts.validation, parts.test)
    groups = [{field.group for field in part} for part in every]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    kinds = [{field.kind for field in part} for part in every]
    assert kinds[0] == kinds[1] == kinds[2]


@needs_material
@EVERY_COUNTER
def test_the_node_finds_what_the_recipe_scored(name: str) -> None:
    """Two programs, one answer: the same nuclei, but for the border that is padded or not."""
    facts = CATALOG.facts(name)
    plain = model_folder.facts_of(facts.folder)
    fields = parts_of(name).test[::20]
    found = probabilities_of(model_folder.shipped_network(facts.folder), fields, plain)
    task = task_of(facts, network(facts))
    for field, probabilities in zip(fields, found, strict=True):
        image = Frames(
            array=field.image[None],
            unit="1",
            sources=(SourceFrame(SOPInstanceUID("2.25.1"), 1),),
            spacing_mm=None,
            region=(0, *field.image.shape[:1], 0, *field.image.shape[1:]),
        )
        ours = task({"image": image}, {}).segmentation
        assert ours is not None
        scored = separate(probabilities, limits_of(plain)) > 0
        agreement = scores(scored.astype(np.int32), (ours.labels[0] > 0).astype(np.int32))
        assert agreement["Dice"] > 0.95


@needs_material
@EVERY_COUNTER
def test_the_scores_on_the_card_can_be_measured_again(name: str) -> None:
    """`--score-only` finds on the held-out part what score.json says, baseline and all."""
    recipe = replace(counting_recipe_of(name), read=lambda _: parts_of(name))
    table = main(recipe, ["--data", str(MATERIAL), "--score-only"])
    assert "Otsu and watershed" in table
