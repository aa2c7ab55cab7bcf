"""The classify task says which class an image is of, how sure it is, and what speaks for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.visualize import GradCAM
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from torch import nn

from dicom_ai_node.domain.errors import ModelUnusable, TaskFailed
from dicom_ai_node.domain.explaining import Explain
from dicom_ai_node.domain.findings import Classification, FindingClass, OperatingPoint
from dicom_ai_node.domain.image import Frames, Geometry, Image, SourceFrame, Volume
from dicom_ai_node.domain.model import (
    Golden,
    Grid,
    Intensity,
    ModelFacts,
    Scaling,
    Sees,
)
from dicom_ai_node.domain.pictures import Explained, HeatMap
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.uids import Sha256, SOPInstanceUID
from dicom_ai_node.neural.memory import AT_ONCE
from dicom_ai_node.tasks.classify import Classify, Settings


def by(layer: str) -> Explain:
    """Explain by Grad-CAM of a layer."""
    return Explain(method=Explained.GRAD_CAM, layer=layer)


FACTS = ModelFacts(
    name="toy",
    version="1",
    digest=Sha256("0" * 64),
    folder=Path(),
    kind="classify",
    title="Toy",
    manufacturer="tests",
    modality=("CR",),
    sees=Sees.FRAMES,
    intensity=Intensity(scaling=Scaling.WINDOW, low=0.0, high=100.0),
    grid=Grid(size_px=(16, 16)),
    golden=Golden(file="", max_difference=0.01),
    classes=tuple(
        FindingClass(label=label, type=Code(label, "99TEST", label))
        for label in ("dark", "bright", "never")
    ),
    settings={"explain": by("features")},
)


def _with(**settings: object) -> ModelFacts:
    return replace(FACTS, settings={**FACTS.settings, **settings})


def _task(facts: ModelFacts, network: nn.Module) -> Classify:
    return Classify(facts, Settings(**facts.settings), network)


class Toy(nn.Module):
    """Says `bright` by the mean of a map that is the image itself, `dark` by its opposite."""

    def __init__(self, sharpness: float = 8.0) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.features.weight)
        self.relu = nn.ReLU(inplace=True)
        self.seen: list[tuple[int, ...]] = []
        self.sharpness = sharpness
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(images.shape))
        mean = self.relu(self.features(images)).mean((1, 2, 3))
        return torch.stack([-mean, mean, torch.full_like(mean, -9.0)], 1) * self.sharpness


def _frames(array: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> Frames:
    sources = tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(len(array)))
    return Frames(
        array=array,
        unit="1",
        sources=sources,
        spacing_mm=None,
        region=(0, array.shape[1], 0, array.shape[2]),
        valid=valid,
    )


def _grey(*values: float, shape: tuple[int, int] = (16, 16)) -> Frames:
    return _frames(np.stack([np.full(shape, value, np.float32) for value in values]))


def _spot() -> Frames:
    array = np.zeros((1, 16, 16), np.float32)
    array[0, 2:5, 10:13] = 100
    return _frames(array)


def _classified(
    facts: ModelFacts, image: Image, network: nn.Module | None = None, **options: Option
) -> tuple[Classification, HeatMap | None]:
    found = _task(facts, network or Toy())({"any": image}, options)
    assert found.classification is not None
    return found.classification, found.heat_map


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    """One per class, in the order of the classes, together 1."""
    found, _ = _classified(FACTS, _grey(50))
    expected = torch.tensor([-4.0, 4.0, -72.0], dtype=torch.float64).softmax(0)
    assert found.probabilities == pytest.approx(expected.tolist())
    assert sum(found.probabilities) == pytest.approx(1)
    assert found.classes == FACTS.classes
    assert found.present == 1


def test_the_temperature_makes_a_model_less_sure() -> None:
    """Logits are divided by it before the softmax."""
    found, _ = _classified(_with(temperature=4.0), _grey(50))
    expected = torch.tensor([-1.0, 1.0, -18.0], dtype=torch.float64).softmax(0)
    assert found.probabilities == pytest.approx(expected.tolist())


def test_several_frames_are_averaged_after_the_softmax() -> None:
    """A frame that is sure counts no more than one that is not; the report says so."""
    task = _task(FACTS, Toy())
    found = task({"any": _grey(0, 100)}, {})
    assert found.classification is not None
    single = [_classified(FACTS, _grey(value))[0].probabilities for value in (0, 100)]
    assert found.classification.probabilities == pytest.approx(np.mean(single, axis=0))
    assert len(found.classification.sources) == 2
    assert found.notes == ("the probabilities are the mean over 2 images",)
    assert task({"any": _grey(0)}, {}).notes == ()


def test_one_slice_can_speak_for_a_stack() -> None:
    """The mean would drown a small bleeding; the surest slice decides, alone, and is named."""
    facts, image = _with(most_certain_of="bright"), _grey(0, 100, 50)
    found = _task(facts, Toy())({"any": image}, {})
    single = _classified(FACTS, _grey(100))[0]
    assert found.classification is not None
    assert found.classification.probabilities == pytest.approx(single.probabilities)
    assert found.classification.decided_by == image.sources[1]
    assert found.classification.sources == image.sources
    assert found.heat_map is not None
    assert found.heat_map.sources == image.sources[1:2]
    assert found.heat_map.array.shape == (1, 16, 16)
    assert found.notes == (
        "the probabilities are those of the one of 3 images that is likeliest bright",
    )


def test_a_single_image_needs_nobody_to_decide() -> None:
    """It is the one that was looked at."""
    found = _task(_with(most_certain_of="bright"), Toy())({"any": _grey(100)}, {})
    assert found.classification is not None
    assert found.classification.decided_by is None
    assert found.notes == ()


@pytest.mark.parametrize("method", [Explained.INTEGRATED_GRADIENTS, Explained.OCCLUSION])
def test_heat_can_be_found_without_a_layer(method: Explained) -> None:
    """The strongest place is on the spot, and the map says by which method it was made."""
    _, heat = _classified(_with(explain=Explain(method=method)), _spot())
    assert heat is not None
    assert heat.by is method
    assert heat.array.max() == 1
    row, column = np.unravel_index(heat.array[0].argmax(), (16, 16))
    assert 2 <= row < 5
    assert 10 <= column < 13


@pytest.mark.parametrize(
    ("label", "threshold", "present"),
    [
        pytest.param("dark", 0.0003, 0, id="above its threshold a class wins over a likelier one"),
        pytest.param("dark", 0.5, 1, id="below it the likeliest of the others"),
        pytest.param("bright", 0.9999, 0, id="even if it is itself the likeliest"),
    ],
)
def test_the_operating_point_decides(label: str, threshold: float, present: int) -> None:
    """A model may be made to miss little, or to raise few alarms."""
    facts = _with(operating_point=OperatingPoint(label=label, threshold=threshold))
    found, heat = _classified(facts, _grey(50))
    assert found.present == present
    assert heat is not None
    assert heat.of == present


def test_exactly_at_the_threshold_a_class_is_present() -> None:
    """At or above."""
    likely = _classified(FACTS, _grey(50))[0].probabilities[0]
    facts = _with(operating_point=OperatingPoint(label="dark", threshold=likely))
    assert _classified(facts, _grey(50))[0].present == 0


def test_heat_lies_where_the_class_is_seen() -> None:
    """And nowhere else; the strongest place is 1."""
    found, heat = _classified(FACTS, _spot())
    assert found.present == 1
    assert heat is not None
    assert heat.array.dtype == np.float16
    assert heat.array.shape == (1, 16, 16)
    assert heat.array.max() == 1
    assert np.array_equal(heat.array[0] > 0, _spot().array[0] > 0)


def test_what_speaks_against_a_class_is_no_heat() -> None:
    """Brightness never speaks for darkness; a map without heat stays 0 and is no number over 0."""
    facts = _with(operating_point=OperatingPoint(label="dark", threshold=1e-9))
    found, heat = _classified(facts, _spot())
    assert found.present == 0
    assert heat is not None
    assert not heat.array.any()


def test_frames_are_comparable() -> None:
    """Half as much heat on one frame is half as much in its map."""
    _, heat = _classified(FACTS, _grey(100, 50))
    assert heat is not None
    assert heat.array[0].min() == 1
    assert heat.array[1] == pytest.approx(0.5, abs=1e-3)


def test_more_frames_than_fit_at_once_give_the_same() -> None:
    """Batches are an inner matter."""
    values = [float(n) for n in range(2 * AT_ONCE + 1)]
    found, heat = _classified(FACTS, _grey(*values))
    single = [_classified(FACTS, _grey(value))[0].probabilities for value in values]
    assert found.probabilities == pytest.approx(np.mean(single, axis=0))
    assert heat is not None
    assert heat.array[:, 0, 0] == pytest.approx(np.array(values) / values[-1], abs=1e-3)


@pytest.mark.parametrize(
    ("facts", "options"),
    [
        pytest.param(FACTS, {"explain": False}, id="the route does not want it"),
        pytest.param(_with(explain=None), {}, id="the model does not say how"),
    ],
)
def test_no_heat_map_is_made_that_nobody_wants(
    facts: ModelFacts, options: dict[str, Option]
) -> None:
    """And the network runs once, not twice."""
    network = Toy()
    _, heat = _classified(facts, _grey(50), network, **options)
    assert heat is None
    assert len(network.seen) == 1


def test_the_network_sees_the_size_it_was_trained_on() -> None:
    """Padded at the end with the lowest value; the heat map has the size that was given."""
    network = Toy()
    _, heat = _classified(FACTS, _grey(50, shape=(16, 12)), network)
    assert set(network.seen) == {(1, 1, 16, 16)}
    assert heat is not None
    assert heat.array.shape == (1, 16, 12)
    assert heat.array.min() > 0.99


def test_the_heat_is_what_another_implementation_computes() -> None:
    """MONAI's Grad-CAM of a deeper network, up to its scale."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3),
            nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3),
        ).eval().requires_grad_(requires_grad=False)  # fmt: skip
    array = np.random.default_rng(2).uniform(0, 100, (1, 16, 16)).astype(np.float32)
    found, heat = _classified(_with(explain=by("2")), _frames(array), network)
    images = torch.from_numpy(array / 100)[None].requires_grad_()
    cam = GradCAM(nn_module=network, target_layers="2", postprocessing=lambda x: x)(
        images, class_idx=found.present
    )
    theirs = cam[0, 0].detach().numpy()
    assert heat is not None
    assert theirs.max() > 0
    assert np.allclose(heat.array[0], theirs / theirs.max(), atol=2e-3)


