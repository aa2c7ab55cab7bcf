"""A recipe trains, scores and writes a model folder, and can prove its scores again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from torch import Tensor, nn

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.case import Case, Parts
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.recipe import Recipe, main, scores_of

FACTS = """
name: squares
version: 1.0.0
intensity: {scaling: window, low: 0, high: 100}
grid: {size_px: [32, 32]}
segments:
  - {number: 1, label: Square}
settings: {largest_only: true}
"""
NETWORK = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}


def squares(count: int, seed: int) -> list[Case]:
    """Return frames of 64 pixels with one bright square each."""
    random = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        top, left = random.integers(4, 36, 2)
        labels = np.zeros((64, 64), np.uint8)
        labels[top : top + 22, left : left + 22] = 1
        image = (labels * 80 + random.uniform(0, 15, labels.shape)).astype(np.float32)
        cases.append(
            Case(name=f"square {number}", image=image, labels=labels, spacing_mm=(1.0, 1.0))
        )
    return cases


def recipe_in(folder: Path) -> Recipe:
    """Write what a person writes of a model folder, and return its recipe."""
    for name in ("configs", "docs"):
        (folder / name).mkdir()
    (folder / "configs/dicom.yaml").write_text(FACTS)
    (folder / "configs/inference.json").write_text(json.dumps({"network_def": NETWORK}))
    (folder / "docs/README.md").write_text("<!-- score -->\n<!-- /score -->\n")
    return Recipe(
        folder=folder,
        read=lambda _data: Parts(
            training=squares(6, 1), validation=squares(2, 2), test=squares(3, 3)
        ),
        plan=Plan(
            steps=60,
            batch=4,
            patch=(32, 32),
            learning_rate=1e-2,
            judge_every=30,
            ema=0.8,
            warp=Warp(degrees=5, zoom=(0.9, 1.1), shift=0.02),
            touch=Touch(),
        ),
    )


def test_a_recipe_writes_a_whole_folder_whose_scores_can_be_measured_again(tmp_path: Path) -> None:
    """Train, then `--score-only` finds the same numbers; with other numbers it complains."""
    recipe = recipe_in(tmp_path)
    table = main(recipe, ["--data", str(tmp_path)])
    score = json.loads((tmp_path / "docs/score.json").read_text())
    assert score["test"]["Dice, Square"]["cases"] == 3
    assert score["test"]["Dice, Square"]["mean"] > 0.85
    assert table in (tmp_path / "docs/README.md").read_text()
    with np.load(tmp_path / "golden/golden.npz") as golden:
        assert golden["image"].shape == golden["labels"].shape == (32, 32)
        assert golden["labels"].any()
    assert len((tmp_path / "SHA256SUMS").read_text().splitlines()) == 4

    assert main(recipe, ["--data", str(tmp_path), "--score-only"]) == table

    score["test"]["Dice, Square"]["mean"] += 0.01
    (tmp_path / "docs/score.json").write_text(json.dumps(score))
    with pytest.raises(SystemExit, match=r"Dice, Square"):
        main(recipe, ["--data", str(tmp_path), "--score-only"])


def test_what_is_found_where_there_is_nothing_is_summed_up_and_not_called_a_dice(
    tmp_path: Path,
) -> None:
    """One false pixel and a false organ would both have a Dice of 0."""
    recipe = recipe_in(tmp_path)
    there = squares(1, 4)[0]
    nowhere = replace(there, labels=np.zeros_like(there.labels), spacing_mm=(5.0, 5.0))
    unknown = replace(nowhere, scored=())
    rows = scores_of(AllBright(), [there, nowhere, unknown], YAML(typ="safe").load(FACTS), recipe)
    assert list(rows[0]) == ["Dice, Square"]
    assert rows[1]["Square where there is none (cm2)"] == pytest.approx(22 * 22 * 0.25, rel=0.1)
    assert rows[2] == {}


class AllBright(nn.Module):
    """Finds what is brighter than a half."""

    def forward(self, image: Tensor) -> Tensor:
        """Return logits of background and bright."""
        return torch.cat([0.5 - image, image - 0.5], dim=1) * 20
