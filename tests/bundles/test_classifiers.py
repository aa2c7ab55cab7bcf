"""The models that classify: whole, honest, and the node gives what was scored."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from pydicom.sr._concepts_dict import concepts

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.image import Frames, SourceFrame
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.resample import placed
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.classify import logits_of, main, network_input
from dicom_ai_node.training.folds import FOLDS, JUDGED, judged
from dicom_ai_node.training.folds import main as folded
from dicom_ai_node.training.picture import Picture, PictureParts
from tests.bundles.models import (
    BUNDLES,
    CLASSIFIERS,
    FOLDED,
    MATERIAL,
    class_recipe_of,
    facts_of,
    fold_recipe_of,
    needs_material,
    spoilt_network,
)

EVERY_CLASSIFIER = pytest.mark.parametrize("name", CLASSIFIERS)
EVERY_HELD_OUT = pytest.mark.parametrize("name", sorted(set(CLASSIFIERS) - set(FOLDED)))
EVERY_FOLDED = pytest.mark.parametrize("name", FOLDED)
MADE = {"brain_ct_bleed": 39}
"""Of models whose pictures are drawn when asked for, every so manieth is looked at here."""

BEYOND_THE_DICTIONARY = {
    "233604007": "Pneumonia",
    "393564001": "Glioma",
    "302820008": "Intracranial meningioma",
    "127024001": "Neoplasm of pituitary gland",
}
"""Concepts of SNOMED CT that no context group of PS3.16 holds, checked by a person."""


@cache
def parts_of(name: str) -> PictureParts:
    """Read the data of a recipe once for all tests."""
    return class_recipe_of(name).read(MATERIAL)


def test_there_are_classifiers() -> None:
    """Otherwise the tests below would be about nothing."""
    assert {"pneumonia_cxr", "brain_tumour_mr", "brain_ct_bleed", "breast_us"} <= set(CLASSIFIERS)


@EVERY_CLASSIFIER
def test_the_weights_fit_the_network_and_give_one_logit_per_class(name: str) -> None:
    """For several pictures at once."""
    facts = facts_of(name)
    assert facts.grid.size_px is not None
    logits = network(facts)(torch.zeros((2, 1, *facts.grid.size_px)))
    assert tuple(logits.shape) == (2, len(facts.classes))
    assert bool(torch.isfinite(logits).all())


@EVERY_CLASSIFIER
def test_the_golden_case_comes_out_as_it_did_at_release(name: str) -> None:
    """By the node's check and by the recipe's own way through the network."""
    facts = facts_of(name)
    check_golden(facts, task_of(facts, network(facts)))
    plain = model_folder.facts_of(facts.folder)
    with np.load(facts.folder / facts.golden.file) as golden:
        given = network_input(torch.from_numpy(golden["image"]), plain)[None, None]
        with torch.inference_mode():
            logits = model_folder.shipped_network(facts.folder)(given)[0].double()
        found = (logits / facts.settings["temperature"]).softmax(0).numpy()
        assert np.abs(found - golden["probabilities"]).max() < 0.001
        assert golden["probabilities"].sum() == pytest.approx(1, abs=1e-4)


@EVERY_CLASSIFIER
def test_the_golden_case_is_one_the_model_is_not_sure_of(name: str) -> None:
    """A probability of 0 or 1 would stay there whatever happens to the weights."""
    facts = facts_of(name)
    with np.load(facts.folder / facts.golden.file) as golden:
        assert 0.5 < golden["probabilities"].max() < 0.97


@EVERY_CLASSIFIER
def test_weights_that_were_changed_fail_the_golden_case(name: str) -> None:
    """The golden case is not one that anything would pass."""
    facts = facts_of(name)
    with pytest.raises(ModelUnusable, match="golden"):
        check_golden(facts, task_of(facts, spoilt_network(facts)))


@EVERY_CLASSIFIER
def test_the_codes_are_those_of_a_dictionary(name: str) -> None:
    """Of pydicom's under the meaning that we give them, or on the short list above."""
    meanings: dict[str, set[str]] = {}
    for entries in concepts["SCT"].values():
        for value, (meaning, _) in entries.items():
            meanings.setdefault(value, set()).add(meaning)
    for entry in facts_of(name).classes:
        for code in filter(None, (entry.type, entry.site)):
            assert code.scheme_designator == "SCT"
            known = meanings.get(code.value) or {BEYOND_THE_DICTIONARY[code.value]}
            assert code.meaning in {name.removesuffix(" (disorder)") for name in known}


@EVERY_CLASSIFIER
def test_every_class_and_the_calibration_have_a_score_with_an_interval(name: str) -> None:
    """No class is shipped that nobody has measured."""
    score = json.loads((BUNDLES / name / "docs/score.json").read_text())["test"]
    for entry in facts_of(name).classes:
        row = score[f"share found, {entry.label}"]
        assert row["low"] <= row["value"] <= row["high"]
    assert "calibration error (ECE), before temperature" in score
    assert score["calibration error (ECE)"]["value"] < 0.15


