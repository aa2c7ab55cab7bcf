"""Recipes of kind fuse hide images and facts in training, and compare with less in the end."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.fuse import (
    BLANKED,
    FusedCase,
    draw,
    example_of,
    scores_of,
    shown,
    told_vector,
)

FACTS = {
    "inputs": {
        name: {"intensity": {"scaling": "window", "low": 0, "high": high}}
        for name, high in (("pet", 10), ("ct", 100))
    },
    "clinical": [
        {"name": "age", "mean": 60, "deviation": 10},
        {"name": "crp", "mean": 5, "deviation": 5},
    ],
    "classes": [{"label": "no"}, {"label": "yes"}],
    "settings": {"temperature": 1.0},
}
PLAN = Plan(
    steps=1, batch=400, patch=(2, 4, 4), warp=Warp(mirror=(-1,)), touch=Touch()
)  # fmt: skip


def _case(label: int, number: int) -> FusedCase:
    """Return a case that is told by both images and the age together."""
    bright = np.full((2, 4, 4), 5 + 4 * label, np.float32)
    return FusedCase(
        images={"pet": bright, "ct": bright * 10},
        told={"age": 60.0 + 10 * label, "crp": None},
        label=label,
        group=str(number),
    )


def test_what_is_unknown_is_told_as_in_the_node() -> None:
    """Scaled numbers first, then what is known."""
    assert told_vector({"age": 80.0, "crp": None}, FACTS).tolist() == [2, 0, 1, 0]


def test_images_are_scaled_each_in_its_own_way() -> None:
    """As channels in the order of the inputs."""
    images, _, label = example_of(_case(1, 0), FACTS)
    assert tuple(images.shape) == (2, 2, 4, 4)
    assert torch.allclose(images, torch.full_like(images, 0.9))
    assert label == 1


def test_training_hides_images_and_facts_at_random_but_never_all_images() -> None:
    """So that the network can do with less, and what it does with less can be measured."""
    examples = [example_of(_case(number % 2, number), FACTS) for number in range(8)]
    images, told, labels = draw(examples, PLAN, Generator().manual_seed(0))
    assert tuple(images.shape) == (400, 2, 2, 4, 4)
    assert set(labels.tolist()) == {0, 1}
    blank = images.flatten(2).amax(2) == 0
    assert not blank.all(1).any()
    assert float(blank.float().mean()) == pytest.approx(BLANKED, abs=0.04)
    known = told[:, 2] == 1
    assert 0.65 < float(known.float().mean()) < 0.92
    assert (told[~known][:, 0] == 0).all()


def test_less_is_shown_and_told_where_that_is_asked() -> None:
    """A blank image is 0 everywhere, and nothing told is all zeros."""
    (less,) = shown([example_of(_case(1, 0), FACTS)], [1], tell=False)
    assert less[0][0].min() > 0
    assert not less[0][1].any()
    assert not less[1].any()


def test_what_is_gained_over_less_is_measured_in_pairs() -> None:
    """A network that needs both images gains over each of them, beyond chance."""

    class Both(nn.Module):
        def forward(self, images: Tensor, told: Tensor) -> Tensor:
            means = images.flatten(2).mean(2).amin(1) - 0.7 + 0.01 * told[:, 0]
            return torch.stack([-means, means], 1) * 20

    cases = [_case(number % 2, number) for number in range(40)]
    rows = scores_of(Both(), cases, FACTS)
    assert rows["accuracy"]["value"] == 1
    for less in ("PET alone", "CT alone", "facts alone"):
        assert rows[f"accuracy, gained over {less}"]["low"] > 0.2
    assert rows["accuracy, gained over images without facts"]["value"] == 0
    assert rows["calibration error (ECE)"]["cases"] == 40
