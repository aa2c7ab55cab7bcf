"""Kind `segment_instances`: objects one by one, in each frame for itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dicom_ai_node.domain.errors import ConfigError, Rejected, TaskFailed
from dicom_ai_node.domain.findings import Instances
from dicom_ai_node.domain.image import Frames, Geometry, SourceFrame, Volume
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.kinds import settings_of, task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.neural.separate import histogram_of
from tests.model_folders import instance_model
from tests.neural.test_separate import discs


def frames(*images: np.ndarray, spacing_um: float | None = 0.5) -> Frames:
    """Return pictures of one size, with 0.5 um a pixel."""
    return Frames(
        array=np.stack(images).astype(np.float32),
        unit="1",
        sources=tuple(SourceFrame(SOPInstanceUID("1.2.3"), n + 1) for n in range(len(images))),
        spacing_mm=None if spacing_um is None else (spacing_um / 1000, spacing_um / 1000),
        region=(0, images[0].shape[0], 0, images[0].shape[1]),
    )


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Return a task that takes what is bright for cores."""
    facts = Catalog([instance_model(tmp_path).parent]).facts("bright_nuclei")
    return task_of(facts, network(facts))


def found_by(task: Task, image: Frames) -> Instances:
    """Return the objects that a task finds."""
    instances = task({"image": image}, {}).instances
    assert instances is not None
    return instances


NUCLEI = discs((12, 12, 6), (30, 34, 8), (10, 40, 5))
STAINED = np.where(NUCLEI > 0, 60, 220)


def test_every_object_has_its_outline_its_area_and_its_frame(task: Task) -> None:
    """Two frames: three nuclei in the first, one of them alone in the second."""
    other = np.where(NUCLEI == 2, 60, 220)
    found = found_by(task, frames(STAINED, other))
    assert len(found) == 4
    assert found.frames.tolist() == [0, 0, 0, 1]
    assert sorted(found.areas_px[:3]) == sorted(np.bincount(NUCLEI.ravel())[1:])
    middles = [outline.mean(axis=0).round() for outline in found.outlines()]
    assert {tuple(middle) for middle in middles} == {(12, 12), (30, 34), (10, 40)}
    assert np.array_equal(middles[3], (30, 34))
    assert set(found.numbers) == {1}


def test_the_pixels_of_all_objects_are_labelled(task: Task) -> None:
    """Segmentation and objects say the same."""
    labels = task({"image": frames(STAINED)}, {}).segmentation
    assert labels is not None
    assert np.array_equal(labels.labels[0], NUCLEI > 0)


def test_fluorescence_is_read_as_stains_are(task: Task) -> None:
    """Bright on dark, and faint, gives the same objects as dark on bright."""
    glowing = np.where(NUCLEI > 0, 40, 6)
    one, other = found_by(task, frames(STAINED)), found_by(task, frames(glowing))
    assert np.array_equal(one.points, other.points)


def test_a_part_is_judged_by_the_whole(task: Task) -> None:
    """A region of bare glass, whose own noise would be stretched, holds nothing."""
    glass = np.full((32, 32), 220)
    glass[8:16, 8:16] = 217
    assert len(found_by(task, frames(glass))) > 0
    part = replace(frames(glass), histogram=histogram_of(STAINED.astype(np.float32)))
    assert len(found_by(task, part)) == 0


@pytest.mark.parametrize(("um", "is_taken"), [(0.1, False), (0.25, True), (0.5, True), (1, False)])
def test_pixels_of_another_size_are_declined(task: Task, um: float, is_taken: bool) -> None:
    """At 10 x a nucleus has ten pixels: the model would count something else."""
    if is_taken:
        assert len(found_by(task, frames(STAINED, spacing_um=um))) == 3
        return
    with pytest.raises(Rejected, match="um a pixel") as reason:
        found_by(task, frames(STAINED, spacing_um=um))
    assert reason.value.code is RejectCode.SM_NO_LEVEL


def test_an_image_without_spacing_is_looked_at(task: Task) -> None:
    """Many microscopes write none; the report then has no areas."""
    assert len(found_by(task, frames(STAINED, spacing_um=None))) == 3


def test_it_looks_at_one_image_and_at_no_volume(task: Task) -> None:
    """Anything else is a mistake of the route."""
    image = frames(STAINED)
    with pytest.raises(TaskFailed, match="2 were given"):
        task({"a": image, "b": image}, {})
    volume = Volume(
        array=image.array, geometry=Geometry(np.eye(4), (1, 48, 48), ""), unit="1", sources=()
    )
    with pytest.raises(TaskFailed, match="a volume"):
        task({"a": volume}, {})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(lambda x: x.expand(-1, 2, -1, -1), "logits of", id="a channel too few"),
        pytest.param(lambda x: x.expand(-1, 3, -1, -1) / 0, "no numbers", id="not finite"),
        pytest.param(lambda _: "nothing", "logits of", id="no tensor"),
    ],
)
def test_a_network_that_answers_nonsense_has_failed(
    answer: torch.nn.Module, words: str, tmp_path: Path
) -> None:
    """No count is made of it."""
    facts = Catalog([instance_model(tmp_path).parent]).facts("bright_nuclei")
    with pytest.raises(TaskFailed, match=words):
        task_of(facts, answer)({"image": frames(STAINED)}, {})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": {"core": 1.5}}, "core: must be above 0 and below 1"),
        ({"settings": {"inside": 0}}, "inside: must be above 0 and below 1"),
        ({"settings": {"spacing_um": [0.7, 0.2]}}, "spacing_um: must be"),
        ({"settings": {"rim": 0.5}}, "rim"),
        ({"intensity": {"scaling": "window", "low": 0, "high": 255}}, "by percentile"),
        ({"sees": "frames"}, "sees regions"),
        ({"window": {"roi_size": [64, 64]}}, "window"),
    ],
)
def test_settings_that_make_no_sense_are_told(
    changes: dict[str, object], words: str, tmp_path: Path
) -> None:
    """To the operator, before the model takes any work."""
    facts = Catalog([instance_model(tmp_path, **changes).parent]).facts("bright_nuclei")
    with pytest.raises(ConfigError, match=words):
        settings_of(facts)


def test_settings_may_be_left_out(tmp_path: Path) -> None:
    """Then half is the limit for everything, at any pixel size."""
    facts = Catalog([instance_model(tmp_path, settings=None).parent]).facts("bright_nuclei")
    settings = settings_of(facts)
    assert (settings.limits.core, settings.limits.inside, settings.spacing_um) == (0.5, 0.5, None)
