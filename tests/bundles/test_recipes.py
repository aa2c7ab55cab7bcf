"""The recipes read what they say they read, keep parts apart, and their scores can be repeated."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from dicom_ai_node.training.case import Case, Parts
from dicom_ai_node.training.recipe import main
from tests.bundles.models import (
    MATERIAL,
    PAIRS,
    SEGMENTERS,
    module_of,
    needs_material,
    recipe_of,
)

EVERY_RECIPE = pytest.mark.parametrize("name", sorted(set(SEGMENTERS) - set(PAIRS)))
_READ: dict[str, Parts] = {}


def parts_of(name: str) -> Parts:
    """Read the data of a recipe once for all tests."""
    if name not in _READ:
        _READ[name] = recipe_of(name).read(MATERIAL)
    return _READ[name]


def names_in(cases: list[Case]) -> set[str]:
    """Return the names of the cases."""
    return {case.name for case in cases}


@needs_material
@EVERY_RECIPE
def test_no_case_is_in_two_parts(name: str) -> None:
    """What was learned from is not scored."""
    parts = parts_of(name)
    training, validation, test = (
        names_in(list(cases)) for cases in (parts.training, parts.validation, parts.test)
    )
    assert training
    assert validation
    assert test
    assert not training & validation
    assert not training & test
    assert not validation & test


@needs_material
@EVERY_RECIPE
def test_labels_lie_on_their_images(name: str) -> None:
    """Same shape, only known numbers, and every segment appears in training and test."""
    recipe, parts = recipe_of(name), parts_of(name)
    known = {0, 1, 2, 3}
    for cases in (parts.training, parts.test):
        seen: set[int] = set()
        for case in cases:
            assert case.image.shape == case.labels.shape
            assert case.image.dtype == np.float32
            seen |= set(np.unique(case.labels).tolist())
        assert seen <= known
        numbers = {"fetal_head_us": 2, "breast_lesion_us": 2, "ct_tissue": 4}
        assert len(seen) == numbers.get(name, 3)
    assert set(names_in(list(recipe.golden(parts.test)))) <= names_in(list(parts.test))


@needs_material
@EVERY_RECIPE
def test_the_scores_on_the_card_can_be_measured_again(name: str) -> None:
    """`--score-only` finds on the held-out part what score.json says."""
    recipe = replace(recipe_of(name), read=lambda _: parts_of(name))
    table = main(recipe, ["--data", str(MATERIAL), "--score-only"])
    assert table.count("\n") >= 2


@needs_material
@pytest.mark.parametrize("name", PAIRS)
def test_the_scores_of_a_pair_can_be_measured_again(name: str) -> None:
    """Its made cases follow from a seed, so that they are the same for whoever makes them."""
    table = module_of(name).main(["--data", str(MATERIAL), "--score-only"])
    assert table.count("\n") >= 2


@needs_material
def test_frames_of_one_fetus_are_in_one_part() -> None:
    """HC18 names them 014_HC, 014_2HC, 014_3HC; their neighbours stay with them."""
    parts = parts_of("fetal_head_us")
    numbers = [
        {case.name.split("_")[0] for case in cases}
        for cases in (parts.training, parts.validation, parts.test)
    ]
    assert not numbers[0] & numbers[1]
    assert not numbers[0] & numbers[2]
    blocks = [{int(number) // 20 for number in part} for part in numbers]
    assert not blocks[0] & blocks[2]


@needs_material
def test_a_patient_with_several_chest_x_rays_is_in_one_part() -> None:
    """Grouped by the patient that the source names."""
    rows = json.loads((MATERIAL / "train/cxr/labels.json").read_text())
    patient = {row["file"]: row["patient"] for row in rows}
    parts = parts_of("lung_fields_cxr")
    patients = [
        {patient[case.name] for case in cases}
        for cases in (parts.training, parts.validation, parts.test)
    ]
    assert not patients[0] & patients[2]
    assert not patients[0] & patients[1]
    assert not patients[1] & patients[2]


@needs_material
def test_near_duplicates_of_a_breast_image_are_in_one_part() -> None:
    """BUSI holds the same lesion several times; the groups are those of its table."""
    with (MATERIAL / "train/busi/labels.csv").open(newline="") as table:
        group = {row["file"]: row["dup_group"] for row in csv.DictReader(table)}
    parts = parts_of("breast_lesion_us")
    groups = [
        {group[case.name] for case in cases}
        for cases in (parts.training, parts.validation, parts.test)
    ]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


@needs_material
def test_the_outline_for_training_has_the_circumference_that_was_annotated() -> None:
    """The given masks are half a pixel too wide on every side; the recipe takes that away."""
    recipe, parts = recipe_of("fetal_head_us"), parts_of("fetal_head_us")
    errors = [
        recipe.also_score(case, case.labels)["head circumference, error (mm)"]
        for case in parts.training[::10]
    ]
    assert abs(float(np.median(errors))) < 0.1
    given = [
        recipe.also_score(case, case.labels)["head circumference, error (mm)"]
        for case in parts.test[::10]
    ]
    assert float(np.median(given)) > 0.7


@needs_material
def test_the_hippocampus_lies_as_in_an_axial_dicom_stack() -> None:
    """Its anterior part is in front (fewer rows) and lower (fewer slices) than its tail."""
    for case in parts_of("hippocampus_mr").test:
        front, back = (ndimage.center_of_mass(case.labels == number) for number in (1, 2))
        assert front[1] < back[1]
        assert front[0] < back[0]


@needs_material
def test_head_slices_are_labelled_by_the_stated_rule() -> None:
    """Inside is soft tissue, bone is bright, and the two do not overlap nor leave the head."""
    parts = parts_of("ct_tissue")
    heads = [case for case in (*parts.training, *parts.test) if case.name.startswith("head")]
    assert heads
    for case in heads:
        inside, bone = case.labels == 3, case.labels == 1
        assert float(np.median(case.image[bone])) > 300
        if inside.any():
            assert 0 < float(np.median(case.image[inside])) < 100
