"""The restore task changes pixels a little, never the mean, and never what is padding."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from torch import nn

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Frames, Geometry, SourceFrame, Volume
from dicom_ai_node.domain.model import (
    Golden,
    Grid,
    Intensity,
    ModelFacts,
    Scaling,
    Sees,
    SlidingWindow,
)
from dicom_ai_node.domain.pictures import Restoration
from dicom_ai_node.domain.restoring import enlarged
from dicom_ai_node.domain.uids import Sha256, SOPInstanceUID
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.tasks.restore import Restore, Settings

FACTS = ModelFacts(
    name="toy",
    version="1",
    digest=Sha256("0" * 64),
    folder=Path(),
    kind="restore",
    title="Toy",
    manufacturer="tests",
    modality=("CT",),
    sees=Sees.SLICES,
    intensity=Intensity(scaling=Scaling.WINDOW, low=0.0, high=1000.0),
    grid=Grid(),
    golden=Golden(file="", max_difference=0.01),
)
SMOOTHING = Code("113087", "DCM", "Smoothing")
SETTINGS = Settings(factor=1, largest_change=0.1, derivation=SMOOTHING)


class Answer(nn.Module):
    """Answers what a function makes of the image."""

    def __init__(self, answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.answer(images)


def _checkers(images: torch.Tensor) -> torch.Tensor:
    """Answer +1 and -1 in turn, whose mean is 0."""
    rows, columns = torch.meshgrid(*map(torch.arange, images.shape[2:]), indexing="ij")
    return ((rows + columns) % 2 * 2.0 - 1).expand_as(images)


def _frames(array: NDArray[np.float32], unit: str = "1", **changes: object) -> Frames:
    sources = tuple(SourceFrame(SOPInstanceUID(f"1.2.{n}")) for n in range(len(array)))
    _, rows, columns = array.shape
    frames = Frames(
        array=array, unit=unit, sources=sources, spacing_mm=None, region=(0, rows, 0, columns)
    )
    return replace(frames, **changes)  # type: ignore[arg-type]


def _run(
    frames: Frames,
    answer: Callable[[torch.Tensor], torch.Tensor],
    facts: ModelFacts = FACTS,
    settings: Settings = SETTINGS,
) -> tuple[Restoration, Findings]:
    found = Restore(facts, settings, Answer(answer))({"image": frames}, {})
    assert found.restoration is not None
    return found.restoration, found


def _ramp(frames: int = 2, rows: int = 20, columns: int = 24) -> NDArray[np.float32]:
    values = np.arange(frames * rows * columns, dtype=np.float32).reshape(frames, rows, columns)
    return values / values.max() * 800 + 100


def test_the_answer_is_a_part_of_the_largest_change() -> None:
    """Where the network says 0.5, a twentieth of the range of 1000 is added."""
    array = _ramp()
    restored, found = _run(_frames(array), lambda images: _checkers(images) * 0.5)
    assert np.allclose(np.abs(restored.array - array), 50)
    assert restored.sources == _frames(array).sources
    assert restored.derivation == SMOOTHING
    assert found.notes == ()


def test_a_frame_of_nothing_stays_as_it_is() -> None:
    """Whatever the network makes of it: slices beyond the patient are empty."""
    array = _ramp()
    array[1] = 0
    restored, _ = _run(_frames(array), _checkers)
    assert not restored.array[1].any()
    assert np.allclose(np.abs(restored.array[0] - array[0]), 100)


def test_no_pixel_changes_by_more_than_the_model_may() -> None:
    """However loud the network is."""
    array = _ramp()
    restored, _ = _run(_frames(array), lambda images: _checkers(images) * 1e6)
    assert np.abs(restored.array - array).max() == pytest.approx(100, rel=1e-5)


def test_values_beyond_the_window_change_as_much_as_those_within() -> None:
    """The window is what the network sees, and no limit of what the image holds."""
    array = _ramp() * 5
    restored, _ = _run(_frames(array), _checkers)
    assert restored.array.max() > 4000
    assert np.allclose(np.abs(restored.array - array), 100, atol=1e-3)


def test_each_frame_has_the_range_of_its_own_scaling() -> None:
    """Of percentiles, an image that is twice as bright changes twice as much."""
    facts = replace(
        FACTS,
        sees=Sees.FRAMES,
        intensity=Intensity(scaling=Scaling.PERCENTILE, low=0, high=100),
    )
    one = _ramp(frames=1)
    array = np.concatenate([one, one * 2])
    restored, _ = _run(_frames(array), _checkers, facts)
    dim, bright = np.abs(restored.array - array).max(axis=(1, 2))
    assert bright == pytest.approx(2 * dim, rel=1e-4)


def test_twice_the_pixels_begin_as_interpolated_ones() -> None:
    """A network that says nothing gives what any viewer would."""
    array = _ramp()
    settings = replace(SETTINGS, factor=2)
    restored, _ = _run(_frames(array), torch.zeros_like, settings=settings)
    assert restored.array.shape == (2, 40, 48)
    assert np.array_equal(restored.array[0], enlarged(array[0], 2))
    assert restored.factor == 2


def test_windows_give_what_the_whole_image_gives() -> None:
    """A large X-ray is put together without seams."""
    array = _ramp(rows=70, columns=50)
    facts = replace(FACTS, window=SlidingWindow(roi_size=(32, 32)))
    answer = lambda images: (images - images.round()) * 0.2  # noqa: E731
    whole, _ = _run(_frames(array), answer)
    parts, _ = _run(_frames(array), answer, facts)
    assert np.allclose(whole.array, parts.array, atol=1e-3)


def test_padding_is_left_as_it_is() -> None:
    """What is no image is not restored."""
    array = _ramp()
    valid = np.ones(array.shape, bool)
    valid[:, :5] = False
    restored, _ = _run(_frames(array, valid=valid), _checkers)
    assert np.array_equal(restored.array[~valid], array[~valid])
    assert not np.array_equal(restored.array[valid], array[valid])


@pytest.mark.parametrize(
    ("unit", "zero"),
    [pytest.param("1", 0.0, id="counts"), pytest.param("[hnsf'U]", -1000.0, id="HU")],
)
def test_a_mean_that_has_moved_is_set_back_and_told(unit: str, zero: float) -> None:
    """By a factor that leaves nothing nothing: 0 stays 0, air stays air."""
    array = _ramp() + np.float32(zero)
    array[:, 0] = zero
    restored, found = _run(
        _frames(array, unit), lambda images: (images > 0) * 0.4 if zero == 0 else images * 0 + 0.3
    )
    assert restored.array.mean() == pytest.approx(array.mean(), rel=1e-4, abs=0.05)
    (note,) = found.notes
    assert "was set back" in note


def test_an_image_with_another_mean_is_no_restoration() -> None:
    """An offset can be set right; another image cannot."""
    with pytest.raises(TaskFailed, match="no restoration"):
        _run(_frames(_ramp()), torch.ones_like)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda images: images * float("nan"), id="no numbers"),
        pytest.param(lambda images: images[:, :, ::2], id="another shape"),
        pytest.param(lambda images: [images], id="no tensor"),
    ],
)
def test_an_answer_that_is_no_image_fails(answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Nothing of it reaches a patient."""
    with pytest.raises(TaskFailed, match="toy"):
        _run(_frames(_ramp()), answer)


