"""The fuse task sorts by several images and by what it is told, and says what speaks for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom.sr.coding import Code
from torch import nn

from dicom_ai_node.domain.clinical import AskedFact, unknown
from dicom_ai_node.domain.errors import ConfigError, ModelUnusable, TaskFailed
from dicom_ai_node.domain.findings import FindingClass, Findings
from dicom_ai_node.domain.image import Geometry, Volume
from dicom_ai_node.domain.model import (
    Golden,
    Grid,
    Intensity,
    ModelFacts,
    ModelInput,
    Scaling,
    Sees,
)
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.infer.kinds import settings_of
from dicom_ai_node.tasks.fuse import Fuse

WINDOW = Intensity(scaling=Scaling.WINDOW, low=0.0, high=100.0)
AGE = AskedFact(
    name="age", concept=Code("121033", "DCM", "Subject Age"), unit=Code("a", "UCUM", "year"),
    attribute="PatientAge", mean=50, deviation=10,
)  # fmt: skip
FACTS = ModelFacts(
    name="toy",
    version="1",
    digest=Sha256("0" * 64),
    folder=Path(),
    kind="fuse",
    title="Toy",
    manufacturer="tests",
    modality=("PT", "CT"),
    sees=Sees.VOLUME,
    intensity=WINDOW,
    grid=Grid(spacing_mm=(1.0, 1.0, 1.0)),
    golden=Golden(file="", max_difference=0.01),
    inputs={
        "pet": ModelInput(modality=("PT",), intensity=WINDOW),
        "ct": ModelInput(modality=("CT",), intensity=replace(WINDOW, high=10.0)),
    },
    reference="ct",
    clinical=(AGE,),
    classes=tuple(
        FindingClass(label=label, type=Code(label, "99TEST", label)) for label in ("no", "yes")
    ),
    settings={"explain_layer": "features"},
)


class Toy(nn.Module):
    """Says yes by the mean of a map, the product of both images, and by the age in deviations."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.eval()

    def forward(self, images: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        both = self.features(images[:, :1] * images[:, 1:])
        mean = both.mean((1, 2, 3, 4)) * 20 + told[:, 0]
        return torch.stack([torch.zeros_like(mean), mean], 1)


def _volume(array: np.ndarray) -> Volume:
    slices, rows, columns = array.shape
    geometry = Geometry(np.eye(4), (slices, rows, columns), "1.2")
    return Volume(array=array.astype(np.float32), geometry=geometry, unit="1", sources=())


def _inputs(shift: int = 0) -> dict[str, Volume]:
    """Return two images that are bright in the same place, or not."""
    pet, ct = np.zeros((4, 8, 8)), np.zeros((4, 8, 8))
    pet[1:3, 2:4, 2:4] = 80
    ct[1:3, 2:4, 2 + shift : 4 + shift] = 9
    return {"pet": _volume(pet), "ct": _volume(ct)}


def _task(facts: ModelFacts = FACTS, network: nn.Module | None = None) -> Fuse:
    return Fuse(facts, settings_of(facts), network or Toy())


def _yes(found: Findings) -> float:
    assert found.classification is not None
    return found.classification.probabilities[1]


def test_two_images_together_say_what_neither_says_alone() -> None:
    """Each is scaled in its own way, and lies where it lies."""
    mean = 0.8 * 0.9 * 8 / 256 * 20
    assert _yes(_task()(_inputs(), {})) == pytest.approx(1 / (1 + np.exp(-mean)), abs=1e-4)
    assert _yes(_task()(_inputs(shift=3), {})) == pytest.approx(0.5, abs=1e-4)


def test_what_is_known_of_the_patient_changes_the_answer() -> None:
    """Without it the answer is one for whom nothing is known of; both tell what they rest on."""
    (nothing,) = unknown(FACTS.clinical)
    old = replace(nothing, value=70.0)
    told = _task().knowing((old,))(_inputs(), {})
    untold = _task()(_inputs(), {})
    assert _yes(told) > _yes(untold) + 0.1
    assert told.clinical == (old,)
    assert untold.clinical == (nothing,)


def test_probabilities_are_softened_by_the_temperature_and_add_up_to_one() -> None:
    """The calibration of the recipe is applied."""
    warm = replace(FACTS, settings={**FACTS.settings, "temperature": 4.0})
    found = _task(warm)(_inputs(), {}).classification
    assert found is not None
    assert sum(found.probabilities) == pytest.approx(1)
    assert 0.5 < found.probabilities[1] < _yes(_task()(_inputs(), {}))
    assert found.present == 1


def test_the_heat_map_is_hot_where_both_images_are_bright() -> None:
    """On every slice of the grid; without a layer or with `explain: false` there is none."""
    heat = _task()(_inputs(), {}).heat_map
    assert heat is not None
    assert heat.array.shape == (4, 8, 8)
    assert heat.array.dtype == np.float16
    assert (heat.array > 0.5).sum() == 8
    assert heat.array[1:3, 2:4, 2:4].min() == 1
    by_covering = replace(FACTS, settings={"explain": {"method": "occlusion"}})
    covered = _task(by_covering)(_inputs(), {}).heat_map
    assert covered is not None
    assert np.unravel_index(covered.array.argmax(), (4, 8, 8)) in {
        (z, y, x) for z in (1, 2) for y in (2, 3) for x in (2, 3)
    }
    assert _task()(_inputs(), {"explain": False}).heat_map is None
    assert _task(replace(FACTS, settings={}))(_inputs(), {}).heat_map is None


def test_a_model_that_asks_for_nothing_is_given_images_only() -> None:
    """A network of one argument does."""

    class Plain(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1).mean(1, keepdim=True).repeat(1, 2)

    found = _task(replace(FACTS, clinical=(), settings={}), Plain())(_inputs(), {})
    assert _yes(found) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        pytest.param({"pet": _inputs()["pet"]}, "takes the inputs", id="one of two"),
        pytest.param(
            {"pet": _inputs()["pet"], "ct": _volume(np.zeros((4, 8, 9)))}, "one grid", id="apart"
        ),
    ],
)
def test_inputs_that_are_not_those_of_the_model_are_refused(
    inputs: dict[str, Volume], why: str
) -> None:
    """Whatever has gone wrong before, no answer is given."""
    with pytest.raises(TaskFailed, match=why):
        _task()(inputs, {})


def test_a_network_that_gives_no_numbers_fails_the_job() -> None:
    """A probability that is no number never reaches a report."""

    class Broken(Toy):
        def forward(self, images: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
            return super().forward(images, told) * torch.nan

    with pytest.raises(TaskFailed, match="no numbers"):
        _task(network=Broken())(_inputs(), {})


def test_a_layer_that_is_not_there_makes_the_model_unusable() -> None:
    """It is found out before the first patient."""
    with pytest.raises(ModelUnusable, match="no layer"):
        _task(replace(FACTS, settings={"explain_layer": "nowhere"}))


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(replace(FACTS, inputs={}, reference=""), id="one image"),
        pytest.param(replace(FACTS, classes=FACTS.classes[:1]), id="one class"),
        pytest.param(replace(FACTS, settings={"temperature": 0}), id="no temperature"),
    ],
)
def test_settings_that_cannot_be_are_told(facts: ModelFacts) -> None:
    """By `check`, and before the worker takes work."""
    with pytest.raises(ConfigError):
        settings_of(facts)
