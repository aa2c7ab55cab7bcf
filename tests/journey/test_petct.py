"""A PET and a CT come in as two series and leave as one finding, through real sockets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.samples.pairs import petct_lung
from tests import phantoms
from tests.journey.node import Node, running, storescu
from tests.peers import air, iod, validators

pytestmark = pytest.mark.peer

ROUTES = """\
  - name: lung-lesion
    inputs: {pet: {Modality: PT}, ct: {Modality: CT}}
    same: FrameOfReferenceUID
    run: segment
    model: petct_lesion
    write: [segmentation, rt_structure_set, structured_report, secondary_capture]
    to: [results]
"""
CONCEPTS = {"126401": "SUVbw", "126032": "Metabolic Volume", "126033": "Total Lesion Glycolysis"}


@dataclass(frozen=True)
class Left:
    """What a node has made of a study."""

    node: Node
    job: Job
    paths: Mapping[str, Path]

    def object(self, modality: str) -> Dataset:
        """Return the object of a modality."""
        return dcmread(self.paths[modality])


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """Send the CT, then the PET, in an association each, and wait for what comes of it."""
    folder = tmp_path_factory.mktemp("petct")
    pair = petct_lung()
    for image in pair:
        image.PatientName = phantoms.CANARY
    series = {
        modality: phantoms.write(
            [image for image in pair if image.Modality == modality], folder / modality
        )
        for modality in ("CT", "PT")
    }
    node = Node(folder / "node", ROUTES, f"  results: {{folder: {folder / 'results'}}}\n")
    with running(node):
        for modality in ("CT", "PT"):
            sent = storescu(node.port, series[modality])
            assert sent.returncode == 0, sent.stderr
        (job,) = node.ended(1, 300)
        found = {str(dcmread(path).Modality): path for path in (folder / "results").rglob("*.dcm")}
        yield Left(node, job, found)


def test_two_series_give_one_job_with_all_its_objects(left: Left) -> None:
    """Segmentation, outlines, report and picture, all delivered; no name in the log."""
    assert left.job.stage is Stage.DELIVERED
    assert set(left.paths) == {"SEG", "RTSTRUCT", "SR", "OT"}
    assert {one.name for one in left.node.ledger.job(left.job.key).inputs} == {"pet", "ct"}  # type: ignore[union-attr]
    assert phantoms.CANARY.split("^", maxsplit=1)[0] not in left.node.log.read_text()


def test_the_finding_lies_on_the_pet(left: Left) -> None:
    """Segmentation and outlines refer to its slices; the report has both series as evidence."""
    seg, outlines, report = map(left.object, ("SEG", "RTSTRUCT", "SR"))
    study = outlines.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    (of,) = study.RTReferencedSeriesSequence
    pet = petct_lung()[0].SeriesInstanceUID
    assert of.SeriesInstanceUID == pet == seg.ReferencedSeriesSequence[0].SeriesInstanceUID or (
        pet in {item.SeriesInstanceUID for item in seg.ReferencedSeriesSequence}
    )
    series = {
        item.SeriesInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for item in study.ReferencedSeriesSequence
    }
    assert {image.SeriesInstanceUID for image in petct_lung()} <= series


def test_the_report_tells_the_uptake(left: Left) -> None:
    """SUV, metabolic volume and total lesion glycolysis, which is mean times volume."""
    group, *_ = left.object("SR").ContentSequence[-1].ContentSequence
    found = {}
    for item in group.ContentSequence:
        if item.ValueType == "NUM":
            said = CONCEPTS[item.ConceptNameCodeSequence[0].CodeValue]
            for inner in item.get("ContentSequence", []):
                if inner.ConceptNameCodeSequence[0].CodeValue == "121401":
                    said = f"{inner.ConceptCodeSequence[0].CodeMeaning} {said}"
            found[said] = float(item.MeasuredValueSequence[0].NumericValue)
    assert set(found) == {
        "Maximum SUVbw", "Mean SUVbw", "Peak Value Within ROI SUVbw", "Metabolic Volume",
        "Total Lesion Glycolysis",
    }  # fmt: skip
    assert found["Mean SUVbw"] < found["Peak Value Within ROI SUVbw"] < found["Maximum SUVbw"]
    assert found["Maximum SUVbw"] == pytest.approx(3.36, abs=0.02)
    glycolysis = found["Mean SUVbw"] * found["Metabolic Volume"]
    assert found["Total Lesion Glycolysis"] == pytest.approx(glycolysis, rel=1e-4)


def test_the_report_measures_every_lesion_by_itself(left: Left) -> None:
    """The longest diameter in a slice and the one across it, of each connected part."""
    _, *lesions = left.object("SR").ContentSequence[-1].ContentSequence
    assert lesions
    for lesion in lesions:
        lengths = {
            item.ConceptNameCodeSequence[0].CodeMeaning: float(
                item.MeasuredValueSequence[0].NumericValue
            )
            for item in lesion.ContentSequence
            if item.ValueType == "NUM" and item.MeasuredValueSequence[0]
            .MeasurementUnitsCodeSequence[0].CodeValue == "mm"
        }  # fmt: skip
        assert 2 <= lengths["Short axis"] <= lengths["Long axis"] < 100


def test_the_outlines_enclose_what_the_segmentation_marks(left: Left) -> None:
    """Their area times the distance of the slices is the metabolic volume, to a hundredth."""
    seg, outlines = left.object("SEG"), left.object("RTSTRUCT")
    marked_mm3 = float(np.count_nonzero(seg.pixel_array)) * 8
    enclosed_mm3 = 0.0
    for outline in outlines.ROIContourSequence[0].ContourSequence:
        x, y, _ = np.asarray(outline.ContourData, float).reshape(-1, 3).T
        enclosed_mm3 += abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2 * 2
    assert enclosed_mm3 == pytest.approx(marked_mm3, rel=0.01)


def test_no_validator_complains(left: Left, tmp_path: Path) -> None:
    """About any of the objects that lie in the PACS's folder now."""
    paths = list(left.paths.values())
    verdict = validators.validate(paths, tmp_path)
    assert [f"{item.path.name}: {item.tool}: {item.text}" for item in verdict.complaints] == []
    assert air.objections(left.object("SR")) == []
    assert [iod.objections(dcmread(path)) for path in paths] == [[]] * 4