def test_explaining_leaves_nothing_behind() -> None:
    """No hook on the network and no gradient in its weights; twice is the same to the bit."""
    network = Toy()
    task = _task(FACTS, network)
    one, other = (task({"any": _spot()}, {}) for _ in range(2))
    assert one.classification == other.classification
    assert one.heat_map is not None
    assert other.heat_map is not None
    assert one.heat_map.array.tobytes() == other.heat_map.array.tobytes()
    assert not network.features._forward_hooks
    assert not any(weights.requires_grad for weights in network.parameters())


class Odd(Toy):
    """Answers with what it was told to."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        super().forward(images)
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(torch.zeros(1, 2), "did not give logits", id="a class too few"),
        pytest.param(torch.zeros(3), "did not give logits", id="one for all images"),
        pytest.param("bright", "did not give logits", id="no tensor"),
        pytest.param(torch.full((1, 3), torch.nan), "no numbers", id="no numbers"),
        pytest.param(torch.full((1, 3), torch.inf), "no numbers", id="no end"),
    ],
)
def test_logits_that_are_none_never_become_a_result(answer: object, why: str) -> None:
    """A network that computes nonsense fails; nobody gets a plausible number."""
    with pytest.raises(TaskFailed, match=why):
        _task(FACTS, Odd(answer))({"any": _grey(50)}, {})


def test_a_layer_that_is_not_there_makes_a_model_unusable() -> None:
    """Before any series comes."""
    with pytest.raises(ModelUnusable, match="there is no layer layer9"):
        _task(_with(explain=by("layer9")), Toy())


class Detached(Toy):
    """Decides by the image and not by its features."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3)) + 0 * self.features.weight.sum()
        self.features(images)
        logits = torch.stack([-mean, mean, mean], 1).requires_grad_()
        return logits * self.sharpness


