"""A CT, a PET and lab values come in as three series and leave as one answer, by real sockets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.samples.labs import CRP_MG_L, GLUCOSE_MG_DL
from dicom_ai_node.samples.pairs import petct_lung_with_labs
from tests import phantoms
from tests.journey.node import Node, running, storescu
from tests.peers import air, iod, validators

pytestmark = pytest.mark.peer

ROUTES = """\
  - name: lung-understood
    inputs: {pet: {Modality: PT}, ct: {Modality: CT}, labs: {Modality: SR}}
    same: FrameOfReferenceUID
    run: fuse
    model: petct_understanding
    compare_earlier: true
    write: [parametric_map, structured_report, secondary_capture]
    to: [results]
"""
DAYS_BEFORE = 3
"""How long before the study of another patient his laboratory has spoken."""


@dataclass(frozen=True)
class Left:
    """What a node has made of a study: without the lab values first, then with them."""

    node: Node
    jobs: Sequence[Job]
    results: Path
    other: Job

    def objects(self, job: Job) -> Mapping[str, Path]:
        """Return the delivered objects of a job, by modality or, for a map, by what it is."""
        made = {str(one.sop_instance_uid): one.kind for one in self.node.ledger.results(job.key)}
        return {made[path.stem]: path for path in self.results.rglob("*.dcm") if path.stem in made}


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """Send CT and PET, wait for an answer, then send what the laboratory says.

    Of another patient the laboratory has said it at an earlier study.
    """
    folder = tmp_path_factory.mktemp("fuse")
    series, others = _series(petct_lung_with_labs(), folder), _series(_another(), folder / "other")
    node = Node(folder / "node", ROUTES, f"  results: {{folder: {folder / 'results'}}}\n")
    with running(node):
        for modality in ("CT", "PT"):
            assert storescu(node.port, series[modality]).returncode == 0
        node.ended(1, 300)
        assert storescu(node.port, series["SR"]).returncode == 0
        jobs = sorted(node.ended(2, 300), key=lambda job: job.created_at)
        for modality in ("SR", "CT", "PT"):
            assert storescu(node.port, others[modality]).returncode == 0
        known = {job.key for job in jobs}
        (other,) = [job for job in node.ended(3, 300) if job.key not in known]
        yield Left(node, jobs, folder / "results", other)


def _series(images: Sequence[Dataset], folder: Path) -> Mapping[str, Sequence[Path]]:
    for image in images:
        image.PatientName = phantoms.CANARY
    return {
        modality: phantoms.write(
            [image for image in images if image.Modality == modality], folder / modality
        )
        for modality in ("CT", "PT", "SR")
    }


def _another() -> Sequence[Dataset]:
    """Return the sample as that of another patient, his lab values of a study some days before."""
    found = petct_lung_with_labs()
    for image in found:
        image.PatientID = "SOMEBODY-ELSE"
        for keyword in (
            "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"
        ):  # fmt: skip
            if keyword in image:
                setattr(image, keyword, derive_uid("another", str(image[keyword].value)))
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        if image.Modality == "SR":
            image.StudyInstanceUID = derive_uid("another", "study of the laboratory")
            day = date.fromisoformat(image.StudyDate) - timedelta(days=DAYS_BEFORE)
            image.StudyDate = day.strftime("%Y%m%d")
            for item in image.ContentSequence:
                item.ObservationDateTime = f"{image.StudyDate}{image.StudyTime[:6]}"
    return found


def _groups(report: Dataset) -> Sequence[Dataset]:
    return list(report.ContentSequence[-1].ContentSequence)


def _percents(report: Dataset) -> list[float]:
    return [
        float(item.MeasuredValueSequence[0].NumericValue)
        for group in _groups(report)
        for item in group.ContentSequence
        if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == "122157"
    ]


def _told(report: Dataset) -> Mapping[str, float]:
    """Return what the model was told, by the code of each fact."""
    return {
        str(item.ConceptNameCodeSequence[0].CodeValue): float(
            item.MeasuredValueSequence[0].NumericValue
        )
        for item in _clinical(report).ContentSequence
        if item.ValueType == "NUM"
    }


def _clinical(report: Dataset) -> Dataset:
    """Return the group of what the model was told."""
    (found,) = [
        group
        for group in _groups(report)
        if any(
            item.ValueType == "CODE" and item.ConceptCodeSequence[0].CodeValue == "CLINICAL"
            for item in group.ContentSequence
        )
    ]
    return found


def test_images_are_answered_at_once_and_again_when_lab_values_come(left: Left) -> None:
    """The second job has one input more and names the first one as the one that it replaces."""
    first, second = (left.node.ledger.job(job.key) for job in left.jobs)
    assert first is not None
    assert second is not None
    assert (first.stage, second.stage) == (Stage.DELIVERED, Stage.DELIVERED)
    assert {one.name for one in first.inputs} == {"pet", "ct"}
    assert {one.name for one in second.inputs} == {"pet", "ct", "labs"}
    assert second.supersedes == first.key
    assert set(left.objects(second)) == {"parametric_map", "structured_report", "secondary_capture"}


def test_probabilities_add_up_and_the_lab_values_change_them(left: Left) -> None:
    """The tumour of the sample is an avid mass, in either answer."""
    before, after = (
        _percents(dcmread(left.objects(job)["structured_report"])) for job in left.jobs
    )
    for percents in (before, after):
        assert sum(percents) == pytest.approx(100, abs=0.5)
        assert percents.index(max(percents)) == 3
    assert before != after


def test_the_report_names_every_fact_and_every_input(left: Left) -> None:
    """Age and weight from the headers, glucose and protein from the report, which is evidence."""
    first, second = (dcmread(left.objects(job)["structured_report"]) for job in left.jobs)
    header = {"121033": 55, "27113001": 70}
    assert _told(first) == header
    assert _told(second) == {**header, "2339-0": GLUCOSE_MG_DL, "1988-5": CRP_MG_L}
    named = {
        item.SeriesInstanceUID
        for study in second.CurrentRequestedProcedureEvidenceSequence
        for item in study.ReferencedSeriesSequence
    }
    assert {image.SeriesInstanceUID for image in petct_lung_with_labs()} <= named
    replaced = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert replaced.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_what_an_earlier_study_has_told_is_told_again_if_it_is_not_too_old(left: Left) -> None:
    """A protein counts for two weeks; a glucose that was not measured on the day does not."""
    report = dcmread(left.objects(left.other)["structured_report"])
    other = left.node.ledger.job(left.other.key)
    assert other is not None
    assert {one.name for one in other.inputs} == {"pet", "ct"}
    told = _told(report)
    assert told["1988-5"] == CRP_MG_L
    assert "2339-0" not in told
    texts = [item.TextValue for item in _clinical(report).ContentSequence if "TextValue" in item]
    assert any(f"observed {DAYS_BEFORE} days before" in text for text in texts)
    (pertinent,) = report.PertinentOtherEvidenceSequence
    assert pertinent.StudyInstanceUID == derive_uid("another", "study of the laboratory")


def test_no_name_and_no_value_reaches_the_log(left: Left) -> None:
    """Whatever the model was told."""
    log = left.node.log.read_text()
    assert phantoms.CANARY.split("^", maxsplit=1)[0] not in log
    assert "glucose" not in log.casefold()


def test_no_validator_complains(left: Left, tmp_path: Path) -> None:
    """About any of the objects that lie in the PACS's folder now."""
    paths = [path for job in (left.jobs[-1], left.other) for path in left.objects(job).values()]
    verdict = validators.validate(paths, tmp_path)
    assert [f"{item.path.name}: {item.tool}: {item.text}" for item in verdict.complaints] == []
    assert air.objections(dcmread(left.objects(left.jobs[-1])["structured_report"])) == []
    assert [iod.objections(dcmread(path)) for path in paths] == [[]] * 6
