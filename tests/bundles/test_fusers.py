"""The models that fuse: whole, honest, better than with less, and the node gives what was scored."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.fuse import FusedCase, FusedParts, example_of, logits_of, main
from tests.bundles.models import (
    BUNDLES,
    FUSERS,
    MATERIAL,
    facts_of,
    fuse_recipe_of,
    module_of,
    needs_material,
    spoilt_network,
)

EVERY_FUSER = pytest.mark.parametrize("name", FUSERS)
FEW: Mapping[str, int] = {"training": 200, "validation": 200}
"""Of the parts that are not scored only so many cases are made here."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Compute as the recipes do."""
    torch.set_num_threads(1)


@cache
def parts_of(name: str) -> FusedParts:
    """Make the cases of a recipe once for all tests: all that are scored, and few of the others.

    The cases of a part follow from one random stream, so that its first ones are the same however
    many are made; and two parts share all of them or none.
    """
    recipe = module_of(name)
    recipe.COUNTS = {**recipe.COUNTS, **FEW}
    parts: FusedParts = recipe.RECIPE.read(MATERIAL)
    return parts


def test_there_are_fusers() -> None:
    """Otherwise the tests below would be about nothing."""
    assert {"brain_ctpet", "petct_understanding"} <= set(FUSERS)


@EVERY_FUSER
def test_the_golden_case_comes_out_as_it_did_at_release(name: str) -> None:
    """By the node's check and by the recipe's own way through the network."""
    facts = facts_of(name)
    check_golden(facts, task_of(facts, network(facts)))
    plain = model_folder.facts_of(facts.folder)
    with np.load(facts.folder / facts.golden.file) as golden:
        told = {
            fact.name: None if np.isnan(value) else float(value)
            for fact, value in zip(facts.clinical, golden["facts"], strict=True)
        }
        case = FusedCase(
            images={each: golden[each] for each in facts.inputs}, told=told, label=0, group=""
        )
        logits = logits_of(model_folder.shipped_network(facts.folder), [example_of(case, plain)])
        found = torch.from_numpy(logits[0] / facts.settings["temperature"]).softmax(0).numpy()
        assert np.abs(found - golden["probabilities"]).max() < 0.001
        assert 0.5 < golden["probabilities"].max() < 0.97


@EVERY_FUSER
def test_weights_that_were_changed_fail_the_golden_case(name: str) -> None:
    """The golden case is not one that anything would pass."""
    facts = facts_of(name)
    with pytest.raises(ModelUnusable, match="golden"):
        check_golden(facts, task_of(facts, spoilt_network(facts)))


@EVERY_FUSER
def test_all_together_is_better_than_any_part(name: str) -> None:
    """Than each image alone, the facts alone and the images without the facts, beyond chance."""
    score = json.loads((BUNDLES / name / "docs/score.json").read_text())["test"]
    gains = {key: row for key, row in score.items() if key.startswith("accuracy, gained over ")}
    assert {key.removeprefix("accuracy, gained over ") for key in gains} == {
        "PET alone", "CT alone", "facts alone", "images without facts",
    }  # fmt: skip
    assert all(row["low"] > 0 for row in gains.values())
    assert score["calibration error (ECE)"]["value"] < 0.1


@EVERY_FUSER
def test_the_card_begins_with_what_is_made(name: str) -> None:
    """Nobody can read a score before that."""
    card = (BUNDLES / name / "docs/README.md").read_text().split("## ")[0]
    assert card.splitlines()[2].startswith("**Learned from MADE")
    assert "says nothing about the diagnosis of real patients" in " ".join(card.split())


@needs_material
@EVERY_FUSER
def test_no_made_case_is_in_two_parts(name: str) -> None:
    """And every part has all classes, and facts that are not known."""
    parts = parts_of(name)
    sides = (parts.training, parts.validation, parts.test)
    assert [len(side) for side in sides] == [*FEW.values(), module_of(name).COUNTS["test"]]
    seen = [{case.images["pet"].tobytes() for case in side} for side in sides]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    classes = set(range(len(facts_of(name).classes)))
    for side in sides:
        assert {case.label for case in side} == classes
        assert any(None in case.told.values() for case in side)


@needs_material
@EVERY_FUSER
def test_the_scores_on_the_card_can_be_measured_again(name: str) -> None:
    """`--score-only` finds on the held-out part what score.json says."""
    # Making the cases takes half of the time, and they are made already.
    recipe = replace(fuse_recipe_of(name), read=lambda _: parts_of(name))
    table = main(recipe, ["--data", str(MATERIAL), "--score-only"])
    assert "calibration error (ECE)" in table


@needs_material
def test_the_patient_of_the_test_part_is_not_learned_from() -> None:
    """He is the one of the sample study, too."""
    recipe = parts_of("petct_understanding")
    (real,) = recipe.real
    assert real.label == 3
    assert "held-out" in real.group