def test_volumes_and_pairs_are_refused() -> None:
    """A model of this kind sees slices or frames of one series."""
    task, frames = Restore(FACTS, SETTINGS, Answer(torch.zeros_like)), _frames(_ramp())
    volume = Volume(
        array=_ramp(), geometry=Geometry(np.eye(4), (2, 20, 24), ""), unit="1", sources=()
    )
    with pytest.raises(TaskFailed, match="volume"):
        task({"image": volume}, {})
    with pytest.raises(TaskFailed, match="one input"):
        task({"one": frames, "two": frames}, {})


@pytest.mark.parametrize(
    ("settings", "sees", "complaint"),
    [
        pytest.param({"factor": 3}, Sees.SLICES, "factor", id="factor"),
        pytest.param({"largest_change": 0}, Sees.SLICES, "largest_change", id="change"),
        pytest.param({"derivation": "smoothing"}, Sees.SLICES, "derivation", id="no code"),
        pytest.param({}, Sees.VOLUME, "slices or frames", id="volumes"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, object], sees: Sees, complaint: str) -> None:
    """Whoever wrote the model folder learns which of them is wrong."""
    right = {"factor": 2, "largest_change": 0.1, "derivation": ["113087", "DCM", "Smoothing"]}
    w = Wording({**right, **settings}, "toy.settings")
    Restore.settings(w, replace(FACTS, sees=sees))
    assert any(complaint in mistake for mistake in w.mistakes)


def test_right_settings_are_read() -> None:
    """With the code of what is done."""
    w = Wording({"largest_change": 0.1, "derivation": ["113087", "DCM", "Smoothing"]}, "toy")
    assert Restore.settings(w, FACTS) == SETTINGS
    assert w.mistakes == []
