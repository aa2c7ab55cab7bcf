"""Predicting follows the facts of the model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dicom_ai_node.training.case import Case
from dicom_ai_node.training.predict import labels_of, labels_on_grid, probabilities, tidied

SEGMENTS = [{"number": 1, "label": "bright"}]
WINDOW = {"scaling": "window", "low": 0, "high": 1}


class Bright(nn.Module):
    """Finds what is brighter than a half, and remembers the shapes that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        """Return logits of background and bright."""
        self.shapes.append(tuple(image.shape[2:]))
        return torch.cat([0.5 - image, image - 0.5], dim=1) * 20


@pytest.mark.parametrize(
    ("facts", "shape", "seen"),
    [
        pytest.param(
            {"grid": {"size_px": [32, 48]}}, (20, 48), (32, 48), id="frames are padded to size_px"
        ),
        pytest.param(
            {"grid": {"spacing_mm": [1, 1]}}, (20, 33), (32, 48), id="slices to a multiple of 16"
        ),
        pytest.param(
            {"grid": {"spacing_mm": [1, 1, 1]}, "window": {"roi_size": [16, 16, 16]}},
            (10, 16, 12),
            (16, 16, 16),
            id="small volumes to one window",
        ),
    ],
)
def test_the_network_sees_the_padded_grid_and_the_padding_is_cut_off(
    facts: Mapping[str, Any], shape: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    """What comes back has the shape of what went in."""
    network = Bright()
    facts = {**facts, "intensity": WINDOW, "segments": SEGMENTS}
    found = probabilities(network, torch.rand(shape), facts)
    assert tuple(found.shape) == (2, *shape)
    assert set(network.shapes) == {seen}


def test_a_result_lies_on_the_pixels_of_the_case() -> None:
    """A square in a frame of another size comes back where it was."""
    image = np.zeros((100, 140), np.float32)
    image[20:60, 30:90] = 1
    facts = {"grid": {"size_px": [64, 80]}, "intensity": WINDOW, "segments": SEGMENTS}
    case = Case(name="square", image=image, labels=image.astype(np.uint8), spacing_mm=(1.0, 1.0))
    found = labels_of(Bright(), case, facts)
    assert found.shape == image.shape
    assert (found != case.labels).sum() < 0.06 * case.labels.sum()


def test_tidying_keeps_the_largest_part_and_fills_its_holes() -> None:
    """But a hole that another segment fills is none."""
    labels = np.zeros((12, 12), np.uint8)
    labels[1:9, 1:9] = 1
    labels[3, 3], labels[6, 6], labels[11, 11] = 0, 2, 1
    facts = {
        "settings": {"largest_only": True, "fill_holes": True},
        "segments": [{"number": 1, "label": "a"}, {"number": 2, "label": "b"}],
    }
    tidy = tidied(labels, facts)
    assert (tidy[3, 3], tidy[6, 6], tidy[11, 11]) == (1, 2, 0)


def test_what_was_tidied_away_does_not_come_back_by_interpolation() -> None:
    """A speck beside the square is gone on the grid and on the pixels of the case."""
    image = np.zeros((64, 64), np.float32)
    image[8:40, 8:40] = 1
    image[52:58, 52:58] = 1
    facts = {
        "grid": {"size_px": [32, 32]},
        "intensity": WINDOW,
        "segments": SEGMENTS,
        "settings": {"largest_only": True},
    }
    case = Case(name="speck", image=image, labels=image.astype(np.uint8), spacing_mm=(1.0, 1.0))
    small = torch.from_numpy(image[::2, ::2].copy())
    assert not labels_on_grid(Bright(), small, facts)[20:, 20:].any()
    assert not labels_of(Bright(), case, facts)[44:, 44:].any()
