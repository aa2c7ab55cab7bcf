"""The models that retrieve: whole, honest, and the node gives what was scored."""

import json
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
from dicom_ai_node.infer.resample import placed
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.picture import Picture, PictureParts
from dicom_ai_node.training.retrieve import inputs_of, main, vectors_of
from tests.bundles.models import (
    BUNDLES,
    ENCODERS,
    MATERIAL,
    embedding_recipe_of,
    facts_of,
    needs_material,
    spoilt_network,
)

EVERY_ENCODER = pytest.mark.parametrize("name", ENCODERS)


@cache
def parts_of(name: str) -> PictureParts:
    """Read the data of a recipe once for all tests."""
    return embedding_recipe_of(name).read(MATERIAL)


def test_there_is_an_encoder() -> None:
    """Otherwise the tests below would be about nothing."""
    assert "image_encoder" in ENCODERS


@EVERY_ENCODER
def test_the_golden_case_comes_out_as_it_did_at_release(name: str) -> None:
    """And with other weights it does not."""
    facts = facts_of(name)
    check_golden(facts, task_of(facts, network(facts)))
    with pytest.raises(ModelUnusable, match="golden"):
        check_golden(facts, task_of(facts, spoilt_network(facts)))


@EVERY_ENCODER
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
    on_grid = placed(image, facts.grid).image
    found = task_of(facts, network(facts))({"image": on_grid}, {}).embedding
    assert found is not None
    picture = Picture(name="frame", image=frame, label=0, group="1")
    inputs = inputs_of([picture], model_folder.facts_of(facts.folder))
    (scored,) = vectors_of(model_folder.shipped_network(facts.folder), inputs)
    assert float(scored @ found.vector) > 0.9999


@EVERY_ENCODER
def test_it_is_better_than_thumbnails_on_what_it_was_made_for(name: str) -> None:
    """With certainty on all together, and in no part worse; what it never saw is told apart."""
    score = json.loads((BUNDLES / name / "docs/score.json").read_text())["test"]
    gains = {row: said for row, said in score.items() if row.startswith("gain")}
    assert gains["gain over thumbnails, all"]["low"] > 0
    worse = [row for row, said in gains.items() if said["value"] < 0]
    assert all("never saw" in row for row in worse)


@needs_material
@EVERY_ENCODER
def test_no_picture_and_no_group_is_in_two_parts(name: str) -> None:
    """What was learned from, and what is nearly the same, is not scored."""
    parts = parts_of(name)
    sides = (parts.training, parts.validation, parts.test)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not {p.name for p in sides[one]} & {p.name for p in sides[other]}
        assert not {p.group for p in sides[one]} & {p.group for p in sides[other]}
    classes = embedding_recipe_of(name).classes
    learned = {picture.label for picture in parts.training}
    assert learned == {n for n, one in enumerate(classes) if one.is_trained}


@needs_material
@EVERY_ENCODER
def test_the_scores_on_the_card_can_be_measured_again(name: str) -> None:
    """`--score-only` finds on the held-out part what score.json says."""
    recipe = replace(embedding_recipe_of(name), read=lambda _: parts_of(name))
    table = main(recipe, ["--data", str(MATERIAL), "--score-only"])
    assert "precision at 5, all" in table
