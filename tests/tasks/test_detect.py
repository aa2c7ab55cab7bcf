"""The detect task says where something is, how probable that is, and what it looked for in vain."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from torch import nn

from dicom_ai_node.domain.errors import ModelUnusable, OutOfResources, TaskFailed
from dicom_ai_node.domain.explaining import Explain
from dicom_ai_node.domain.findings import Detection, FindingClass, Findings
from dicom_ai_node.domain.image import Frames, Geometry, SourceFrame, Volume
from dicom_ai_node.domain.model import Golden, Grid, Intensity, ModelFacts, Scaling, Sees
from dicom_ai_node.domain.pictures import Explained
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.uids import Sha256, SOPInstanceUID
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.tasks.detect import Detect, Settings

FACTS = ModelFacts(
    name="toy",
    version="1",
    digest=Sha256("0" * 64),
    folder=Path(),
    kind="detect",
    title="Toy",
    manufacturer="tests",
    modality=("CR",),
    sees=Sees.FRAMES,
    intensity=Intensity(scaling=Scaling.WINDOW, low=0.0, high=100.0),
    grid=Grid(size_px=(20, 20)),
    golden=Golden(file="", max_difference=0.01),
    classes=tuple(
        FindingClass(label=label, type=Code(label, "99TEST", label))
        for label in ("bright", "never")
    ),
)
BY_FEATURES = Explain(method=Explained.GRAD_CAM, layer="features")
SETTINGS = Settings(threshold=0.5, explain=BY_FEATURES)


class Toy(nn.Module):
    """Is as hot as the image is bright, 8 x intensity - 4; boxes reach a tenth each way."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.features.weight)
        self.seen: list[tuple[int, ...]] = []
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(images.shape))
        heat = 8 * self.features(images) - 4
        reach = torch.full_like(heat, -float(np.log(9.0)))
        return torch.cat([heat, torch.full_like(heat, -9.0), *[reach] * 4], 1)


def _frames(*spots: tuple[int, int, float], shape: tuple[int, int] = (20, 20)) -> Frames:
    """Return one frame per spot (row, column, brightness), and a dark one if there is none."""
    array = np.zeros((max(len(spots), 1), *shape), np.float32)
    for frame, (row, column, value) in enumerate(spots):
        array[frame, row, column] = value
    return Frames(
        array=array,
        unit="1",
        sources=tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(len(array))),
        spacing_mm=None,
        region=(0, shape[0], 0, shape[1]),
    )


def _found(
    image: Frames,
    settings: Settings = SETTINGS,
    network: nn.Module | None = None,
    **options: Option,
) -> Findings:
    return Detect(FACTS, settings, network or Toy())({"any": image}, options)


def _detection(image: Frames, settings: Settings = SETTINGS) -> Detection:
    found = _found(image, settings).detection
    assert found is not None
    return found


def _borders(found: Detection) -> NDArray[np.float64]:
    return np.array(
        [(b.corners.top, b.corners.left, b.corners.bottom, b.corners.right) for b in found.boxes]
    )


def test_a_box_lies_around_what_is_hot() -> None:
    """Its borders are counted from the border of the first pixel, whose centre is at 0.5."""
    found = _detection(_frames((8, 12, 100)))
    assert _borders(found) == pytest.approx(np.array([[6.5, 10.5, 10.5, 14.5]]))
    assert [found.classes[box.of].label for box in found.boxes] == ["bright"]
    assert found.boxes[0].probability == pytest.approx(1 / (1 + np.exp(-4)))


def test_everything_that_was_looked_for_is_told() -> None:
    """Also what was not found, and also where nothing was found at all."""
    found = _detection(_frames())
    assert found.boxes == ()
    assert found.classes == FACTS.classes
    assert len(found.sources) == 1


def test_calibration_turns_heat_into_a_probability() -> None:
    """By a line through the logits; the operating point is a probability after it."""
    settings = replace(SETTINGS, slope=0.5, offset=-1.0)
    assert _detection(_frames((8, 12, 100)), settings).boxes[0].probability == pytest.approx(
        1 / (1 + np.exp(-1))
    )
    assert _detection(_frames((8, 12, 100)), replace(settings, threshold=0.74)).boxes == ()


def test_every_frame_has_its_own_boxes() -> None:
    """In the order of the frames, each named by its source, also in several batches."""
    spots = [(row, 10, 60.0 + row) for row in range(3, 17)]
    found = _detection(_frames(*spots))
    assert [box.source.number for box in found.boxes] == list(range(1, len(spots) + 1))
    assert _borders(found)[:, 0] == pytest.approx(np.array([row - 1.5 for row, _, _ in spots]))


def test_a_frame_has_no_more_boxes_than_the_limit() -> None:
    """The surest of them."""
    image = _frames((2, 2, 100))
    image.array[0, 10, 10], image.array[0, 17, 17] = 90, 80
    assert len(_detection(image).boxes) == 3
    kept = _detection(image, replace(SETTINGS, limit=2)).boxes
    assert [int(box.corners.top + 0.6) for box in kept] == [1, 9]


