"""A model takes no work before its known input has given its known result on this machine."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.findings import Classification, Findings, Segmentation
from dicom_ai_node.domain.image import Image
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from tests.model_folders import (
    box_golden,
    box_model,
    class_model,
    golden,
    save_golden,
    seal,
    threshold_model,
)


def _model(tmp_path: Path, **changes: object) -> tuple[ModelFacts, Callable[..., Task]]:
    threshold_model(tmp_path, **changes)
    facts = Catalog([tmp_path]).facts("bright_ct")
    return facts, lambda predictor: task_of(facts, predictor, "cpu")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="a volume"),
        pytest.param({"sees": "frames", "grid": {"size_px": [32, 24]}}, id="frames"),
        pytest.param({"sees": "slices", "grid": {"spacing_mm": [1.0, 1.0]}}, id="slices"),
        pytest.param({"window": {"roi_size": [8, 8, 8]}}, id="windows"),
    ],
)
def test_a_model_that_computes_right_passes(tmp_path: Path, changes: dict[str, Any]) -> None:
    """The golden input goes through the same task as a patient."""
    facts, task = _model(tmp_path, **changes)
    check_golden(facts, task(network(facts)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param(lambda right: right * float("nan"), "no numbers", id="no numbers"),
        pytest.param(lambda right: -right, "Dice 0", id="everything but the ball"),
        pytest.param(torch.zeros_like, "Bright has Dice 0", id="all background"),
        pytest.param(
            lambda right: right.roll(1, dims=2),
            "at least 0.98 is required",
            id="a shift by a voxel",
        ),
        pytest.param(lambda right: right[:, :1], "did not give logits", id="a channel too few"),
    ],
)
def test_wrong_arithmetic_is_found(
    tmp_path: Path, wrong: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    """A driver that computes wrongly is found before a patient is."""
    facts, task = _model(tmp_path)
    right = network(facts)
    with pytest.raises(ModelUnusable, match=message):
        check_golden(facts, task(lambda windows: wrong(right(windows))))


@pytest.mark.parametrize(
    "arrays",
    [
        pytest.param({"image": golden(3)["image"]}, id="no labels"),
        pytest.param(
            golden(3) | {"labels": np.zeros((16, 16, 16), np.uint8)}, id="nothing to find"
        ),
        pytest.param(golden(3) | {"labels": np.ones((4, 4, 4), np.uint8)}, id="another shape"),
        pytest.param({"image": np.array([{}]), "labels": np.array([{}])}, id="pickled objects"),
    ],
)
def test_a_golden_file_that_proves_nothing_is_refused(
    tmp_path: Path, arrays: Mapping[str, Any]
) -> None:
    """A test that cannot fail is none."""
    folder = threshold_model(tmp_path)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    (folder / "golden/golden.npz").write_bytes(content.getvalue())
    seal(folder)
    facts = Catalog([tmp_path]).facts("bright_ct")
    task = task_of(facts, network(facts), "cpu")
    with pytest.raises(ModelUnusable, match=r"golden\.npz"):
        check_golden(facts, task)


def test_a_task_that_answers_on_another_grid_fails(tmp_path: Path) -> None:
    """Labels of another shape cannot be compared, let alone delivered."""
    facts, _ = _model(tmp_path)

    def cropped(inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        return Findings(
            segmentation=Segmentation(
                labels=np.zeros((1, 1, 1), np.uint8), sources=(), segments=facts.segments
            )
        )

    with pytest.raises(ModelUnusable, match="golden shape"):
        check_golden(facts, cropped)


def _class_model(tmp_path: Path, **changes: object) -> ModelFacts:
    class_model(tmp_path, **changes)
    return Catalog([tmp_path]).facts("bright_cxr")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="frames"),
        pytest.param({"sees": "slices", "grid": {"spacing_mm": [1.0, 1.0]}}, id="slices"),
        pytest.param({"temperature": None, "explain_layer": None}, id="logits as they are"),
    ],
)
def test_a_model_that_classifies_right_passes(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Its probabilities are those of the release."""
    facts = _class_model(tmp_path, **changes)
    check_golden(facts, task_of(facts, network(facts), "cpu"))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        pytest.param(lambda logits: logits * torch.nan, "no numbers", id="no numbers"),
        pytest.param(
            lambda logits: logits.flip(1), "probabilities differ by", id="swapped classes"
        ),
        pytest.param(
            lambda logits: logits + torch.tensor([[0.0, 0.3]]), "at most 0.02", id="a small drift"
        ),
        pytest.param(lambda logits: logits[:, :1], "did not give logits", id="a class too few"),
    ],
)
def test_a_classification_that_is_computed_wrongly_is_found(
    tmp_path: Path, harm: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    """Before a patient is."""
    facts = _class_model(tmp_path)
    built = network(facts)
    built.register_forward_hook(lambda _module, _given, logits: harm(logits))
    with pytest.raises(ModelUnusable, match=message):
        check_golden(facts, task_of(facts, built, "cpu"))


@pytest.mark.parametrize(
    "arrays",
    [
        pytest.param({"image": golden(2)["image"]}, id="no probabilities"),
        pytest.param(golden(2), id="labels instead"),
        pytest.param(
            {"image": golden(2)["image"], "probabilities": np.ones(3) / 3}, id="a class too many"
        ),
        pytest.param(
            {"image": golden(2)["image"], "probabilities": np.array([0.5, 0.4])},
            id="probabilities that do not add up",
        ),
        pytest.param(
            {"image": golden(2)["image"], "probabilities": np.array([np.nan, 1])}, id="no numbers"
        ),
        pytest.param(
            {"image": np.zeros(4, np.float32), "probabilities": np.array([0.5, 0.5])},
            id="no image",
        ),
    ],
)
def test_golden_probabilities_that_prove_nothing_are_refused(
    tmp_path: Path, arrays: Mapping[str, Any]
) -> None:
    """A test that cannot fail is none."""
    folder = class_model(tmp_path)
    save_golden(folder, **arrays)
    seal(folder)
    facts = Catalog([tmp_path]).facts("bright_cxr")
    task = task_of(facts, network(facts), "cpu")
    with pytest.raises(ModelUnusable, match=r"golden\.npz"):
        check_golden(facts, task)


@pytest.mark.parametrize("probabilities", [(), (0.2, 0.3, 0.5)])
def test_a_task_that_leaves_a_class_out_fails(
    tmp_path: Path, probabilities: tuple[float, ...]
) -> None:
    """Or invents one, or does not classify at all."""
    facts = _class_model(tmp_path)

    def odd(inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        if not probabilities:
            return Findings()
        return Findings(
            classification=Classification(
                classes=facts.classes, probabilities=probabilities, present=0, sources=()
            )
        )

    with pytest.raises(ModelUnusable, match="no probabilities of the golden shape"):
        check_golden(facts, odd)


def test_a_model_that_detects_right_passes(tmp_path: Path) -> None:
    """Its boxes are those of its release."""
    box_model(tmp_path)
    facts = Catalog([tmp_path]).facts("bright_boxes")
    check_golden(facts, task_of(facts, network(facts), "cpu"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param(lambda right: right * float("nan"), "no numbers", id="no numbers"),
        pytest.param(lambda right: right - 9, "no boxes of the golden shape", id="cold"),
        pytest.param(lambda right: right.roll(1, dims=3), "differ by 0.03", id="a pixel aside"),
        pytest.param(lambda right: right * 1.1, "differ by", id="surer and smaller"),
        pytest.param(lambda right: right[:, :5], "did not give", id="a channel too few"),
    ],
)
def test_boxes_that_are_computed_wrongly_are_found(
    tmp_path: Path, wrong: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    """Before a patient is: by class, probability and borders."""
    box_model(tmp_path)
    facts = Catalog([tmp_path]).facts("bright_boxes")
    right = network(facts)

    class Wrong(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = right.model

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return wrong(right(images))

    with pytest.raises(ModelUnusable, match=message):
        check_golden(facts, task_of(facts, Wrong(), "cpu"))


def test_golden_boxes_that_prove_nothing_are_refused(tmp_path: Path) -> None:
    """An image on which there is nothing to find cannot fail."""
    folder = box_model(tmp_path)
    save_golden(folder, **box_golden() | {"boxes": np.zeros((0, 6), np.float32)})
    seal(folder)
    facts = Catalog([tmp_path]).facts("bright_boxes")
    with pytest.raises(ModelUnusable, match="proves nothing"):
        check_golden(facts, task_of(facts, network(facts), "cpu"))
