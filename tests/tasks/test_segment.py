"""The segment task labels every pixel of what it is given, within the memory that there is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from dicom_ai_node.domain.errors import OutOfResources, TaskFailed
from dicom_ai_node.domain.findings import Segment as Structure
from dicom_ai_node.domain.findings import Segmentation
from dicom_ai_node.domain.image import Frames, Geometry, Image, SourceFrame, Volume
from dicom_ai_node.domain.model import (
    Golden,
    Grid,
    Intensity,
    ModelFacts,
    Scaling,
    Sees,
    SlidingWindow,
)
from dicom_ai_node.domain.scaling import scaled
from dicom_ai_node.domain.uids import Sha256, SOPInstanceUID
from dicom_ai_node.tasks.segment import Segment, Settings

WINDOW = Intensity(scaling=Scaling.WINDOW, low=0.0, high=100.0)


def _facts(
    sees: Sees = Sees.VOLUME,
    *,
    intensity: Intensity = WINDOW,
    window: SlidingWindow | None = None,
    size_px: tuple[int, int] | None = None,
    tidy: tuple[bool, bool] = (False, False),
) -> ModelFacts:
    axes = 3 if sees is Sees.VOLUME else 2
    segments = tuple(
        Structure(number=n, label=str(n), category=codes.SCT.Tissue, type=codes.SCT.Liver)
        for n in (1, 2)
    )
    return ModelFacts(
        name="toy",
        version="1",
        digest=Sha256("0" * 64),
        folder=Path(),
        kind="segment",
        title="Toy",
        manufacturer="tests",
        modality=("CT",),
        sees=sees,
        intensity=intensity,
        grid=Grid(size_px=size_px) if size_px else Grid(spacing_mm=(1.0,) * axes),
        golden=Golden(file="", min_dice=1.0),
        window=window,
        segments=segments,
        settings={"largest_only": tidy[0], "fill_holes": tidy[1]},
    )


def _task(facts: ModelFacts, network: Callable[[torch.Tensor], object]) -> Segment:
    return Segment(facts, Settings(**facts.settings), network)


def _volume(array: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> Volume:
    slices, rows, columns = array.shape
    return Volume(
        array=array,
        geometry=Geometry(np.eye(4), (slices, rows, columns), "1.2"),
        unit="1",
        sources=_sources(slices),
        valid=valid,
    )


def _frames(array: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> Frames:
    return Frames(
        array=array,
        unit="1",
        sources=_sources(len(array)),
        spacing_mm=None,
        region=(0, array.shape[1], 0, array.shape[2]),
        valid=valid,
    )


def _sources(count: int) -> tuple[SourceFrame, ...]:
    return tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(count))


def by_value(windows: torch.Tensor) -> torch.Tensor:
    """Say background below 0.25, segment 1 below 0.75, segment 2 above, from scaled values."""
    return torch.cat([0 * windows, 80 * (windows - 0.25), 160 * (windows - 0.5)], dim=1)


def _values(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(3).choice([0.0, 50.0, 100.0], shape).astype(np.float32)


def _segmented(
    facts: ModelFacts, image: Image, network: Callable[[torch.Tensor], object] = by_value
) -> Segmentation:
    found = _task(facts, network)({"any": image}, {"keep_probabilities": True}).segmentation
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("facts", "shape"),
    [
        pytest.param(_facts(), (5, 17, 30), id="a volume at once"),
        pytest.param(
            _facts(window=SlidingWindow(roi_size=(8, 16, 16), overlap=0.5, batch=2)),
            (11, 20, 41),
            id="a volume in windows",
        ),
        pytest.param(
            _facts(window=SlidingWindow(roi_size=(16, 32, 32))),
            (5, 17, 30),
            id="a volume smaller than a window",
        ),
        pytest.param(_facts(Sees.FRAMES, size_px=(32, 48)), (19, 20, 48), id="frames of a size"),
        pytest.param(_facts(Sees.SLICES), (19, 20, 41), id="slices at a spacing"),
        pytest.param(
            _facts(Sees.FRAMES, window=SlidingWindow(roi_size=(16, 16), batch=3)),
            (4, 20, 41),
            id="frames in windows",
        ),
    ],
)
def test_every_pixel_gets_the_label_of_its_channel(
    facts: ModelFacts, shape: tuple[int, int, int]
) -> None:
    """Padding, windows and batches leave no trace: labels are those of the pixel itself."""
    array = _values(shape)
    image = _volume(array) if facts.sees is Sees.VOLUME else _frames(array)
    found = _segmented(facts, image)
    assert np.array_equal(found.labels, (array / 50).astype(np.uint8))
    assert found.sources == image.sources
    assert found.probabilities is not None
    assert found.probabilities.shape == (2, *shape)
    assert found.probabilities.dtype == np.float16
    assert np.array_equal(found.probabilities.argmax(0)[array > 0], array[array > 0] // 100)


def test_probabilities_are_kept_on_request_only() -> None:
    """They are large, and most routes have no use for them."""
    task = _task(_facts(), by_value)
    found = task({"ct": _volume(_values((2, 3, 4)))}, {}).segmentation
    assert found is not None
    assert found.probabilities is None


def test_the_network_sees_padding_at_the_end_with_the_lowest_value() -> None:
    """As in training: a model that met zeros at the bottom right meets them there again."""
    seen: list[torch.Tensor] = []

    def look(windows: torch.Tensor) -> torch.Tensor:
        seen.append(windows.clone())
        return by_value(windows)

    _segmented(_facts(Sees.FRAMES, size_px=(24, 32)), _frames(_values((1, 20, 30)) + 30), look)
    (frame,) = seen
    assert frame.shape == (1, 1, 24, 32)
    assert frame.dtype == torch.float32
    assert (frame[0, 0, :20, :30] > 0.29).all()
    assert (frame[0, 0, 20:] == 0).all()
    assert (frame[0, 0, :, 30:] == 0).all()


def test_zscore_is_padded_with_the_lowest_value_of_its_image() -> None:
    """Zero would be the mean of the image and no background."""
    seen: list[torch.Tensor] = []

    def look(windows: torch.Tensor) -> torch.Tensor:
        seen.append(windows.clone())
        return by_value(windows)

    facts = _facts(intensity=Intensity(scaling=Scaling.ZSCORE))
    _segmented(facts, _volume(_values((3, 16, 16))), look)
    assert seen[0].shape == (1, 1, 16, 16, 16)
    assert seen[0][0, 0, 3:].unique().tolist() == [seen[0].min().item()]
    assert seen[0].min() < -0.5


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [
        pytest.param(WINDOW, [0, 0.2, 0.4, 1], id="window"),
        pytest.param(
            Intensity(scaling=Scaling.PERCENTILE, low=0, high=100), [0, 0.5, 1, 1], id="percentile"
        ),
        pytest.param(Intensity(scaling=Scaling.ZSCORE), [-1.2247, 0, 1.2247, 600.1], id="z-score"),
    ],
)
def test_padding_of_the_source_takes_no_part_in_statistics(
    intensity: Intensity, expected: list[float]
) -> None:
    """A pixel that was never scanned does not shift the others."""
    array = np.array([[[0, 20, 40, 9820]]], np.float32)
    valid = np.array([[[True, True, True, False]]])
    result = scaled(_volume(array, valid), _facts(intensity=intensity))
    assert result[0, 0].tolist() == pytest.approx(expected, rel=1e-3)


def test_frames_are_scaled_one_by_one_and_slices_together() -> None:
    """One bright frame does not darken a cine; an empty slice of a stack stays empty."""
    array = np.stack([np.linspace(0, 10, 16), np.linspace(0, 100, 16)]).reshape(2, 4, 4)
    percentile = Intensity(scaling=Scaling.PERCENTILE, low=0, high=100)
    frames = _frames(array.astype(np.float32))
    alone = scaled(frames, _facts(Sees.FRAMES, intensity=percentile))
    together = scaled(frames, _facts(Sees.SLICES, intensity=percentile))
    assert alone.max(axis=(1, 2)).tolist() == [1, 1]
    assert together.max(axis=(1, 2)).tolist() == pytest.approx([0.1, 1])


def test_an_empty_image_is_scaled_without_harm() -> None:
    """All pixels equal: no division by zero, nothing found."""
    for scaling in Scaling:
        facts = _facts(intensity=Intensity(scaling=scaling, low=10, high=90))
        result = scaled(_volume(np.full((1, 2, 2), 5, np.float32)), facts)
        assert np.isfinite(result).all()


def _blobs() -> NDArray[np.float32]:
    """Return three slices: a ring of 1 through two of them, around a 2, and an island of 1."""
    array = np.zeros((3, 12, 12), np.float32)
    array[:2, 1:8, 1:8] = 50
    array[:2, 3:6, 3:6] = 0
    array[:2, 4, 4] = 100
    array[2, 10, 10] = 50
    return array


@pytest.mark.parametrize(
    ("sees", "island", "hole"),
    [
        pytest.param(Sees.VOLUME, 0, 0, id="a volume: the tunnel is open at its ends"),
        pytest.param(Sees.SLICES, 0, 1, id="slices: parts across slices, holes in each"),
        pytest.param(Sees.FRAMES, 1, 1, id="frames: each by itself"),
    ],
)
def test_the_largest_part_stays_and_holes_are_filled(sees: Sees, island: int, hole: int) -> None:
    """What belongs together is told by how the image lies; other segments are never overwritten."""
    array = _blobs()
    image = _volume(array) if sees is Sees.VOLUME else _frames(array)
    found = _segmented(_facts(sees, tidy=(True, True)), image)
    assert found.labels[2, 10, 10] == island
    assert found.labels[0, 3, 3] == hole
    assert found.labels[0, 4, 4] == 2
    assert found.labels[0, 1, 1] == 1
    assert found.probabilities is not None
    assert found.probabilities[0, 2, 10, 10] == pytest.approx(island, abs=0.01)
    assert found.probabilities[0, 0, 3, 3] == pytest.approx(hole, abs=0.01)
    assert (found.probabilities.sum(axis=0, dtype=np.float32) <= 1.001).all()


def test_a_closed_hole_of_a_volume_is_filled() -> None:
    """Inside and outside are told apart in three dimensions."""
    array = np.full((5, 7, 7), 50, np.float32)
    array[2, 3, 3] = 0
    array[[0, -1]] = array[:, [0, -1]] = array[:, :, [0, -1]] = 0
    found = _segmented(_facts(tidy=(False, True)), _volume(array))
    assert found.labels[2, 3, 3] == 1
    assert found.labels[0].sum() == 0


@pytest.mark.parametrize("sees", [Sees.VOLUME, Sees.FRAMES])
def test_a_hot_spot_ends_on_the_way_up_to_its_maximum(sees: Sees) -> None:
    """The network marks widely; labels and probabilities follow the image itself."""
    across = np.abs(np.arange(21) - 10)
    spot = np.clip(70 - 6 * np.maximum(across[:, None], across), 0, None)
    array = np.repeat(spot[None], 2, 0).astype(np.float32)
    image = _volume(array) if sees is Sees.VOLUME else _frames(array)
    facts = replace(_facts(sees), settings={"part_of_rise": 0.75})
    plain, cut = _segmented(_facts(sees), image), _segmented(facts, image)
    assert plain.labels[0].sum() == 15 * 15
    high = array >= 22 + 0.75 * 48
    assert np.array_equal(cut.labels == 1, high & (plain.labels == 1))
    assert cut.probabilities is not None
    assert not cut.probabilities[0][(plain.labels == 1) & ~high].any()


@pytest.mark.parametrize("window", [None, SlidingWindow(roi_size=(4, 4, 4))])
def test_a_larger_background_makes_segments_smaller(window: SlidingWindow | None) -> None:
    """By as much as its logit gains: 80 for each unit of the scaled value."""
    ramp = np.broadcast_to(np.linspace(0, 60, 61), (4, 4, 61)).astype(np.float32)
    facts = _facts(window=window)
    less = replace(facts, settings={"background": 8.0})
    plain, fewer = (_segmented(one, _volume(ramp)) for one in (facts, less))
    assert ramp[plain.labels == 1].min() == pytest.approx(26, abs=1.01)
    assert ramp[fewer.labels == 1].min() == pytest.approx(36, abs=1.01)


def test_a_mirror_image_is_looked_at_too() -> None:
    """What a network sees only on one side is then half seen on both."""

    def one_sided(windows: torch.Tensor) -> torch.Tensor:
        sides = torch.linspace(-1, 1, windows.shape[-1]).sign().expand_as(windows)
        return torch.cat([0 * windows, 10 * sides, 0 * windows - 99], dim=1)

    image = _volume(np.ones((16, 16, 16), np.float32))
    plain = _segmented(_facts(), image, one_sided)
    both = _segmented(replace(_facts(), settings={"mirror": ("columns",)}), image, one_sided)
    assert plain.probabilities is not None
    assert both.probabilities is not None
    assert plain.probabilities[0, 0, 0, [0, -1]].tolist() == pytest.approx([0, 1], abs=0.01)
    assert both.probabilities[0].max() == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(both.probabilities, both.probabilities[..., ::-1])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        pytest.param(lambda x: by_value(x) * float("inf"), "no numbers", id="no numbers"),
        pytest.param(lambda x: by_value(x)[:, :2], "did not give logits", id="a channel too few"),
        pytest.param(lambda x: [by_value(x)], "did not give logits", id="a list"),
    ],
)
def test_an_answer_that_is_none_is_never_delivered(
    network: Callable[[torch.Tensor], object], message: str
) -> None:
    """Better no result than one that looks like one."""
    with pytest.raises(TaskFailed, match=message):
        _segmented(_facts(), _volume(_values((2, 3, 4))), network)


def test_a_segment_task_has_one_input() -> None:
    """A route with two inputs needs another kind of task."""
    image = _volume(_values((2, 3, 4)))
    with pytest.raises(TaskFailed, match="one input"):
        _task(_facts(), by_value)({"ct": image, "pet": image}, {})


class Small:
    """A device with room for so many windows at once, and a count of what was tried."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.tried: list[int] = []

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """Compute, or run out of memory like CUDA."""
        self.tried.append(len(windows))
        if len(windows) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return by_value(windows)


