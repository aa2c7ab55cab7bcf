"""A recipe that teaches to follow: train, calibrate, score beside the simple method, write."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from dicom_ai_node.training import track
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.case import Case, Parts
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.score_track import by_correlation, errors_px, of_return
from dicom_ai_node.training.sure_track import rules_of
from dicom_ai_node.training.track import TrackRecipe, made, there_and_back

FACTS = """
name: toy
version: 1.0.0
intensity: {scaling: window, low: 0, high: 255}
grid: {size_px: [80, 96]}
segments:
  - {number: 1, label: Thing}
settings:
  features: 4
  template_px: 11
  search_px: 8
  first_weight: 0.5
  half_at: 0.5
  per_similarity: 5.0
  per_px: 0.5
"""
NETWORK = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 4,
    "channels": [8, 8],
    "strides": [1],
    "norm": "batch",
}


def discs(count: int, seed: int) -> list[Case]:
    """Return stills of tissue with a bright disc."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:80, :96]
    cases = []
    for number in range(count):
        row, column = random.integers(32, 48), random.integers(38, 58)
        disc = np.hypot(y - row, x - column) < 12
        tissue = 90 + 250 * gaussian_filter(random.normal(size=(80, 96)), 2) + 70 * disc
        cases.append(
            Case(
                name=f"disc {number}",
                image=np.clip(tissue, 10, 255).astype(np.float32),
                labels=disc.astype(np.uint8),
                spacing_mm=(0.5, 0.5),
                reference={"is_calibrated": 1.0},
                group=f"{number}",
            )
        )
    return cases


def real() -> Case:
    """Return a cine in which a disc goes one way."""
    (disc,) = discs(1, 9)
    frames = np.stack([np.roll(disc.image, 2 * step, axis=1) for step in range(5)])
    return replace(disc, image=frames, labels=np.zeros(frames.shape, np.uint8))


def recipe_in(folder: Path) -> TrackRecipe:
    """Write what a person writes of a model folder, and return its recipe."""
    for name in ("configs", "docs"):
        (folder / name).mkdir()
    (folder / "configs/dicom.yaml").write_text(FACTS)
    (folder / "configs/inference.json").write_text(json.dumps({"network_def": NETWORK}))
    (folder / "docs/README.md").write_text("<!-- score -->\n<!-- /score -->\n")
    return TrackRecipe(
        folder=folder,
        read=lambda _data: Parts(
            training=discs(3, 1), validation=discs(2, 2), test=[*discs(2, 3), real()]
        ),
        plan=Plan(
            steps=12,
            batch=1,
            patch=(80, 96),
            learning_rate=1e-2,
            judge_every=6,
            ema=0.8,
            warp=Warp(degrees=5, zoom=(0.9, 1.1), shift=0.02),
            touch=Touch(),
        ),
    )


def test_a_recipe_writes_a_whole_folder_whose_scores_can_be_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features and the simple method side by side, and how sure to be is measured, too."""
    monkeypatch.setattr(track, "FRAMES", 12)
    recipe = recipe_in(tmp_path)
    table = track.main(recipe, ["--data", str(tmp_path)])
    score = json.loads((tmp_path / "docs/score.json").read_text())
    for method in ("features", "NCC, first template", "NCC, renewed template"):
        assert score["test"][f"{method}: error (px)"]["cases"] == 2
        assert f"{method}: error, 95th percentile (px)" in score["test"]
    assert score["test"]["real cine, forth and back, features: error at the end (px)"]["cases"] == 6
    assert not any("real cine" in name for name in score["validation"])
    assert table in (tmp_path / "docs/README.md").read_text()
    settings = (tmp_path / "configs/dicom.yaml").read_text()
    assert "per_similarity: 5.0" not in settings
    with np.load(tmp_path / "golden/golden.npz") as golden:
        assert golden["image"].shape[1:] == (80, 96)
        assert np.isfinite(golden["points"]).all()
    assert "golden/golden.npz" in (tmp_path / "SHA256SUMS").read_text()
    assert track.main(recipe, ["--data", str(tmp_path), "--score-only"]) == table

    score["test"]["features: error (px)"]["value"] += 1
    (tmp_path / "docs/score.json").write_text(json.dumps(score))
    with pytest.raises(SystemExit, match=r"features: error \(px\)"):
        track.main(recipe, ["--data", str(tmp_path), "--score-only"])


def test_a_real_cine_ends_where_the_added_motion_says(tmp_path: Path) -> None:
    """It comes back to its first frame, so that the end is known, and nothing in between."""
    recipe_in(tmp_path)
    facts = track.model_folder.facts_of(tmp_path)
    still = replace(real(), image=np.repeat(real().image[:1], 5, axis=0))
    for case in (still, real()):
        item = there_and_back(case, facts, 2)
        assert len(item.frames) == 9
        assert item.truth[1:-1].isnan().all()
        first, last = (place.round().int() for place in item.truth[[0, -1], 0])
        there, here = (
            frame[row - 5 : row + 6, column - 5 : column + 6].flatten()
            for frame, (row, column) in zip(item.frames[[0, -1]], (first, last), strict=True)
        )
        assert float(torch.corrcoef(torch.stack([there, here]))[0, 1]) > 0.8
    found = by_correlation(there_and_back(still, facts, 2), rules_of(facts), is_renewed=False)
    errors = of_return(there_and_back(still, facts, 2), {"NCC": found})
    assert float(np.median(next(iter(errors.values())))) < 0.5


def test_the_simple_method_finds_tissue_that_does_not_change(tmp_path: Path) -> None:
    """With its first template; otherwise it would be no fair comparison."""
    recipe = recipe_in(tmp_path)
    facts = track.model_folder.facts_of(tmp_path)
    item = made(recipe, discs(1, 5)[0], facts, 3)
    steady = replace(
        item.motion,
        speckle=0.0,
        out_of_plane=0.0,
        turn=item.motion.turn * 0,
        yielding=item.motion.yielding * 0,
    )
    still = track.on_grid(discs(1, 5)[0], facts)
    frames = track.cine(still, track.sector(still), steady, torch.Generator().manual_seed(4))
    truth = track.path_px((80, 96), steady, item.truth[0])
    item = replace(item, frames=frames, truth=truth, motion=steady)
    errors = errors_px(by_correlation(item, rules_of(facts), is_renewed=False), item)
    assert float(np.median(errors)) < 0.5
