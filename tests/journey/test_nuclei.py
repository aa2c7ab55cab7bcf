"""A slide through real sockets: DCMTK sends it, the node counts, Orthanc has every result."""

from pathlib import Path

import numpy as np
import pytest
from highdicom.ann import MicroscopyBulkSimpleAnnotations
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.samples.studies import SAMPLES
from tests import phantoms
from tests.journey.node import Node, running, storescu
from tests.model_folders import instance_model
from tests.peers.orthanc import Orthanc
from tests.peers.validators import validate
from tests.phantoms import CANARY

ROUTES = """\
  - name: nuclei
    when: {Modality: SM}
    run: segment_instances
    model: nuclei
    write: [segmentation, annotations, structured_report, secondary_capture]
    to: [pacs, files]
  - name: discs
    when: {Modality: GM}
    run: segment_instances
    model: bright_nuclei
    write: [segmentation, annotations, structured_report, secondary_capture]
    to: [files]
"""


def _slide(folder: Path) -> Path:
    (sample,) = [sample for sample in SAMPLES if sample.name == "sm-nuclei"]
    (slide,) = sample.make()
    slide.PatientName = CANARY
    return phantoms.write(slide, folder)[0]


def _quantities(report: Dataset) -> dict[str, float]:
    """Return every number that a report tells of what was found, by its unit."""
    return {
        item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue: float(
            item.MeasuredValueSequence[0].NumericValue
        )
        for group in report.ContentSequence[-1].ContentSequence
        for item in group.ContentSequence
        if item.ValueType == "NUM"
        and item.ConceptNameCodeSequence[0].CodeValue not in {"ADVSCORE", "OODSCORE"}
    }


@pytest.mark.peer
@pytest.mark.timeout(600)
def test_a_slide_comes_back_as_outlines_labels_numbers_and_a_picture(tmp_path: Path) -> None:
    """ANN, SEG, SR and SC of one study, that agree with each other and with every validator."""
    sent = [_slide(tmp_path / "slide"), *phantoms.write(phantoms.vl_microscopic(), tmp_path / "gm")]
    models = instance_model(tmp_path / "models").parent
    with Orthanc(tmp_path / "pacs") as pacs:
        destinations = (
            f"  pacs: {{ae_title: ORTHANC, host: 127.0.0.1, port: {pacs.dicom_port}}}\n"
            f"  files: {{folder: {tmp_path / 'files'}}}\n"
        )
        node = Node(tmp_path / "node", ROUTES, destinations, infer=f", models: [{models}]")
        with running(node):
            for path in sent:
                assert storescu(node.port, [path]).returncode == 0
            jobs = {job.route: job for job in node.ended(2, 300)}
            assert {job.stage for job in jobs.values()} == {Stage.DELIVERED}, jobs
        stored = [pacs.dataset(uid) for uid in pacs.instances()]
    source = dcmread(sent[0], stop_before_pixels=True)
    found = {it.Modality: it for it in stored}
    assert set(found) == {"ANN", "SEG", "SR", "OT"}
    assert {it.StudyInstanceUID for it in stored} == {source.StudyInstanceUID}
    assert {str(it.PatientName) for it in stored} == {CANARY}
    (group,) = MicroscopyBulkSimpleAnnotations.from_dataset(found["ANN"]).get_annotation_groups()
    count = len(group.get_graphic_data(coordinate_type="3D"))
    _, areas, _ = group.get_measurements()
    told = _quantities(found["SR"])
    assert told["1"] == count > 100
    assert told["um2"] == pytest.approx(float(areas.mean()), rel=1e-4)
    assert found["SEG"].pixel_array.sum() * 0.25 == pytest.approx(float(areas.sum()), rel=0.01)
    files = sorted((tmp_path / "files").rglob("*.dcm"))
    verdict = validate(files, tmp_path)
    assert [f"{item.path.name}: {item.tool}: {item.text}" for item in verdict.complaints] == []
    modalities = [str(dcmread(path, stop_before_pixels=True).Modality) for path in files]
    # The image in one piece has no place on the glass, and so no annotations.
    assert sorted(modalities) == ["ANN", "OT", "OT", "SEG", "SEG", "SR", "SR"]
    reports = [dcmread(p) for p, kind in zip(files, modalities, strict=True) if kind == "SR"]
    discs = len(phantoms.sm_values(100, 120)[1])
    assert {"1": discs} in [_quantities(report) for report in reports]
    assert CANARY not in node.log.read_text()
    assert np.isfinite(areas).all()
