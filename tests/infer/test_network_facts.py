"""A model from elsewhere says in which format it comes and how it wants to be asked."""

from pathlib import Path
from typing import Any

import pytest
import torch

from dicom_ai_node.domain.errors import ConfigError, ModelUnusable
from dicom_ai_node.domain.model import Gives, NetworkFacts
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.networks import network
from tests.foreign_folders import ask
from tests.model_folders import class_model, threshold_model


def test_a_model_of_ours_need_not_say_anything(tmp_path: Path) -> None:
    """It is a bundle with safetensors, its axes run as here, and it gives logits."""
    threshold_model(tmp_path)
    assert Catalog([tmp_path]).facts("bright_ct").network == NetworkFacts()


def test_what_is_said_is_done(tmp_path: Path) -> None:
    """A network of ours may have other axes, too."""
    threshold_model(tmp_path, network={"axes": "RAS", "gives": "logits"})
    facts = Catalog([tmp_path]).facts("bright_ct")
    assert facts.network == NetworkFacts(axes="RAS", gives=Gives.LOGITS)
    threshold_model(tmp_path / "plain")
    plain = network(Catalog([tmp_path / "plain"]).facts("bright_ct"))
    given = torch.rand((1, 1, 4, 6, 8), generator=torch.Generator().manual_seed(2))
    assert bool((ask(network(facts), given) == ask(plain, given)).all())


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        pytest.param({"format": "keras"}, "format: must be one of bundle, monai", id="format"),
        pytest.param({"axes": "RAR"}, "axes: must be 3 letters such as SPL or RAS", id="an axis twice"),
        pytest.param({"axes": "PL"}, "axes: must be 3 letters", id="an axis too few"),
        pytest.param({"axes": "xyz"}, "axes: must be 3 letters", id="other letters"),
        pytest.param({"gives": "boxes"}, "gives: must be one of logits, prob", id="gives"),
        pytest.param({"mirror": True}, "mirror: is nothing that other formats", id="mirror"),
        pytest.param({"colour": "red"}, "colour: unknown key", id="an unknown key"),
        pytest.param({"format": "onnx"}, "models/model.onnx is not in SHA256SUMS", id="no file"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_mistake_in_the_folder(
    tmp_path: Path, said: dict[str, Any], mistake: str
) -> None:
    """Told with all others."""
    threshold_model(tmp_path, network=said)
    with pytest.raises(ConfigError, match=mistake):
        Catalog([tmp_path]).facts("bright_ct")


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        ({"scaling": "standard", "low": 0, "high": 1}, "intensity.mean: is missing"),
        (
            {"scaling": "standard", "low": 0, "high": 1, "mean": 0, "deviation": 0},
            "intensity.deviation: must be above 0",
        ),
        ({"scaling": "window", "low": 0, "high": 1, "nonzero": True}, "nonzero: unknown key"),
    ],
)
def test_intensities_are_told_in_full(tmp_path: Path, said: dict[str, Any], mistake: str) -> None:
    """What belongs to one way of scaling is a mistake in another."""
    threshold_model(tmp_path, intensity=said)
    with pytest.raises(ConfigError, match=mistake):
        Catalog([tmp_path]).facts("bright_ct")


def test_a_heat_map_needs_axes_as_here(tmp_path: Path) -> None:
    """Otherwise it would show the wrong place."""
    class_model(tmp_path, network={"axes": "LP"})
    facts = Catalog([tmp_path]).facts("bright_cxr")
    with pytest.raises(ModelUnusable, match="cannot be explained by a layer"):
        network(facts)