def test_what_is_hot_in_the_padding_is_nothing() -> None:
    """A frame that is smaller than the grid is padded; boxes end where it ends."""
    found = _detection(_frames((11, 8, 100), shape=(12, 9)))
    assert _borders(found) == pytest.approx(np.array([[9.5, 6.5, 12.0, 9.0]]))


def test_the_explanation_lies_where_the_box_is() -> None:
    """Unless the route does not want it, or the model does not say how."""
    image = _frames((8, 12, 100), (3, 3, 50))
    heat = _found(image).heat_map
    assert heat is not None
    assert heat.of == 0
    assert heat.array.dtype == np.float16
    assert np.unravel_index(heat.array.argmax(), heat.array.shape) == (0, 8, 12)
    assert heat.array[1, 3, 3] == pytest.approx(0.5, abs=1e-3)
    assert _found(image, explain=False).heat_map is None
    assert _found(image, replace(SETTINGS, explain=None)).heat_map is None
    assert _found(_frames()).heat_map is None


@pytest.mark.parametrize("method", [Explained.INTEGRATED_GRADIENTS, Explained.OCCLUSION])
def test_a_box_can_be_explained_without_a_layer(method: Explained) -> None:
    """The surest box is where it is hottest."""
    image = _frames((8, 12, 100), (3, 3, 50))
    heat = _found(image, replace(SETTINGS, explain=Explain(method=method))).heat_map
    assert heat is not None
    assert heat.by is method
    frame, row, column = np.unravel_index(heat.array.argmax(), heat.array.shape)
    assert (frame, abs(row - 8) <= 2, abs(column - 12) <= 2) == (0, True, True)


def test_the_same_again_is_the_same() -> None:
    """To the last bit."""
    image = _frames((8, 12, 100), (3, 3, 90))
    assert _found(image).detection == _found(image).detection


class Odd(Toy):
    """Answers with what is made of the right answer."""

    def __init__(self, harm: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.harm = harm

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.harm(super().forward(images))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        pytest.param(lambda right: right[:, :5], "did not give", id="a channel too few"),
        pytest.param(lambda right: right[:, :, ::2], "did not give", id="another size"),
        pytest.param(lambda _: "bright", "did not give", id="no tensor"),
        pytest.param(lambda right: right * torch.nan, "no numbers", id="no numbers"),
        pytest.param(lambda right: right / 0, "no numbers", id="no end"),
    ],
)
def test_nonsense_never_becomes_a_box(harm: Callable[[torch.Tensor], object], why: str) -> None:
    """Nor does it become `not found`."""
    with pytest.raises(TaskFailed, match=why):
        _found(_frames((8, 12, 100)), network=Odd(harm))


class Hungry(Toy):
    """Has memory for so many frames at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.most:
            raise torch.OutOfMemoryError
        return super().forward(images)


def test_short_memory_changes_nothing_but_the_time() -> None:
    """The same boxes in smaller portions, and a note; with none at all the job waits."""
    image = _frames(*[(row, 10, 90.0) for row in range(3, 13)])
    found = _found(image, network=Hungry(2))
    assert found.detection == _found(image).detection
    assert any("memory was short" in note for note in found.notes)
    with pytest.raises(OutOfResources):
        _found(image, network=Hungry(0))


def test_only_one_image_and_no_volume() -> None:
    """Boxes are drawn on images."""
    task = Detect(FACTS, SETTINGS, Toy())
    image = _frames((8, 12, 100))
    volume = Volume(
        array=np.zeros((2, 20, 20), np.float32),
        geometry=Geometry(np.eye(4), (2, 20, 20), ""),
        unit="1",
        sources=image.sources,
    )
    with pytest.raises(TaskFailed, match="2 were given"):
        task({"one": image, "two": image}, {})
    with pytest.raises(TaskFailed, match="a volume was given"):
        task({"one": volume}, {})


def test_a_layer_that_is_not_there_makes_the_model_unusable() -> None:
    """Before any patient comes."""
    with pytest.raises(ModelUnusable, match="no layer attic"):
        Detect(FACTS, replace(SETTINGS, explain=replace(BY_FEATURES, layer="attic")), Toy())


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        pytest.param({}, "threshold: is missing", id="no operating point"),
        pytest.param({"threshold": 0}, "threshold: must be above 0", id="everything is found"),
        pytest.param({"threshold": 1.5}, "threshold: must be above 0", id="nothing is found"),
        pytest.param({"threshold": 0.5, "slope": 0}, "slope", id="heat that says nothing"),
        pytest.param({"threshold": 0.5, "limit": 0}, "limit", id="no box at all"),
    ],
)
def test_settings_that_make_no_sense_are_told(said: dict[str, object], mistake: str) -> None:
    """By their name."""
    w = Wording(said, "toy.settings")
    Detect.settings(w, FACTS)
    assert any(mistake in line for line in w.mistakes)


def test_settings_are_read_as_they_stand() -> None:
    """What is left out has a default; a model that detects sees frames and nothing else."""
    w = Wording({"threshold": 0.25, "offset": -1.5, "limit": 4}, "toy.settings")
    assert Detect.settings(w, FACTS) == Settings(threshold=0.25, offset=-1.5, limit=4)
    assert w.mistakes == []
    Detect.settings(w, replace(FACTS, sees=Sees.SLICES))
    assert "sees frames" in w.mistakes[0]
