"""Networks come from a list and weights from tensors; a model folder cannot run code."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.networks import network
from tests.model_folders import (
    STEEP,
    THRESHOLD,
    definition,
    seal,
    threshold_model,
    threshold_weights,
)


def _redefined(tmp_path: Path, content: object) -> torch.nn.Module:
    folder = threshold_model(tmp_path)
    (folder / "configs/inference.json").write_text(json.dumps(content))
    seal(folder)
    return network(Catalog([tmp_path]).facts("bright_ct"))


def test_a_network_comes_with_its_weights_ready_to_predict(tmp_path: Path) -> None:
    """It computes what its weights say, in evaluation mode and without gradients."""
    threshold_model(tmp_path)
    built = network(Catalog([tmp_path]).facts("bright_ct"))
    assert not built.training
    assert not any(parameter.requires_grad for parameter in built.parameters())
    logits = built(torch.tensor([0.2, 0.8]).reshape(1, 1, 2, 1, 1))[0, 1].flatten()
    expected = STEEP * (torch.tensor([0.2, 0.8]) - THRESHOLD)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            {"network_def": {"_target_": "os.system", "command": "touch owned"}}, id="a function"
        ),
        pytest.param(
            {"network_def": {"_target_": "subprocess.Popen", "args": "touch owned"}}, id="a class"
        ),
        pytest.param(
            {"network_def": {"_target_": "monai.networks.nets.FlexibleUNet"}},
            id="a MONAI network that is not on the list",
        ),
        pytest.param(
            {"network_def": {"_target_": "monai.networks.nets.TorchVisionFCModel"}},
            id="a MONAI network that fetches weights",
        ),
        pytest.param(
            {"network_def": {**definition(3), "act": "$__import__('os').system('touch owned')"}},
            id="an expression",
        ),
        pytest.param(
            {"network_def": {**definition(3), "act": ["RELU", {"inplace": "$1"}]}},
            id="an expression further inside",
        ),
        pytest.param({"network_def": {**definition(3), "act": "@act"}}, id="a reference"),
        pytest.param(
            {"network_def": {**definition(3), "act": {"_target_": "os.getcwd"}}},
            id="an object inside",
        ),
        pytest.param({"network_def": {**definition(3), "channels": "many"}}, id="a wrong argument"),
        pytest.param({"network_def": {**definition(3), "colour": "red"}}, id="an unknown argument"),
        pytest.param({"network_def": "$42"}, id="no definition"),
        pytest.param({"_target_": ["a"]}, id="nothing"),
    ],
)
def test_a_definition_cannot_run_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]
) -> None:
    """What MONAI's parser would run is refused, and not run."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelUnusable):
        _redefined(tmp_path, content)
    assert not (tmp_path / "owned").exists()


def test_weights_that_have_changed_are_not_loaded(tmp_path: Path) -> None:
    """The bytes that were hashed are the bytes that are loaded."""
    folder = threshold_model(tmp_path)
    facts = Catalog([tmp_path]).facts("bright_ct")
    weights = threshold_weights(3)
    weights["model.2.conv.bias"][1] = 0.0
    (folder / "models/model.safetensors").write_bytes(save(weights))
    with pytest.raises(ModelUnusable, match=r"models/model\.safetensors has changed, expected"):
        network(facts)


def test_a_folder_that_was_sealed_anew_is_another_model(tmp_path: Path) -> None:
    """A job runs on the model that it was made for, or not at all."""
    threshold_model(tmp_path)
    facts = Catalog([tmp_path]).facts("bright_ct")
    with pytest.raises(ModelUnusable, match="the folder has changed"):
        network(replace(facts, digest=Sha256("0" * 64)))


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param(b"\x80\x04cos\nsystem\n.", id="a pickle"),
        pytest.param(save({"other": torch.zeros(1)}), id="weights of another network"),
        pytest.param(save(threshold_weights(3))[:-4], id="cut short"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, weights: bytes) -> None:
    """Even if they are sealed."""
    folder = threshold_model(tmp_path)
    (folder / "models/model.safetensors").write_bytes(weights)
    seal(folder)
    with pytest.raises(ModelUnusable, match="does not fit"):
        network(Catalog([tmp_path]).facts("bright_ct"))
