"""The same patient twice through a real node: what has grown between the two is told."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.lesions import LONG_AXIS, SUM_OF_DIAMETERS
from dicom_ai_node.encode.report_courses import CHANGE, INTERVAL, QUANTITY, RELATIVE_CHANGE
from dicom_ai_node.infer.reports import reported
from dicom_ai_node.samples.images import GROWN_BY, GROWN_DAYS, fetal_head, grown_head
from tests import phantoms
from tests.journey.node import Node, running, storescu
from tests.lesion_studies import SEGMENT, images
from tests.model_folders import threshold_model
from tests.peers import air, iod, validators

ROUTE = """\
  - name: fetal-head
    when: {Modality: US}
    run: segment
    model: fetal_head_us
    compare_earlier: true
    write: [segmentation, structured_report, secondary_capture]
    to: [results]
"""
HEAD_CIRCUMFERENCE, CEPHALIC_INDEX = "11984-2", "11823-2"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Start a node that writes its results into a folder."""
    folder = tmp_path_factory.mktemp("compared")
    destination = f"  results: {{folder: {folder / 'results'}}}\n"
    with running(Node(folder / "node", ROUTE, destination)) as started:
        yield started


def _of(image: Dataset) -> Dataset:
    """Let a sample be of the patient whose name must not show anywhere."""
    image.PatientName, image.PatientID = phantoms.CANARY, "ZZCANARY-ID"
    return image


def _courses(report: Dataset) -> Mapping[str, Mapping[str, Dataset]]:
    """Return what is said about each course, by the code of its quantity."""
    groups = [
        {item.ConceptNameCodeSequence[0].CodeValue: item for item in group.ContentSequence}
        for group in report.ContentSequence[-1].ContentSequence
    ]
    return {
        group[QUANTITY.value].ConceptCodeSequence[0].CodeValue: group
        for group in groups
        if QUANTITY.value in group
    }


def _number(item: Dataset) -> float:
    return float(item.MeasuredValueSequence[0].NumericValue)


@pytest.mark.peer
@pytest.mark.timeout(600)  # a node that proves its models, and every validator
def test_growth_between_two_studies_is_reported(node: Node, tmp_path: Path) -> None:
    """Both are sent at once, the later one first: it waits until there is something to compare."""
    later, earlier = _of(grown_head()[0]), _of(fetal_head("us-fetal-head-2nd")[0])
    for name, image in (("later", later), ("earlier", earlier)):
        sent = storescu(node.port, phantoms.write(image, tmp_path / name))
        assert sent.returncode == 0, sent.stderr
    assert {job.stage for job in node.ended(2)} == {Stage.DELIVERED}

    results = node.folder.parent / "results"
    first, second = (
        sorted((results / image.StudyInstanceUID).rglob("*.dcm")) for image in (earlier, later)
    )
    assert (len(first), len(second)) == (3, 4)
    made = [dcmread(path) for path in second]
    (report,) = [item for item in made if item.Modality == "SR"]
    (before,) = [item for item in map(dcmread, first) if item.Modality == "SR"]
    assert _courses(before) == {}

    courses = _courses(report)
    head = courses[HEAD_CIRCUMFERENCE]
    assert _number(head[INTERVAL.value]) == pytest.approx(GROWN_DAYS)
    assert _number(head[RELATIVE_CHANGE.value]) == pytest.approx(100 * (GROWN_BY - 1), abs=0.1)
    assert _number(courses[CEPHALIC_INDEX][CHANGE.value]) == pytest.approx(0, abs=0.1)
    (evidence,) = report.PertinentOtherEvidenceSequence
    (series,) = evidence.ReferencedSeriesSequence
    assert evidence.StudyInstanceUID == earlier.StudyInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID

    assert [it for item in made for it in iod.objections(item)] == []
    assert air.objections(report) == []
    verdict = validators.validate(second, tmp_path)
    assert [f"{it.path.name}: {it.tool}: {it.text}" for it in verdict.complaints] == []
    told = node.log.read_text()
    dates = {str(image.StudyDate) for image in (earlier, later)}
    assert not [date for date in dates if date in told or f"{date[:4]}-{date[4:6]}" in told]


