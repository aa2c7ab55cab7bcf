"""Writing a model folder that a node can read."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dicom_ai_node.training import folder as model_folder

NETWORK = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with nothing but a definition and a card."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "configs/inference.json").write_text(json.dumps({"network_def": NETWORK}))
    (tmp_path / "docs/README.md").write_text(
        "Before\n<!-- score -->\nold\n<!-- /score -->\nAfter\n"
    )
    return tmp_path


def test_weights_come_back_as_they_were_written_to_half_precision(folder: Path) -> None:
    """A thousandth is lost, half of the bytes are saved."""
    network = model_folder.new_network(folder)
    model_folder.write_weights(folder, network)
    again = model_folder.shipped_network(folder)
    for ours, theirs in zip(network.parameters(), again.parameters(), strict=True):
        assert theirs.dtype == torch.float32
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-6)


def test_only_networks_of_monai_are_built(folder: Path) -> None:
    """A definition names a network, not any function of Python."""
    definition = {"network_def": {"_target_": "os.system", "command": "true"}}
    (folder / "configs/inference.json").write_text(json.dumps(definition))
    with pytest.raises(ValueError, match=r"os\.system"):
        model_folder.new_network(folder)


def test_checksums_cover_what_decides_the_result_and_nothing_else(folder: Path) -> None:
    """Card and score may be improved without making another model of it."""
    model_folder.write_weights(folder, model_folder.new_network(folder))
    model_folder.write_golden(folder, image=np.zeros((2, 2)), labels=np.ones((2, 2)))
    model_folder.write_checksums(folder)
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert [name for _, name in lines] == [
        "configs/inference.json",
        "golden/golden.npz",
        "models/model.safetensors",
    ]
    for digest, name in lines:
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_the_card_shows_the_scores_that_were_measured(folder: Path) -> None:
    """The table between the marks is replaced, the words around it stay."""
    numbers = {"mean": 0.9, "sd": 0.1, "median": 0.9, "min": 0.8, "max": 1.0, "cases": 2}
    model_folder.write_score(folder, {"test": {"Dice, head": numbers}})
    card = (folder / "docs/README.md").read_text()
    assert card.startswith("Before\n")
    assert card.endswith("After\n")
    assert "old" not in card
    assert "| Dice, head | 0.9000 |" in card


def test_a_measured_number_goes_where_its_key_is_and_nothing_else_changes(folder: Path) -> None:
    """Comments and the order of a person's file stay."""
    facts = folder / "configs/dicom.yaml"
    facts.write_text("# by hand\ntemperature: 1.0\npoint: {label: A, threshold: 0.5}\n")
    model_folder.write_number(folder, "temperature", 1.37)
    model_folder.write_number(folder, "threshold", 0.412)
    assert facts.read_text() == (
        "# by hand\ntemperature: 1.37\npoint: {label: A, threshold: 0.412}\n"
    )


def test_a_measured_number_without_a_place_is_an_error(folder: Path) -> None:
    """It would be lost, and the model shipped without it."""
    (folder / "configs/dicom.yaml").write_text("name: x\n")
    with pytest.raises(ValueError, match="temperature"):
        model_folder.write_number(folder, "temperature", 1.37)


def test_scores_with_an_interval_are_shown_with_it() -> None:
    """And those that are only there for comparison without."""
    rows = {
        "AUC": {"value": 0.9, "low": 0.85, "high": 0.94, "cases": 80},
        "a coin": {"value": 0.5, "cases": 80},
    }
    table = model_folder.score_table(rows).splitlines()
    assert table[2:] == ["| AUC | 0.9000 | 0.8500 to 0.9400 | 80 |", "| a coin | 0.5000 | - | 80 |"]
