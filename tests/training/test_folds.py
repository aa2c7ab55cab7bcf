"""Cross-validation: everybody is judged by a network that has not seen him."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.folder import facts_of
from dicom_ai_node.training.folds import (
    FOLDS,
    JUDGED,
    FoldRecipe,
    Judged,
    Pictures,
    balanced_accuracy,
    folds_of,
    judged,
    main,
    scores_of,
)
from dicom_ai_node.training.picture import Picture
from tests.training.test_classify import recipe_in

PLAN = Plan(
    steps=25,
    batch=12,
    patch=(16, 16),
    learning_rate=1e-2,
    judge_every=10,
    ema=0.5,
    warp=Warp(degrees=0, zoom=(1, 1), shift=0),
    touch=Touch(gain=0, offset=0, noise=0),
)


def _pictures(count: int = 60) -> list[Picture]:
    """Return dark and bright squares; three neighbours make a group."""
    random = np.random.default_rng(4)
    pictures = []
    for number in range(count):
        label = number // 3 % 2
        image = random.uniform(0, 60, (16, 16)).astype(np.float32)
        outline = np.zeros((16, 16), np.bool_)
        outline[4:10, 5:11] = bool(label)
        image[outline] += 150
        pictures.append(
            Picture(
                name=f"picture {number}",
                image=image,
                label=label,
                group=f"group {number // 3}",
                outline=outline,
            )
        )
    return pictures


def _recipe(folder: Path) -> FoldRecipe:
    return FoldRecipe(
        folder=recipe_in(folder).folder,
        read=lambda _data: Pictures(training=_pictures()),
        plan=PLAN,
        look_at="layer1",
        beside={"always the first": lambda _known, asked: np.zeros(len(asked), np.int64)},
    )


def test_folds_keep_groups_whole_and_classes_even() -> None:
    """Every picture is in exactly one."""
    folds = folds_of(_pictures())
    assert len(folds) == FOLDS
    assert sorted(p.name for fold in folds for p in fold) == sorted(p.name for p in _pictures())
    groups = [{picture.group for picture in fold} for fold in folds]
    assert sum(map(len, groups)) == len(set.union(*groups))
    for fold in folds:
        assert 0.3 < np.mean([picture.label for picture in fold]) < 0.7


def test_the_temperature_of_a_fold_comes_from_the_others() -> None:
    """Its own pictures must not make it look better calibrated than it is."""
    pictures = _pictures(30)
    folds = np.arange(30) % 5
    logits = np.where(
        np.array([p.label for p in pictures])[:, None] == np.arange(2), 2.0, -2.0
    ) * np.where(folds[:, None] == 0, -1.0, 1.0)
    found = Judged(pictures, folds, logits).probabilities()
    # Fold 0 is wrong throughout; the others, who are right, do not warn it.
    assert (found[folds == 0].max(1) > 0.99).all()
    assert not np.allclose(found, softmax(logits, axis=1))


def test_balanced_accuracy_does_not_reward_the_commonest_class() -> None:
    """Who always says the same gets one share in as many as there are classes."""
    labels = np.array([0] * 8 + [1] * 2)
    always = np.tile([1.0, 0.0], (10, 1))
    assert balanced_accuracy(always, labels) == 0.5


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[FoldRecipe, Path]:
    """Return a recipe that has run from the data to the folder."""
    folder = tmp_path_factory.mktemp("folds")
    recipe = _recipe(folder)
    main(recipe, ["--data", str(folder), "--minutes", "1"])
    return recipe, folder


def test_a_recipe_writes_what_everybody_got(finished: tuple[FoldRecipe, Path]) -> None:
    """By name, with the fold that judged it; the scores follow from nothing else."""
    recipe, _ = finished
    rows = json.loads((recipe.folder / JUDGED).read_text())
    assert sorted(row["name"] for row in rows) == sorted(p.name for p in _pictures())
    assert {row["fold"] for row in rows} == set(range(FOLDS))
    scores = json.loads((recipe.folder / "docs/score.json").read_text())["test"]
    again = scores_of(recipe, _pictures(), facts_of(recipe.folder))
    assert {name: scores[name] for name in again} == again
    assert scores["balanced accuracy"]["value"] > 0.9
    assert scores["balanced accuracy of always the first, for comparison"]["value"] == 0.5
    assert len(judged(recipe, _pictures()).logits) == 60


def test_the_scores_can_be_repeated_from_the_folder(finished: tuple[FoldRecipe, Path]) -> None:
    """Without training five networks again."""
    recipe, folder = finished
    assert "balanced accuracy" in main(recipe, ["--data", str(folder), "--score-only"])


def test_scores_that_are_not_those_of_the_folder_are_found_out(
    finished: tuple[FoldRecipe, Path],
) -> None:
    """Somebody may have changed what is written there."""
    recipe, folder = finished
    path = recipe.folder / JUDGED
    before = path.read_text()
    rows = json.loads(before)
    for row in rows:
        row["logits"] = row["logits"][::-1]
    path.write_text(json.dumps(rows))
    try:
        with pytest.raises(SystemExit, match="is not what"):
            main(recipe, ["--data", str(folder), "--score-only"])
    finally:
        path.write_text(before)