@pytest.mark.peer
def test_a_report_that_comes_back_from_the_archive_is_a_prior(node: Node, tmp_path: Path) -> None:
    """Sent to a second node that has never seen the first study, as a PACS sends priors."""
    results = node.folder.parent / "results"
    earlier, later = _of(fetal_head("us-fetal-head-2nd")[0]), _of(grown_head()[0])
    paths = sorted((results / earlier.StudyInstanceUID).rglob("*.dcm"))
    prior = [path for path in paths if dcmread(path).Modality == "SR"]
    folder = tmp_path / "other"
    destination = f"  results: {{folder: {folder / 'results'}}}\n"
    with running(Node(folder / "node", ROUTE, destination)) as other:
        assert storescu(other.port, prior).returncode == 0
        assert storescu(other.port, phantoms.write(later, tmp_path / "later")).returncode == 0
        assert {job.stage for job in other.ended(1)} == {Stage.DELIVERED}
        made = [dcmread(path) for path in sorted((folder / "results").rglob("*.dcm"))]
    (report,) = [item for item in made if item.Modality == "SR"]
    assert HEAD_CIRCUMFERENCE in _courses(report)


LESION_ROUTE = """\
  - name: nodules
    when: {Modality: CT}
    run: segment
    model: bright_ct
    compare_earlier: true
    write: [segmentation, structured_report, secondary_capture]
    to: [results]
"""


@pytest.mark.peer
@pytest.mark.timeout(600)  # a node that proves its models, and two volumes
def test_lesions_keep_their_names_through_the_node(tmp_path: Path) -> None:
    """One has grown, one is gone, one is new: numbers, Tracking UIDs and the sum say so."""
    grid = {"spacing_mm": [2.5, 2.0, 2.0]}
    threshold_model(
        tmp_path / "models", segments=[SEGMENT], grid=grid, measure=["volume", "lesions"]
    )
    kept, lost = (24.0, -8.0, -15.0, 8.0), (-25.0, -10.0, 10.0, 7.0)
    first = images("20250101", [kept, lost])
    second = images("20250301", [(24.0, -7.0, -13.0, 12.0), (-10.0, 12.0, -30.0, 6.0)])
    destination = f"  results: {{folder: {tmp_path / 'results'}}}\n"
    node = Node(
        tmp_path / "node", LESION_ROUTE, destination, infer=f", models: [{tmp_path / 'models'}]"
    )
    with running(node):
        for study in (first, second):
            sent = storescu(node.port, phantoms.write(study, tmp_path / study[0].StudyDate))
            assert sent.returncode == 0, sent.stderr
        assert {job.stage for job in node.ended(2)} == {Stage.DELIVERED}
    before, after = (
        [dcmread(path) for path in sorted(paths)]
        for study in (first, second)
        if (paths := list((tmp_path / "results" / study[0].StudyInstanceUID).rglob("*.dcm")))
    )
    told = {}
    for name, made in (("before", before), ("after", after)):
        (report,) = [item for item in made if item.Modality == "SR"]
        told[name] = {
            item.tracking_id: (item.tracking_uid, item.value)
            for item in reported(report).measurements
            if item.concept == LONG_AXIS
        }
    assert set(told["before"]) == {"Nodule no. 1", "Nodule no. 2"}
    assert set(told["after"]) == {"Nodule no. 1", "Nodule no. 3"}
    (uid, was), (same_uid, now) = told["before"]["Nodule no. 1"], told["after"]["Nodule no. 1"]
    assert uid == same_uid
    assert was == pytest.approx(16, abs=2)
    assert now == pytest.approx(24, abs=2)
    (report,) = [item for item in after if item.Modality == "SR"]
    total = _courses(report)[SUM_OF_DIAMETERS.value]
    assert _number(total[CHANGE.value]) == pytest.approx(now - was - 14, abs=2)
    paths = sorted((tmp_path / "results" / second[0].StudyInstanceUID).rglob("*.dcm"))
    verdict = validators.validate(paths, tmp_path, only="dciodvfy")
    assert [f"{it.path.name}: {it.text}" for it in verdict.complaints] == []
    assert air.objections(report) == []
