"""A cine MR and a segmentation of one of its images, through real sockets and back again.

The segmentation is made elsewhere; what it outlines is followed to both ends of the cine.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.encode import segmentation
from tests import phantoms
from tests.encode.scenes import LIVER, followed
from tests.journey.node import Node, running, storescu
from tests.journey.test_track import Followed
from tests.peers.orthanc import Orthanc
from tests.peers.validators import validate
from tests.track_folder import track_model

pytestmark = [pytest.mark.peer, pytest.mark.timeout(600)]

FRAMES, PERIOD, BEGIN = 24, 8, 5
WAY = np.stack([np.zeros(FRAMES), 4 * np.sin(2 * np.pi * np.arange(FRAMES) / PERIOD)], axis=1)
"""Rows and columns: three times to and fro by 8 pixels of 1.5 mm."""
STEP_MS, MM_PER_PX = 40, 1.5
ROUTES = """\
  - name: outlined
    inputs: {cine: {Modality: MR}, mask: {Modality: SEG}}
    run: track
    model: motion
    write: [segmentation, structured_report, secondary_capture]
    to: [pacs]
"""


def _outlined(cine: list[Dataset]) -> list[Dataset]:
    """Return what another system would send: an ellipse on one image of the cine."""
    made = followed(cine, has_pixels=True)
    found = made.findings.segmentation
    assert found is not None
    y, x = np.mgrid[:80, :96]
    labels = np.zeros_like(found.labels)
    labels[BEGIN] = np.hypot((y - 40) / 10, (x - 48) / 14) < 1
    (seg,) = segmentation.encode(
        replace(made.findings, segmentation=replace(found, labels=labels)), made.origin
    )
    # Not by this node: its own results are never routed.
    seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.10.99.1"
    seg.SeriesInstanceUID = "1.2.826.0.1.3680043.10.99.2"
    del seg.ContributingEquipmentSequence
    return [seg]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    """Send the cine, then the segmentation, and wait for the results."""
    folder = tmp_path_factory.mktemp("outlined")
    track_model(folder / "models", modality=["MR"], outline="mask")
    cine = phantoms.mr_tissue_cine(WAY, step_ms=STEP_MS)
    in_time = sorted(cine, key=lambda ds: ds.TriggerTime)
    paths = phantoms.write(cine, folder / "cine")
    mask = phantoms.write(_outlined(in_time), folder / "mask")
    with Orthanc(folder / "pacs") as pacs:
        destination = f"  pacs: {{ae_title: ORTHANC, host: 127.0.0.1, port: {pacs.dicom_port}}}\n"
        models = f", models: [{folder / 'models'}]"
        with running(Node(folder / "node", ROUTES, destination, infer=models)) as node:
            for files in (paths, mask):
                sent = storescu(node.port, files)
                assert sent.returncode == 0, sent.stderr
            (job,) = node.ended(1, seconds=300)
            assert job.stage is Stage.DELIVERED, job.note
            yield Followed(node, [pacs.dataset(uid) for uid in pacs.instances()])


def test_what_was_outlined_is_followed_in_millimetres(result: Followed) -> None:
    """Under the name and the code that the segmentation gives it."""
    (report,) = result.of("SR")
    *places, whole = report.ContentSequence[-1].ContentSequence
    assert len(places) == FRAMES
    numbers = {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(
            item.MeasuredValueSequence[0].NumericValue
        )
        for item in whole.ContentSequence
        if item.ValueType == "NUM"
    }
    assert numbers["Excursion Distance"] == pytest.approx(8 * MM_PER_PX, abs=0.8)
    assert numbers["Period of motion"] == pytest.approx(PERIOD * STEP_MS / 1000, rel=0.05)
    codes = [
        item.ConceptCodeSequence[0].CodeValue
        for item in whole.ContentSequence
        if item.ValueType == "CODE"
    ]
    assert LIVER.type.value in codes


def test_the_segmentation_has_a_frame_for_every_image_of_the_cine(result: Followed) -> None:
    """All lie at one place and are told apart in time; the ellipse moves with the tissue."""
    (seg,) = result.of("SEG")
    pixels = seg.pixel_array
    assert len(pixels) == FRAMES
    named = {
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for group in seg.PerFrameFunctionalGroupsSequence
    }
    assert len(named) == FRAMES
    for step, frame in zip(WAY, pixels, strict=True):
        there = np.argwhere(frame).mean(axis=0)
        assert np.abs(there - np.array([40, 48]) - step + WAY[BEGIN]).max() < 1


def test_no_validator_complains_about_any_of_it(result: Followed, tmp_path: Path) -> None:
    """Zero errors in what a radiologist would open."""
    paths = []
    for number, item in enumerate(result.objects):
        paths.append(tmp_path / f"{number}.dcm")
        item.save_as(paths[-1])
    verdict = validate(paths, tmp_path)
    assert [f"{one.path.name}: {one.tool}: {one.text}" for one in verdict.complaints] == []
    assert len(verdict.checked) == 4
