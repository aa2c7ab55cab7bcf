"""The models that restore: whole, honest, better than simple methods, and as they were scored."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.image import Frames, SourceFrame
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.pair import PairParts
from dicom_ai_node.training.restore import golden_of
from tests.bundles.models import (
    BUNDLES,
    MATERIAL,
    RESTORERS,
    facts_of,
    needs_material,
    restore_recipe_of,
)

EVERY_RESTORER = pytest.mark.parametrize("name", RESTORERS)
FEW = 300_000
"""Parameters; a model that restores runs on every slice that comes."""


def test_there_are_restorers() -> None:
    """Otherwise the tests below would be about nothing."""
    assert {
        "ct_denoise",
        "mr_superresolution_x2",
        "pet_denoise",
        "us_despeckle",
        "xray_restore",
    } <= set(RESTORERS)


@EVERY_RESTORER
def test_the_network_is_small_and_gives_one_value_per_pixel(name: str) -> None:
    """For several images at once."""
    built = network(facts_of(name))
    assert sum(weights.numel() for weights in built.parameters()) < FEW
    assert built(torch.zeros((2, 1, 32, 48))).shape == (2, 1, 32, 48)


@EVERY_RESTORER
def test_the_golden_case_comes_out_as_it_did_at_release(name: str) -> None:
    """By the node's task and by the recipe's own way through the network: they agree."""
    facts = facts_of(name)
    check_golden(facts, task_of(facts, network(facts)))
    with np.load(facts.folder / facts.golden.file) as golden:
        image, restored = golden["image"], golden["restored"]
    zero = -1000.0 if facts.modality == ("CT",) else 0.0
    plain = model_folder.facts_of(facts.folder)
    found = golden_of(model_folder.shipped_network(facts.folder), image[0], plain, zero)
    assert facts.golden.max_difference is not None
    assert np.abs(found - restored[0]).max() < facts.golden.max_difference / 10


@EVERY_RESTORER
def test_the_golden_case_is_one_that_changes_much_more_than_it_may_differ(name: str) -> None:
    """Else a model that does nothing would pass."""
    facts = facts_of(name)
    silent = network(facts)
    with torch.no_grad():
        for weights in silent.parameters():
            weights.zero_()
    with pytest.raises(ModelUnusable, match="golden"):
        check_golden(facts, task_of(facts, silent))


@EVERY_RESTORER
def test_the_mean_of_what_was_made_worse_is_kept(name: str) -> None:
    """On the golden image and on one of other values: within a hundredth, whatever the unit."""
    facts = facts_of(name)
    task = task_of(facts, network(facts))
    near_zero = 0.5 if facts.modality == ("CT",) else 0.0
    with np.load(facts.folder / facts.golden.file) as golden:
        image = golden["image"]
    for array in (image, image[:, ::-1, :].copy()):
        frames = Frames(
            array=array,
            unit="[hnsf'U]" if facts.modality == ("CT",) else "1",
            sources=(SourceFrame(SOPInstanceUID("1.2")),),
            spacing_mm=None,
            region=(0, array.shape[1], 0, array.shape[2]),
        )
        found = task({"image": frames}, {}).restoration
        assert found is not None
        mean = float(array.mean(dtype=np.float64))
        assert found.array.mean(dtype=np.float64) == pytest.approx(mean, rel=0.01, abs=near_zero)


@EVERY_RESTORER
def test_it_is_better_than_simple_methods_in_both_measures(name: str) -> None:
    """On the held-out part, and not by chance: the interval of the gain lies above 0."""
    score = json.loads((BUNDLES / name / "docs/score.json").read_text())["test"]
    gains = {key: row for key, row in score.items() if " over " in key}
    assert {key.split(",")[0] for key in gains} == {"PSNR (dB)", "SSIM"}
    assert all(row["low"] > 0 for row in gains.values())


@EVERY_RESTORER
def test_the_card_holds_the_table_that_was_measured(name: str) -> None:
    """And the words that it is for research."""
    folder = BUNDLES / name
    card = (folder / "docs/README.md").read_text()
    score = json.loads((folder / "docs/score.json").read_text())
    assert model_folder.score_table(score["test"]) in card
    assert "RESEARCH USE ONLY" in card
    assert score["model"] == name


@needs_material
@EVERY_RESTORER
def test_no_patient_is_in_two_parts(name: str) -> None:
    """What was learned from is not scored; and worse is worse, by as many pixels as are to come."""
    parts = _few_of(name)
    groups = [
        {pair.group for pair in pairs} for pairs in (parts.training, parts.validation, parts.test)
    ]
    assert all(groups)
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    factor = facts_of(name).settings["factor"]
    for pair in (*parts.training[:3], *parts.test[:3]):
        assert pair.wanted.shape == tuple(factor * n for n in pair.given.shape)


def _few_of(name: str) -> PairParts:
    return restore_recipe_of(name).read(MATERIAL)


def test_a_recipe_names_its_folder() -> None:
    """Whoever runs it from elsewhere writes where it belongs."""
    for name in RESTORERS:
        recipe = replace(restore_recipe_of(name))
        assert Path(recipe.folder) == BUNDLES / name
