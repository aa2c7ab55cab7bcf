"""A recipe of kind `retrieve` in small: it learns what belongs together and tells how well."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.fit_embedding import chances
from dicom_ai_node.training.picture import Picture, PictureParts
from dicom_ai_node.training.retrieve import EmbeddingRecipe, PictureClass, main
from tests.bundles.models import BUNDLES

CLASSES = (
    PictureClass(name="left", counts_to="sides"),
    PictureClass(name="right", counts_to="sides"),
    PictureClass(name="middle", counts_to="never seen", is_trained=False),
)


def _pictures(part: str, count: int, labels: range) -> list[Picture]:
    """Return noisy pictures with a bright left, right or middle third, each a group of its own."""
    random = np.random.default_rng(len(part))
    found = []
    for number in range(count):
        label = labels[number % len(labels)]
        image = random.normal(50, 10, (24, 24)).astype(np.float32)
        first = (0, 16, 8)[label]
        image[:, first : first + 8] += 60
        name = f"{part} {number}"
        found.append(Picture(name=name, image=image, label=label, group=name))
    return found


def _read(_data: Path) -> PictureParts:
    return PictureParts(
        training=_pictures("training", 24, range(2)),
        validation=_pictures("validation", 16, range(2)),
        test=_pictures("test", 24, range(3)),
    )


@pytest.fixture
def recipe(tmp_path: Path) -> EmbeddingRecipe:
    """Return a recipe that takes a few steps."""
    folder = tmp_path / "encoder"
    shutil.copytree(BUNDLES / "image_encoder/configs", folder / "configs")
    facts = folder / "configs/dicom.yaml"
    said = facts.read_text()
    size = model_folder.facts_of(folder)["grid"]["size_px"]
    facts.write_text(said.replace(f"size_px: {size}", "size_px: [24, 24]"))
    (folder / "docs").mkdir()
    (folder / "docs/README.md").write_text("<!-- score -->\n<!-- /score -->\n")
    return EmbeddingRecipe(
        folder=folder,
        classes=CLASSES,
        read=_read,
        plan=Plan(
            steps=12, minutes=1, batch=12, patch=(24, 24), learning_rate=2e-3, judge_every=6,
            ema=0.5, warp=Warp(degrees=3), touch=Touch(),
        ),
    )  # fmt: skip


def test_a_recipe_makes_a_whole_folder_and_can_score_it_again(recipe: EmbeddingRecipe) -> None:
    """Weights, golden case, scores beside those of thumbnails, and the sums over all of it."""
    torch.set_num_threads(1)
    table = main(recipe, ["--data", "nowhere"])
    score = json.loads((recipe.folder / "docs/score.json").read_text())
    assert list(score["test"]) == [
        f"{row}, {part}"
        for part in ("all", "sides", "never seen")
        for row in (
            "precision at 5", "the same of thumbnails of 20 px", "gain over thumbnails",
        )
    ]  # fmt: skip
    assert score["test"]["precision at 5, all"]["cases"] == 16
    assert score["test"]["precision at 5, never seen"]["cases"] == 8
    assert table in (recipe.folder / "docs/README.md").read_text()
    with np.load(recipe.folder / "golden/golden.npz") as golden:
        assert golden["embedding"].shape == (64,)
        assert np.linalg.norm(golden["embedding"]) == pytest.approx(1, abs=1e-5)
    assert (recipe.folder / "SHA256SUMS").read_text() == model_folder.checksums(recipe.folder)
    assert main(recipe, ["--data", "nowhere", "--score-only"]) == table


def test_scores_of_other_weights_are_noticed(recipe: EmbeddingRecipe) -> None:
    """What the card says must be what the weights give."""
    main(recipe, ["--data", "nowhere"])
    record = recipe.folder / "docs/score.json"
    said = json.loads(record.read_text())
    said["test"]["precision at 5, all"]["value"] = 0.123
    record.write_text(json.dumps(said))
    with pytest.raises(SystemExit, match="precision at 5, all"):
        main(recipe, ["--data", "nowhere", "--score-only"])


def test_small_classes_are_drawn_more_often_than_they_occur() -> None:
    """By the root of their size: less than evenly, more than by chance."""
    examples = [(torch.zeros(2, 2), label) for label in [0] * 16 + [1] * 4]
    weights = chances(examples)
    assert float(weights[:16].sum() / weights[16:].sum()) == pytest.approx(2)