class Flat(Toy):
    """Its features are no map."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Flatten()  # type: ignore[assignment]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = self.features(images).mean(1)
        return torch.stack([-mean, mean, mean], 1)


class Twice(Toy):
    """Runs its features twice."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.features(images)
        return super().forward(images)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        pytest.param(Detached(), "decides nothing", id="a layer that does not matter"),
        pytest.param(Flat(), "gives no map", id="a layer without a map"),
        pytest.param(Twice(), "runs twice", id="a layer that runs twice"),
    ],
)
def test_a_layer_that_explains_nothing_is_a_failure(network: nn.Module, why: str) -> None:
    """A heat map that means nothing is worse than none; the golden test finds it first."""
    with pytest.raises(TaskFailed, match=why):
        _classified(FACTS, _grey(50), network)


def test_one_input_that_is_no_volume() -> None:
    """What the facts promise is asked again where it matters."""
    task = _task(FACTS, Toy())
    with pytest.raises(TaskFailed, match="2 were given"):
        task({"one": _grey(1), "two": _grey(2)}, {})
    volume = Volume(
        array=np.zeros((2, 16, 16), np.float32),
        geometry=Geometry(np.eye(4), (2, 16, 16), ""),
        unit="1",
        sources=(),
    )
    with pytest.raises(TaskFailed, match="a volume was given"):
        task({"any": volume}, {})
