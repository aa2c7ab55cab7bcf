"""The thresholds of a guard come from images that nobody has changed."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import ResNet
from safetensors.torch import load_file

from dicom_ai_node.neural.guard import judges_in, tensors_of
from dicom_ai_node.training.fuse import FusedCase, FusedParts
from dicom_ai_node.training.guard import fitted, thresholds, with_layer, write
from dicom_ai_node.training.picture import Picture, PictureParts
from dicom_ai_node.training.shown import Subject


def test_half_of_the_false_alarms_come_from_each_score() -> None:
    """Of a thousand images five lie above or at each threshold, ten together."""
    scores = torch.stack([torch.arange(1000.0), torch.arange(1000.0).flip(0) * 2], 1)
    limits = thresholds(scores, 0.01)
    assert (scores >= limits).sum(0).tolist() == [5, 5]


def test_few_images_give_no_lower_threshold_than_their_highest_score() -> None:
    """A rate that cannot be measured is estimated from how the scores are spread."""
    scores = torch.tensor([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]])
    assert thresholds(scores, 0.01).tolist() == pytest.approx([2 + 11.46, 5.0], abs=0.05)


def _subject(folder: Path, inputs: Mapping[str, Any]) -> Subject:
    """Return a model of two classes that looks at images of 16 pixels."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    facts = {
        "kind": "fuse" if inputs else "classify", "sees": "frames", "grid": {"size_px": [16, 16]},
        "intensity": {"scaling": "window", "low": 0, "high": 100}, "inputs": inputs,
    }  # fmt: skip
    if not inputs:
        del facts["inputs"]
    (folder / "configs/dicom.yaml").write_text("name: toy\ngolden: {file: golden.npz}\n")
    torch.manual_seed(3)
    network = ResNet(
        "basic", [1, 1, 1, 1], [4, 4, 4, 4], spatial_dims=2, num_classes=2,
        n_input_channels=max(1, len(inputs)),
    )  # fmt: skip
    network.eval().requires_grad_(requires_grad=False)
    return with_layer(Subject(folder, SimpleNamespace(), facts, network))


def test_a_guard_is_written_with_its_section_and_read_back(tmp_path: Path) -> None:
    """A layer that suits the network is chosen where the facts name none, and it is sealed."""
    random = np.random.default_rng(2)
    pictures = [
        Picture(
            name=str(n), image=random.uniform(0, 100, (16, 16)).astype(np.float32), label=n % 2,
            group=str(n),
        )
        for n in range(6)
    ]  # fmt: skip
    model = _subject(tmp_path, {})
    judges = fitted(model, PictureParts(training=pictures, validation=pictures, test=[]), 6)
    write(model, judges)
    assert (
        "\nguard: {layer: layer2, smoothing: 2}\n" in (tmp_path / "configs/dicom.yaml").read_text()
    )
    assert "models/guard.safetensors" in (tmp_path / "SHA256SUMS").read_text()
    again = judges_in(load_file(tmp_path / "models/guard.safetensors"), ())
    assert torch.equal(again[""].thresholds, judges[""].thresholds)
    assert bool(torch.isfinite(again[""].precision).all())


def test_every_input_has_a_judge_of_its_own(tmp_path: Path) -> None:
    """Their numbers stand side by side in one file."""
    window = {"intensity": {"scaling": "window", "low": 0, "high": 1}}
    model = _subject(tmp_path, {"pet": window, "ct": window})
    random = np.random.default_rng(2)
    cases = [
        FusedCase(
            images={
                name: random.random((16, 16)).astype(np.float32) for name in ("pet", "ct")
            },
            told={}, label=n % 2, group=str(n),
        )
        for n in range(4)
    ]  # fmt: skip
    judges = fitted(model, FusedParts(training=cases, validation=cases, test=[]), 4)
    assert set(judges) == {"pet", "ct"}
    again = judges_in(tensors_of(judges), ("pet", "ct"))
    assert not torch.equal(again["pet"].weights, again["ct"].weights)