@pytest.mark.parametrize(
    ("facts", "shape"),
    [
        pytest.param(
            _facts(window=SlidingWindow(roi_size=(8, 8, 8), batch=8)), (16, 16, 16), id="windows"
        ),
        pytest.param(_facts(Sees.FRAMES, size_px=(16, 16)), (16, 16, 16), id="frames"),
    ],
)
def test_short_memory_means_smaller_batches_and_the_same_result(
    facts: ModelFacts, shape: tuple[int, int, int]
) -> None:
    """Half as many each time; the report says so, and the next image starts where it held."""
    array = _values(shape)
    image = _volume(array) if facts.sees is Sees.VOLUME else _frames(array)
    device = Small(room=2)
    task = _task(facts, device)
    found = task({"ct": image}, {})
    assert found.segmentation is not None
    assert np.array_equal(found.segmentation.labels, (array / 50).astype(np.uint8))
    assert found.notes == ("memory was short: computed 2 at a time, in the same precision",)
    assert device.tried[:3] == [8, 4, 2]
    device.tried.clear()
    task({"ct": image}, {})
    assert device.tried[0] == max(device.tried) == 2


def test_no_memory_at_all_is_for_later() -> None:
    """The job is tried again when the device has room; nothing was lost."""
    device = Small(room=0)
    facts = _facts(window=SlidingWindow(roi_size=(8, 8, 8), batch=4))
    with pytest.raises(OutOfResources, match="no memory on cpu"):
        _task(facts, device)({"ct": _volume(_values((8, 8, 8)))}, {})
    assert device.tried == [1, 1, 1]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(torch.OutOfMemoryError("CUDA out of memory"), id="of CUDA"),
        pytest.param(MemoryError(), id="of Python"),
        pytest.param(RuntimeError("DefaultCPUAllocator: can't allocate memory"), id="of the CPU"),
    ],
)
def test_lack_of_memory_has_many_names(fault: Exception) -> None:
    """Also when MONAI has wrapped it in an error of its own."""

    def full(windows: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("window failed") from fault

    with pytest.raises(OutOfResources):
        _segmented(_facts(), _volume(_values((2, 3, 4))), full)


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    """A bug is not tried again on every rung."""
    calls = []

    def broken(windows: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        _segmented(_facts(Sees.FRAMES), _frames(_values((4, 16, 16))), broken)
    assert len(calls) == 1
