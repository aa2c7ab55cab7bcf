"""What the guard of a model learns from is what the guard of the node will see."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dicom_ai_node.training.case import Case
from dicom_ai_node.training.pair import Pair
from dicom_ai_node.training.petct import Patient
from dicom_ai_node.training.picture import Picture
from dicom_ai_node.training.shown import Subject, as_they_may_come, shown

RANDOM = np.random.default_rng(7)


def _subject(facts: dict[str, Any]) -> Subject:
    return Subject(Path(), SimpleNamespace(), facts, nn.Identity())


def _image(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return RANDOM.uniform(0, 100, shape).astype(np.float32)


WINDOW = {"scaling": "window", "low": 0, "high": 100}


def test_pictures_of_one_size_are_shown_together_with_their_classes() -> None:
    """Padded to the grid, and the padding is told apart."""
    facts = {
        "kind": "classify", "sees": "frames", "intensity": WINDOW, "grid": {"size_px": [16, 16]},
    }  # fmt: skip
    pictures = [
        Picture(name=str(n), image=_image(16, 8), label=n % 2, group=str(n)) for n in range(3)
    ]
    (group,) = shown(_subject(facts), pictures)
    assert group.items.shape == (3, 1, 16, 16)
    assert group.inside == (16, 8)
    assert group.labels is not None
    assert group.labels.tolist() == [0, 1, 0]


def test_a_pair_of_twice_the_pixels_is_cut_in_the_same_place() -> None:
    """What is wanted of a window is the window of what is wanted."""
    wanted = _image(320, 256)
    pair = Pair(given=wanted[::2, ::2], wanted=wanted, ends=(0.0, 100.0), group="a")
    facts = {"kind": "restore", "sees": "slices", "intensity": WINDOW, "settings": {"factor": 2}}
    (group,) = shown(_subject(facts), [pair])
    assert group.items.shape == (2, 1, 128, 128)
    for item, truth in zip(group.items, group.truths, strict=True):
        assert np.allclose(truth[::2, ::2], item[0].numpy(), atol=1e-6)


def test_images_that_need_no_restoring_are_known_too() -> None:
    """One in three comes as it was before it was made worse."""
    clean = _image(8, 8)
    pairs = [Pair(given=clean + 10, wanted=clean, ends=(0.0, 100.0), group="a")] * 3
    moved = [float((one.given - clean).mean()) for one in as_they_may_come(pairs)]
    assert moved == pytest.approx([0, 5, 10], abs=1e-4)


def test_labels_of_a_volume_are_cut_with_its_windows() -> None:
    """And z-scores are brought to their range."""
    image = _image(16, 24, 24)
    labels = (image > 50).astype(np.uint8)
    case = Case(name="a", image=image, labels=labels, spacing_mm=(1.0, 1.0, 1.0))
    facts = {
        "kind": "segment", "sees": "volume", "intensity": {"scaling": "zscore"},
        "grid": {"spacing_mm": [1, 1, 1]}, "window": {"roi_size": [8, 16, 16]}, "segments": [{}],
    }  # fmt: skip
    (group,) = shown(_subject(facts), [case])
    assert group.items.shape == (8, 1, 8, 16, 16)
    assert group.labels is not None
    bright = torch.from_numpy(image).gt(50).float().mean()
    assert torch.equal(group.items[:, 0] * 4 > (50 - image.mean()) / image.std(), group.labels > 0)
    assert 0 < float(bright) < 1


def test_no_more_windows_are_shown_than_asked_for() -> None:
    """Of many cases one each, the same every time."""
    facts = {"kind": "restore", "sees": "slices", "intensity": WINDOW, "settings": {"factor": 1}}
    pairs = [
        Pair(given=_image(256, 256), wanted=_image(256, 256), ends=(0.0, 100.0), group=str(n))
        for n in range(6)
    ]
    (one,), (other,) = (shown(_subject(facts), pairs, 4) for _ in range(2))
    assert len(one.items) == 4
    assert torch.equal(one.items, other.items)


def test_patients_have_two_inputs() -> None:
    """PET and CT, each scaled in its own way."""
    inputs = {
        "pet": {"intensity": {"scaling": "window", "low": 0, "high": 10}},
        "ct": {"intensity": {"scaling": "window", "low": -1000, "high": 0}},
    }
    facts = {
        "kind": "segment", "sees": "volume", "inputs": inputs, "reference": "pet",
        "grid": {"spacing_mm": [2, 2, 2]}, "window": {"roi_size": [8, 16, 16]}, "segments": [{}],
    }  # fmt: skip
    suv, hu = np.full((8, 16, 16), 5, np.float32), np.full((8, 16, 16), -250, np.float32)
    patient = Patient(suv=suv, hu=hu, lesion=suv > 0)
    (group,) = shown(_subject(facts), [patient])
    assert group.items.shape == (1, 2, 8, 16, 16)
    assert [float(values.unique()) for values in group.items[0]] == [0.5, 0.75]