@EVERY_CLASSIFIER
def test_the_node_gives_what_the_recipe_scored(name: str) -> None:
    """Two programs follow the grid rules; on a frame of another size and shape they agree."""
    facts = facts_of(name)
    with np.load(facts.folder / facts.golden.file) as golden:
        frame = np.repeat(np.repeat(golden["image"], 3, axis=0), 3, axis=1)[:-9, 5:]
    image = Frames(
        array=np.ascontiguousarray(frame[None]),
        unit="1",
        sources=(SourceFrame(SOPInstanceUID("2.25.1"), 1),),
        spacing_mm=(1.0, 1.0),
        region=(0, frame.shape[0], 0, frame.shape[1]),
    )
    found = task_of(facts, network(facts))({"image": placed(image, facts.grid).image}, {})
    assert found.classification is not None
    picture = Picture(name="frame", image=frame, label=0, group="1")
    shipped = model_folder.shipped_network(facts.folder)
    logits = logits_of(shipped, [picture], model_folder.facts_of(facts.folder))
    scored = torch.from_numpy(logits[0] / facts.settings["temperature"]).softmax(0).numpy()
    assert np.abs(scored - np.array(found.classification.probabilities)).max() < 0.002


@needs_material
@EVERY_HELD_OUT
def test_no_picture_and_no_group_is_in_two_parts(name: str) -> None:
    """What was learned from, and what is nearly the same, is not scored."""
    parts = parts_of(name)
    every = MADE.get(name, 1)
    sides = [part[::every] for part in (parts.training, parts.validation, parts.test)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not {p.name for p in sides[one]} & {p.name for p in sides[other]}
        assert not {p.group for p in sides[one]} & {p.group for p in sides[other]}
        assert not {p.image.tobytes() for p in sides[one]} & {
            p.image.tobytes() for p in sides[other]
        }
    classes = set(range(len(facts_of(name).classes)))
    assert all({p.label for p in side} == classes for side in sides)


@needs_material
@EVERY_HELD_OUT
def test_the_scores_on_the_card_can_be_measured_again(name: str) -> None:
    """`--score-only` finds on the held-out part what score.json says."""
    recipe = replace(class_recipe_of(name), read=lambda _: parts_of(name))
    table = main(recipe, ["--data", str(MATERIAL), "--score-only"])
    assert "calibration error (ECE)" in table


@needs_material
@EVERY_FOLDED
def test_who_is_like_another_lies_in_one_fold_with_him(name: str) -> None:
    """So that nobody is judged by a network that has seen his near-duplicate; everybody is, once."""
    recipe = fold_recipe_of(name)
    found = judged(recipe, recipe.read(MATERIAL).training)
    folds: dict[str, set[int]] = {}
    for picture, fold in zip(found.pictures, found.folds, strict=True):
        folds.setdefault(picture.group, set()).add(int(fold))
    assert all(len(of_group) == 1 for of_group in folds.values())
    assert set().union(*folds.values()) == set(range(FOLDS))
    written = json.loads((BUNDLES / name / JUDGED).read_text())
    assert sorted(row["name"] for row in written) == sorted(p.name for p in found.pictures)


@needs_material
@EVERY_FOLDED
def test_cross_validated_scores_can_be_computed_again(name: str) -> None:
    """From what was written of every picture; the shipped weights are run on what they know."""
    table = folded(fold_recipe_of(name), ["--data", str(MATERIAL), "--score-only"])
    assert "balanced accuracy" in table


def test_the_breast_model_is_better_than_simple_methods() -> None:
    """Than thumbnails that look alike, and than always saying what is commonest."""
    score = json.loads((BUNDLES / "breast_us/docs/score.json").read_text())["test"]
    simple = [row for name, row in score.items() if name.startswith("balanced accuracy of")]
    assert len(simple) == 2
    assert all(score["balanced accuracy"]["low"] > row["value"] for row in simple)


@needs_material
def test_the_brain_model_is_better_than_the_nearest_neighbours() -> None:
    """Than what thumbnails of 20 pixels give on the same split."""
    score = json.loads((BUNDLES / "brain_tumour_mr/docs/score.json").read_text())["test"]
    (simple,) = (row["value"] for name, row in score.items() if "nearest neighbours" in name)
    assert score["accuracy"]["value"] > simple


def test_the_bleeding_model_is_better_than_a_rule_about_density() -> None:
    """Blood is dense, but so are other things."""
    score = json.loads((BUNDLES / "brain_ct_bleed/docs/score.json").read_text())["test"]
    (simple,) = (row["value"] for name, row in score.items() if "dense area" in name)
    assert score["AUC"]["low"] > simple
