"""A cine whose motion is known, through real sockets: DCMTK sends, the node follows, Orthanc gets.

What the report says of the motion is compared with how the tissue was moved.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.job import Stage
from tests import phantoms
from tests.journey.node import Node, running, storescu
from tests.peers.orthanc import Orthanc
from tests.peers.validators import validate
from tests.track_folder import track_model

pytestmark = [pytest.mark.peer, pytest.mark.timeout(600)]

FRAMES, PERIOD = 24, 8
WAY = np.stack(
    [0.1 * np.arange(FRAMES), 6 * np.sin(2 * np.pi * np.arange(FRAMES) / PERIOD)], axis=1
)
"""Rows and columns: a slow drift down, and three times to and fro by 12 pixels of half a mm."""
STEP_MS, MM_PER_PX = 40, 0.5
BOX = (30, 40, 49, 59)
ROUTES = """\
  - name: motion
    when: {Modality: US, frames: {min: 2}}
    run: track
    model: motion
    with: {start: "30, 40, 49, 59"}
    write: [segmentation, structured_report, secondary_capture]
    to: [pacs]
"""


@dataclass
class Followed:
    """What a PACS got of one cine."""

    node: Node
    objects: Sequence[Dataset]

    def of(self, modality: str) -> list[Dataset]:
        """Return the objects of one modality, in their order."""
        found = [item for item in self.objects if item.Modality == modality]
        return sorted(found, key=lambda item: item.InstanceNumber)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    """Send the cine once and wait for its results."""
    folder = tmp_path_factory.mktemp("track")
    track_model(folder / "models")
    paths = phantoms.write(phantoms.us_tissue_cine(WAY), folder / "cine")
    with Orthanc(folder / "pacs") as pacs:
        destination = f"  pacs: {{ae_title: ORTHANC, host: 127.0.0.1, port: {pacs.dicom_port}}}\n"
        models = f", models: [{folder / 'models'}]"
        with running(Node(folder / "node", ROUTES, destination, infer=models)) as node:
            sent = storescu(node.port, paths)
            assert sent.returncode == 0, sent.stderr
            (job,) = node.ended(1, seconds=300)
            assert job.stage is Stage.DELIVERED, job.note
            yield Followed(node, [pacs.dataset(uid) for uid in pacs.instances()])


def _numbers(group: Dataset) -> dict[str, float]:
    found = {}
    for item in group.ContentSequence:
        if item.ValueType != "NUM":
            continue
        name = item.ConceptNameCodeSequence[0].CodeMeaning
        derived = [
            inner.ConceptCodeSequence[0].CodeMeaning
            for inner in item.get("ContentSequence", ())
            if inner.ValueType == "CODE"
        ]
        found[" ".join([*derived, name])] = float(item.MeasuredValueSequence[0].NumericValue)
    return found


def test_segmentation_report_cine_and_plot_come_back(followed: Followed) -> None:
    """Of the same study, marked as research."""
    assert sorted(item.Modality for item in followed.objects) == ["OT", "OT", "SEG", "SR"]
    assert {item.StudyInstanceUID for item in followed.objects} == {phantoms.STUDY_INSTANCE_UID}
    assert {item.ContentQualification for item in followed.objects} == {"RESEARCH"}


def test_the_report_tells_the_motion_that_was_made(followed: Followed) -> None:
    """Every place to a pixel; excursion, speed and period as they were made."""
    (report,) = followed.of("SR")
    *places, whole = report.ContentSequence[-1].ContentSequence
    assert len(places) == FRAMES
    middle = np.array([(BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2])
    for step, group in zip(WAY, places, strict=True):
        (region,) = (item for item in group.ContentSequence if item.ValueType == "SCOORD")
        column, row = region.GraphicData
        assert np.abs(np.array([row, column]) - 0.5 - middle - step).max() < 1
        distance = np.linalg.norm(step) * MM_PER_PX
        assert _numbers(group)["Distance"] == pytest.approx(distance, abs=0.5)
    numbers = _numbers(whole)
    assert numbers["Excursion Distance"] == pytest.approx(12 * MM_PER_PX, abs=0.6)
    assert numbers["Period of motion"] == pytest.approx(PERIOD * STEP_MS / 1000, rel=0.05)
    fastest = 6 * 2 * np.pi / PERIOD * MM_PER_PX / (STEP_MS / 1000)
    assert numbers["Maximum Speed"] == pytest.approx(fastest, rel=0.25)
    assert numbers["Mean Speed"] < numbers["Maximum Speed"]


def test_the_segmentation_moves_with_the_tissue(followed: Followed) -> None:
    """One frame for every frame of the cine, the box where the tissue is."""
    (seg,) = followed.of("SEG")
    pixels = seg.pixel_array
    assert len(pixels) == FRAMES
    for step, frame in zip(WAY, pixels, strict=True):
        there = np.argwhere(frame).mean(axis=0)
        assert np.abs(there - np.array([39.5, 49.5]) - step).max() < 1


def test_the_path_is_drawn_on_a_cine_and_plotted_on_a_still(followed: Followed) -> None:
    """The cine runs as fast as the source, and the plot stands alone."""
    cine, plot = followed.of("OT")
    assert int(cine.NumberOfFrames) == FRAMES
    assert float(cine.FrameTime) == STEP_MS
    assert "NumberOfFrames" not in plot
    colour = np.array([0, 200, 255])
    drawn = [(frame == colour).all(axis=-1).sum() for frame in cine.pixel_array]
    assert min(drawn) > 0
    assert drawn[-1] > drawn[0]
    assert (plot.pixel_array == colour).all(axis=-1).sum() > 500


def test_no_validator_complains_about_any_of_it(followed: Followed, tmp_path: Path) -> None:
    """Zero errors in what a radiologist would open."""
    paths = []
    for number, item in enumerate(followed.objects):
        paths.append(tmp_path / f"{number}.dcm")
        item.save_as(paths[-1])
    verdict = validate(paths, tmp_path)
    assert [f"{one.path.name}: {one.tool}: {one.text}" for one in verdict.complaints] == []
    assert len(verdict.checked) == 4


def test_nothing_about_the_patient_is_in_the_log(followed: Followed) -> None:
    """The canary's name is not."""
    assert phantoms.CANARY.split("^")[0] not in followed.node.log.read_text()
