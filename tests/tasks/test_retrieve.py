"""The retrieve task says where an image lies among others that look like it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.image import Frames, Geometry, SourceFrame, Volume
from dicom_ai_node.domain.model import Golden, Grid, Intensity, ModelFacts, Scaling, Sees
from dicom_ai_node.domain.uids import Sha256, SOPInstanceUID
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.tasks.retrieve import Retrieve, Settings, thinned

FACTS = ModelFacts(
    name="toy",
    version="1",
    digest=Sha256("0" * 64),
    folder=Path(),
    kind="retrieve",
    title="Toy",
    manufacturer="tests",
    modality=("CR",),
    sees=Sees.FRAMES,
    intensity=Intensity(scaling=Scaling.WINDOW, low=0.0, high=100.0),
    grid=Grid(size_px=(8, 8)),
    golden=Golden(file="", max_difference=0.01),
)


class Halves(nn.Module):
    """Gives how bright the upper and the lower half are."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(images.shape))
        return torch.stack([images[:, 0, :4].mean((1, 2)), images[:, 0, 4:].mean((1, 2))], 1)


def _frames(*halves: tuple[float, float]) -> Frames:
    array = np.zeros((len(halves), 8, 8), np.float32)
    for n, (upper, lower) in enumerate(halves):
        array[n, :4], array[n, 4:] = upper, lower
    sources = tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(len(array)))
    return Frames(
        array=array, unit="1", sources=sources, spacing_mm=None, region=(0, 8, 0, 8)
    )  # fmt: skip


def _place(
    image: Frames, network: nn.Module | None = None, **settings: int
) -> tuple[NDArray[np.float32], tuple[SourceFrame, ...]]:
    given = Settings(**{"length": 2, **settings})
    found = Retrieve(FACTS, given, network or Halves())({"any": image}, {}).embedding
    assert found is not None
    return found.vector, found.sources


def test_a_place_is_a_direction() -> None:
    """Of length 1 and in single precision, so that a scalar product is a cosine."""
    vector, sources = _place(_frames((30, 40)))
    assert vector == pytest.approx([0.6, 0.8])
    assert vector.dtype == np.float32
    assert sources == (SourceFrame(SOPInstanceUID("1.2"), 1),)


def test_a_series_lies_in_the_middle_of_its_frames() -> None:
    """However strong the answer to one of them is, each counts the same."""
    vector, sources = _place(_frames((100, 0), (0, 1)))
    assert vector == pytest.approx([0.5**0.5, 0.5**0.5])
    assert len(sources) == 2


def test_of_a_long_series_some_frames_are_looked_at() -> None:
    """Evenly spaced, the first and the last among them; the finding says which."""
    network = Halves()
    _, sources = _place(_frames(*[(n, 100 - n) for n in range(100)]), network, most_frames=4)
    assert [source.number for source in sources] == [1, 34, 67, 100]
    assert sum(shape[0] for shape in network.seen) == 4


def test_what_belongs_to_a_frame_stays_with_it() -> None:
    """Padding, times and thicknesses are thinned like the frames."""
    image = replace(
        _frames((1, 1), (2, 2), (3, 3)),
        valid=np.stack([np.full((8, 8), n != 1) for n in range(3)]),
        times_ms=(0.0, 1.0, 2.0),
        thickness_mm=(5.0, 6.0, 7.0),
    )
    some = thinned(image, 2)
    assert some.times_ms == (0.0, 2.0)
    assert some.thickness_mm == (5.0, 7.0)
    assert some.valid is not None
    assert some.valid.all()
    assert [frame.max() for frame in some.array] == [1, 3]


class Wrong(nn.Module):
    """Gives what it was made with."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: torch.Tensor) -> object:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(torch.ones(2, 3), "vectors of", id="vectors of another length"),
        pytest.param([1, 2], "vectors of", id="no tensor"),
        pytest.param(torch.tensor([[1.0, 0], [float("nan"), 0]]), "no numbers", id="not a number"),
        pytest.param(torch.tensor([[1.0, 0], [-1.0, 0]]), "no common direction", id="opposites"),
        pytest.param(torch.zeros(2, 2), "no common direction", id="nothing at all"),
    ],
)
def test_what_is_no_direction_is_a_failure(answer: object, why: str) -> None:
    """It would stand in the index for ever and be near to chance."""
    with pytest.raises(TaskFailed, match=why):
        _place(_frames((1, 2), (3, 4)), Wrong(answer))


def test_it_looks_at_one_image_that_is_no_volume() -> None:
    """The order of slices means nothing to it."""
    task = Retrieve(FACTS, Settings(length=2), Halves())
    with pytest.raises(TaskFailed, match="2 were given"):
        task({"a": _frames((1, 1)), "b": _frames((1, 1))}, {})
    array = np.zeros((2, 8, 8), np.float32)
    volume = Volume(
        array=array, geometry=Geometry(np.eye(4), array.shape, ""), unit="1", sources=()
    )
    with pytest.raises(TaskFailed, match="a volume was given"):
        task({"a": volume}, {})


def test_a_model_says_how_long_its_vectors_are() -> None:
    """And may say how many frames it wants to see."""
    assert Retrieve.settings(Wording({"length": 64}, "toy"), FACTS) == Settings(length=64)
    w = Wording({"most_frames": 0}, "toy.settings")
    Retrieve.settings(w, replace(FACTS, sees=Sees.VOLUME))
    assert w.mistakes == [
        "toy.settings: a model that retrieves sees slices or frames",
        "toy.settings.length: is missing",
        "toy.settings.most_frames: must be a whole number of at least 1",
    ]
