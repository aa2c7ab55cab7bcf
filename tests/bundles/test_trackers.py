"""The models that follow: whole, honest, and better than the simple method."""

import json
from dataclasses import replace
from functools import cache

import pytest

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.training.case import Parts
from dicom_ai_node.training.track import main
from tests.bundles.models import (
    BUNDLES,
    MATERIAL,
    TRACKERS,
    facts_of,
    needs_material,
    spoilt_network,
    track_recipe_of,
)

EVERY_TRACKER = pytest.mark.parametrize("name", TRACKERS)


@cache
def parts_of(name: str) -> Parts:
    """Read the data of a recipe once for all tests."""
    return track_recipe_of(name).read(MATERIAL)


def test_there_is_a_tracker() -> None:
    """Otherwise the tests below would be about nothing."""
    assert "motion_cine" in TRACKERS


@EVERY_TRACKER
def test_the_golden_case_comes_out_as_it_did_at_release(name: str) -> None:
    """And with other weights it does not."""
    facts = facts_of(name)
    check_golden(facts, task_of(facts, network(facts)))
    with pytest.raises(ModelUnusable, match="golden"):
        check_golden(facts, task_of(facts, spoilt_network(facts)))


@EVERY_TRACKER
def test_it_is_nearer_to_the_truth_than_cross_correlation(name: str) -> None:
    """Of grey values, with a template of the same size; also with lost places held."""
    score = json.loads((BUNDLES / name / "docs/score.json").read_text())["test"]
    of_all = _simple(score, "error (px)")
    assert score["features: error (px)"]["value"] < min(of_all)
    assert score["features: error with lost places held (px)"]["value"] < min(of_all)


@EVERY_TRACKER
@pytest.mark.parametrize("where", ["in ultrasound", "in X-rays", "in MR"])
def test_so_it_is_in_every_modality(name: str, where: str) -> None:
    """No mean hides where the simple method is better."""
    score = json.loads((BUNDLES / name / "docs/score.json").read_text())["test"]
    error = f"error {where} (px)"
    assert score[f"features: {error}"]["value"] < min(_simple(score, error))


def _simple(score: dict[str, dict[str, float]], error: str) -> list[float]:
    """Return that error of cross-correlation with the first template and a renewed one."""
    return [score[f"NCC, {which} template: {error}"]["value"] for which in ("first", "renewed")]


@needs_material
@EVERY_TRACKER
def test_no_case_is_in_two_parts(name: str) -> None:
    """What was learned from is not scored; frames of one fetus stay together."""
    parts = parts_of(name)
    names = [
        {case.name for case in cases} for cases in (parts.training, parts.validation, parts.test)
    ]
    assert all(names)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not names[one] & names[other]
        blocks = [
            {int(case.split("_")[0]) // 20 for case in part if "HC" in case}
            for part in (names[one], names[other])
        ]
        assert not blocks[0] & blocks[1]


@needs_material
@EVERY_TRACKER
def test_the_scores_on_the_card_can_be_measured_again(name: str) -> None:
    """`--score-only` makes the same cines and finds what score.json says."""
    recipe = replace(track_recipe_of(name), read=lambda _: parts_of(name))
    table = main(recipe, ["--data", str(MATERIAL), "--score-only"])
    assert "features: error (px)" in table
