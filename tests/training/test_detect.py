"""A recipe that finds boxes trains, calibrates, scores, and can prove its scores again."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.boxed import BoxParts, BoxPicture, mean_boxes
from dicom_ai_node.training.detect import BoxRecipe, golden_of, main
from dicom_ai_node.training.detections import Truth
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.folder import facts_of, shipped_network

FACTS = """
name: discs
version: 1.0.0
intensity: {scaling: window, low: 0, high: 100}
grid: {size_px: [32, 32]}
classes:
  - {label: Disc}
settings: {slope: 1.0, offset: 0.0, threshold: 0.5, limit: 5}
"""
NETWORK = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 5,
    "channels": [8, 16, 16],
    "strides": [2, 2],
    "num_res_units": 1,
    "norm": "batch",
}
PLAN = Plan(
    steps=90,
    batch=8,
    patch=(32, 32),
    learning_rate=1e-2,
    judge_every=30,
    ema=0.8,
    warp=Warp(degrees=5, zoom=(0.9, 1.1), shift=0.02),
    touch=Touch(),
)


def discs(count: int, seed: int) -> list[BoxPicture]:
    """Return pictures with a bright disc in noise; every fourth has none."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    made = []
    for number in range(count):
        image = random.uniform(0, 40, (32, 32))
        objects = np.zeros((32, 32), np.uint8)
        if number % 4:
            row, column = random.integers(9, 23, 2)
            objects[np.hypot(y - row, x - column) < 7] = 1
            image[objects > 0] += 50
        rows, columns = np.flatnonzero(objects.any(1)), np.flatnonzero(objects.any(0))
        truths = (
            (Truth(0, Corners(rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)),)
            if number % 4
            else ()
        )
        made.append(
            BoxPicture(
                name=f"{seed}-{number}",
                image=image.astype(np.float32),
                objects=objects,
                truths=truths,
                group=str(number),
            )
        )
    return made


def recipe_in(folder: Path) -> BoxRecipe:
    """Write what a person writes of a model folder, and return its recipe."""
    for name in ("configs", "docs"):
        (folder / name).mkdir()
    (folder / "configs/dicom.yaml").write_text(FACTS)
    (folder / "configs/inference.json").write_text(json.dumps({"network_def": NETWORK}))
    (folder / "docs/README.md").write_text("<!-- score -->\n<!-- /score -->\n")
    return BoxRecipe(
        folder=folder,
        read=lambda _data: BoxParts(
            training=discs(24, 1), validation=discs(16, 2), test=discs(16, 3)
        ),
        plan=PLAN,
        beside=lambda parts: {"mean box": mean_boxes(parts.training)},
    )


def test_a_recipe_writes_a_whole_folder_whose_scores_can_be_measured_again(tmp_path: Path) -> None:
    """Train, then `--score-only` finds the same numbers; with other numbers it complains."""
    torch.set_num_threads(1)
    recipe = recipe_in(tmp_path)
    table = main(recipe, ["--data", str(tmp_path)])
    score = json.loads((tmp_path / "docs/score.json").read_text())
    test = score["test"]
    assert test["mAP at IoU 0.5"]["value"] > 0.8
    assert test["mean box: mAP at IoU 0.5"]["value"] < test["mAP at IoU 0.5"]["value"]
    assert test["mAP at IoU 0.5"]["low"] <= test["mAP at IoU 0.5"]["value"]
    assert test["sensitivity at the operating point"]["value"] > 0.7
    assert table in (tmp_path / "docs/README.md").read_text()
    assert (tmp_path / "docs/reliability.png").is_file()
    assert len((tmp_path / "SHA256SUMS").read_text().splitlines()) == 4
    facts = facts_of(tmp_path)
    assert facts["settings"]["slope"] != 1.0
    assert 0 < facts["settings"]["threshold"] < 1

    image, boxes = golden_of(shipped_network(tmp_path), discs(16, 3), facts)
    with np.load(tmp_path / "golden/golden.npz") as golden:
        assert np.array_equal(golden["image"], image.numpy())
        assert np.array_equal(golden["boxes"], boxes)
        assert (golden["boxes"][:, 1] >= facts["settings"]["threshold"]).all()

    assert main(recipe, ["--data", str(tmp_path), "--score-only"]) == table

    score["test"]["mean IoU of right boxes"]["value"] -= 0.01
    (tmp_path / "docs/score.json").write_text(json.dumps(score))
    with pytest.raises(SystemExit, match="mean IoU"):
        main(recipe, ["--data", str(tmp_path), "--score-only"])


class Blind(nn.Module):
    """Finds nothing."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full((len(images), 5, *images.shape[2:]), -9.0)


def test_a_model_that_finds_nothing_has_no_golden_picture(tmp_path: Path) -> None:
    """There is nothing that could fail to be found again."""
    recipe_in(tmp_path)
    with pytest.raises(ValueError, match="no picture"):
        golden_of(Blind(), discs(4, 3), facts_of(tmp_path))
