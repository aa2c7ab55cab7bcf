"""What an attack takes away is measured item by item, in the measure of each kind."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.training.boxed import BoxPicture
from dicom_ai_node.training.detections import Truth
from dicom_ai_node.training.merit import Merit, merit_of, reach_in_words
from dicom_ai_node.training.shown import Shown, Subject


class Says(nn.Module):
    """Answers with what it was made with, whatever it is asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self._answer = answer

    def forward(self, items: Tensor) -> Tensor:
        """Return the answer for every item."""
        return self._answer[: len(items)]


def _subject(kind: str, network: nn.Module, **settings: Any) -> Subject:  # noqa: ANN401
    return Subject(Path(), SimpleNamespace(), {"kind": kind, "settings": settings}, network)


def _group(items: Tensor, *truths: Any) -> Shown:  # noqa: ANN401
    groups = tuple(str(n) for n in range(len(items)))
    return Shown(items, truths, tuple(items.shape[2:]), groups)


def _values(model: Subject, group: Shown) -> list[float]:
    return list(map(float, merit_of(model, [group]).of(group.items, group)))


def test_a_class_is_right_or_wrong() -> None:
    """One for the right one."""
    model = _subject("classify", Says(torch.tensor([[0.0, 1.0], [0.0, 1.0]])))
    group = _group(torch.zeros(2, 1, 4, 4), torch.tensor(1), torch.tensor(0))
    assert _values(model, group) == [1.0, 0.0]


def test_an_outline_is_measured_by_its_overlap_and_nothing_by_nothing() -> None:
    """Where nothing is to be outlined and nothing is, all is right."""
    answer = torch.zeros(2, 2, 4, 4)
    answer[0, 1, :2], answer[:, 0] = 2.0, 1.0
    half = torch.zeros(4, 4, dtype=torch.long)
    half[1:3] = 1
    group = _group(torch.zeros(2, 1, 4, 4), half, torch.zeros(4, 4, dtype=torch.long))
    assert _values(_subject("segment", Says(answer)), group) == [0.5, 1.0]


def test_a_box_that_is_not_found_overlaps_nothing() -> None:
    """And one where there is none is wrong."""
    answer = torch.full((2, 5, 16, 16), -9.0)
    picture = BoxPicture(
        name="a", image=np.zeros((16, 16), np.float32), objects=np.zeros((16, 16), np.uint8),
        truths=(Truth(0, Corners(2, 2, 8, 8)),), group="a",
    )  # fmt: skip
    empty = BoxPicture(name="b", image=picture.image, objects=picture.objects, truths=(), group="b")
    model = _subject("detect", Says(answer), limit=5, slope=1.0, offset=0.0, threshold=0.5)
    assert _values(model, _group(torch.zeros(2, 1, 16, 16), picture, empty)) == [0.0, 1.0]


def test_a_restored_image_is_measured_by_what_it_was() -> None:
    """A tenth of the range off is 20 dB."""
    model = _subject("restore", Says(torch.full((1, 1, 8, 8), 0.5)), factor=1, largest_change=0.4)
    group = _group(torch.full((1, 1, 8, 8), 0.3), np.full((8, 8), 0.6, np.float32))
    assert _values(model, group) == pytest.approx([20.0], abs=1e-3)


def test_neighbours_are_sought_among_unharmed_items_of_other_groups() -> None:
    """All five of the nearest are of the same class here."""
    vectors = torch.eye(2).repeat_interleave(6, 0) + 0.01 * torch.arange(12)[:, None]
    truths = [torch.tensor(n // 6) for n in range(12)]
    group = _group(torch.zeros(12, 1, 4, 4), *truths)
    assert _values(_subject("retrieve", Says(vectors)), group) == [1.0] * 12


def test_harm_is_a_noticeable_change_for_the_worse() -> None:
    """More pixels of error are worse, and less overlap is."""
    before, after = np.array([0.0, 0.0]), np.array([0.5, 2.0])
    error = Merit("error (px)", lambda *_: before, 1.0, is_lower_better=True)
    overlap = Merit("Dice", lambda *_: before)
    assert error.is_harmed(before, after).tolist() == [False, True]
    assert overlap.is_harmed(after, before).tolist() == [True, True]


@pytest.mark.parametrize(
    ("intensity", "said"),
    [
        ({"scaling": "window", "low": -1000, "high": 1000}, "62.7 in the unit of the image"),
        ({"scaling": "zscore"}, "0.13 standard deviations"),
        ({"scaling": "percentile", "low": 1, "high": 99}, "3.1 % of the range"),
    ],
)
def test_the_reach_of_an_attack_is_told_in_the_unit_of_the_image(
    intensity: dict[str, Any], said: str
) -> None:
    """8 of 255 are something else for every model."""
    assert said in reach_in_words({"intensity": intensity})
