"""A recipe that restores trains, scores itself beside simple methods and writes a whole folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import UNet

from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.pair import Method, Pair, PairParts
from dicom_ai_node.training.restore import (
    RestoreRecipe,
    averaged,
    draw,
    main,
    restored,
    scores_of,
)
from dicom_ai_node.training.simple import gaussian, median
from tests.model_folders import restore_model

ENDS = (0.0, 100.0)
PLAN = Plan(
    steps=40, minutes=1.0, batch=4, patch=(16, 16), learning_rate=0.02, judge_every=20, ema=0.9,
    warp=Warp(), touch=Touch(),
)  # fmt: skip
FACTS = {
    "intensity": {"scaling": "window", "low": 0, "high": 100},
    "settings": {"factor": 1, "largest_change": 0.5},
}


def _pairs(count: int, group: str) -> list[Pair]:
    """Return even halves with noise."""
    random = np.random.default_rng(len(group))
    pairs = []
    for number in range(count):
        wanted = np.full((24, 28), 30, np.float32)
        wanted[:, 10 + number :] = 70
        noisy = wanted + random.normal(0, 8, wanted.shape).astype(np.float32)
        pairs.append(Pair(given=noisy, wanted=wanted, ends=ENDS, group=f"{group} {number % 2}"))
    return pairs


def _parts(_data: Path) -> PairParts:
    return PairParts(training=_pairs(6, "a"), validation=_pairs(3, "bb"), test=_pairs(4, "ccc"))


def _recipe(folder: Path) -> RestoreRecipe:
    return RestoreRecipe(
        folder=folder,
        read=_parts,
        plan=PLAN,
        beside={"median": median((3, 5)), "Gaussian": gaussian((0.5, 1.0))},
        golden=lambda pairs: pairs[0].given.round(),
        levels=(0.5, 1.0),
        unit="(HU)",
    )


def test_a_recipe_leaves_a_model_that_the_node_takes(tmp_path: Path) -> None:
    """Weights, golden case, score and checksums: the worker's own test passes, and so does ours."""
    folder = restore_model(tmp_path)
    table = main(_recipe(folder), ["--data", str(tmp_path)])
    score = json.loads((folder / "docs/score.json").read_text())
    assert table in (folder / "docs/README.md").read_text()
    assert set(score["test"]) == {
        *(
            f"{measure}, {method}"
            for measure in ("PSNR (dB)", "SSIM")
            for method in ("network", "as it came", "median", "Gaussian")
        ),
        *(name for name in score["test"] if " over " in name),
        "shift of the mean (HU)",
    }
    assert score["test"]["PSNR (dB), network"]["cases"] == 4
    facts = Catalog([tmp_path]).facts(folder.name)
    check_golden(facts, task_of(facts, network(facts)))
    main(_recipe(folder), ["--data", str(tmp_path), "--score-only"])
    score["test"]["SSIM, network"]["value"] += 0.1
    (folder / "docs/score.json").write_text(json.dumps(score))
    with pytest.raises(SystemExit, match="SSIM"):
        main(_recipe(folder), ["--data", str(tmp_path), "--score-only"])


def test_a_gain_is_over_the_best_of_the_others(tmp_path: Path) -> None:
    """Image by image, with an interval over groups."""
    pairs = _pairs(4, "x")
    methods = {
        "network": lambda pair: pair.wanted + 1,
        "good": lambda pair: pair.wanted + 2,
        "bad": lambda pair: pair.wanted + 4,
    }
    rows = scores_of(methods, pairs, _recipe(tmp_path))
    gain = rows["PSNR (dB), network over good"]
    assert gain["value"] == pytest.approx(6.02, abs=0.01)
    assert gain["low"] <= gain["value"] <= gain["high"]


def test_patches_are_turned_alike_and_carry_the_change_that_is_wanted() -> None:
    """What goes in plus the change is the truth, at any level of noise."""
    pair = _pairs(1, "y")[0]
    examples = [(torch.from_numpy(pair.given) / 100, torch.from_numpy(pair.wanted) / 100)]
    inputs, changes = draw(examples, _recipe(Path()), torch.Generator().manual_seed(3))
    assert inputs.shape == changes.shape == (4, 1, 16, 16)
    truths = set(np.unique((inputs + changes).numpy().round(4)))
    assert truths <= {np.float32(0.3), np.float32(0.7), np.float32(0)}
    assert float(changes.std()) > 0.02


def test_a_network_that_says_nothing_leaves_the_image_as_it_was() -> None:
    """And one that says too much changes it by no more than it may."""
    pair = _pairs(1, "z")[0]
    silent = UNet(2, 1, 1, channels=[1, 1], strides=[1], kernel_size=1, up_kernel_size=1)
    for weights in silent.parameters():
        torch.nn.init.zeros_(weights)
    assert np.array_equal(restored(silent, pair, FACTS), pair.given)


def test_one_patient_has_a_mean_and_no_interval() -> None:
    """There is nothing to draw from; of several the interval holds the mean."""
    assert averaged([1.0, 2.0], ["a", "a"]) == {"value": 1.5, "cases": 2}
    row = averaged([1.0, 2.0, 6.0], ["a", "b", "c"])
    assert row["low"] < row["value"] == 3 < row["high"]


def test_a_recipe_may_score_more(tmp_path: Path) -> None:
    """It is given all methods, the network among them, and its rows join the table."""

    def worst(methods: Mapping[str, Method], pairs: Sequence[Pair]) -> dict[str, dict[str, float]]:
        values = [float(np.abs(methods["network"](pair) - pair.wanted).max()) for pair in pairs]
        return {"largest error": averaged(values, [pair.group for pair in pairs])}

    recipe = replace(_recipe(tmp_path), also_score=worst)
    methods = {"network": lambda pair: pair.wanted + 1, "as it came": lambda pair: pair.given}
    rows = scores_of(methods, _pairs(4, "x"), recipe)
    assert rows["largest error"]["value"] == 1
    assert "PSNR (dB), network" in rows
