"""PET and CT of a brain, and a score of memory, come in as three series and leave as one answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import CTImageStorage, PositronEmissionTomographyImageStorage

from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.samples.headers import grey, header, place
from dicom_ai_node.samples.labs import lab_report
from dicom_ai_node.samples.volumes import BQML_PER_SUV, corner, pet_facts
from tests import phantoms
from tests.bundles.models import facts_of
from tests.journey.node import Node, running, storescu
from tests.peers import iod, validators

pytestmark = pytest.mark.peer

NAME, STEP_MM = "petct-brain", np.array([6.0, 6.0, 6.0])
ROUTES = """\
  - name: brain-understood
    inputs: {pet: {Modality: PT}, ct: {Modality: CT}, reports: {Modality: SR}}
    same: FrameOfReferenceUID
    run: fuse
    model: brain_ctpet
    write: [parametric_map, structured_report, secondary_capture]
    to: [results]
"""
AGE, MEMORY = 71.0, 27.0


def _golden() -> Mapping[str, NDArray[np.float32]]:
    facts = facts_of("brain_ctpet")
    with np.load(facts.folder / facts.golden.file) as golden:
        return dict(golden)


def _slices(values: NDArray[np.float32], modality: str) -> list[FileDataset]:
    """Return a series of the golden case: CT in HU, or PET in Bq/ml."""
    is_pet, made = modality == "PT", []
    sop_class = PositronEmissionTomographyImageStorage if is_pet else CTImageStorage
    stored = np.round(values * (1000 if is_pet else 1)).astype(np.int16)
    for index, plane in enumerate(stored):
        ds = header(NAME, sop_class, modality, index + 1)
        ds.SOPInstanceUID = derive_uid("sample", NAME, modality, str(index + 1))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.SeriesInstanceUID = derive_uid("sample", NAME, modality, "series")
        ds.PatientAge, ds.PatientSex = f"{AGE:03.0f}Y", "F"
        ds.BodyPartExamined, ds.SliceThickness = "BRAIN", float(STEP_MM[0])
        grey(ds, plane, bits=16)
        place(ds, NAME, corner(stored.shape, STEP_MM, index), STEP_MM[1:])
        if is_pet:
            pet_facts(ds, len(stored))
            ds.RescaleIntercept, ds.RescaleSlope = 0, f"{BQML_PER_SUV / 1000:.9g}"
        else:
            ds.ImageType, ds.PatientPosition = ["ORIGINAL", "PRIMARY", "AXIAL"], "HFS"
            ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "HU"
            ds.KVP, ds.ConvolutionKernel = 120, "STANDARD"
        made.append(ds)
    return made


@dataclass(frozen=True)
class Left:
    """What a node has made of the study."""

    node: Node
    job: Job
    paths: Mapping[str, Path]

    def report(self) -> Dataset:
        """Return the structured report."""
        return dcmread(self.paths["structured_report"])


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """Send the report first, then the images, and wait for the answer."""
    folder, golden = tmp_path_factory.mktemp("brain"), _golden()
    memory = lab_report(NAME, [("72106-8", "Total score [MMSE]", MEMORY, "{score}")])
    series = [[memory], _slices(golden["ct"], "CT"), _slices(golden["pet"], "PT")]
    for one in series:
        for ds in one:
            ds.PatientName = phantoms.CANARY
    node = Node(folder / "node", ROUTES, f"  results: {{folder: {folder / 'results'}}}\n")
    with running(node):
        for number, one in enumerate(series):
            paths = phantoms.write(one, folder / str(number))
            assert storescu(node.port, paths).returncode == 0
        job = max(node.ended(1, 120), key=lambda job: job.created_at)
        made = {str(one.sop_instance_uid): one.kind for one in node.ledger.results(job.key)}
        found = (folder / "results").rglob("*.dcm")
        yield Left(node, job, {made[path.stem]: path for path in found if path.stem in made})


def _numbers(report: Dataset, unit: str) -> Mapping[str, list[float]]:
    """Return the numbers of a report in a unit, by the code of what they are."""
    found: dict[str, list[float]] = {}
    for group in report.ContentSequence[-1].ContentSequence:
        for item in group.ContentSequence:
            if item.ValueType == "NUM":
                (value,) = item.MeasuredValueSequence
                if value.MeasurementUnitsCodeSequence[0].CodeValue == unit:
                    code = str(item.ConceptNameCodeSequence[0].CodeValue)
                    found.setdefault(code, []).append(float(value.NumericValue))
    return found


def test_all_classes_have_a_probability(left: Left) -> None:
    """Four of them, which add up; the likeliest is that of the golden case or its neighbour."""
    assert left.job.stage is Stage.DELIVERED, left.job.note
    assert set(left.paths) == {"parametric_map", "structured_report", "secondary_capture"}
    percents = _numbers(left.report(), "%")["122157"]
    assert len(percents) == 4
    assert sum(percents) == pytest.approx(100, abs=0.5)


def test_the_report_tells_what_the_model_was_told(left: Left) -> None:
    """The age from the header and the score of memory from the report."""
    assert _numbers(left.report(), "{score}") == {"72106-8": [MEMORY]}
    assert _numbers(left.report(), "a")["121033"] == [AGE]


def test_no_name_reaches_the_log(left: Left) -> None:
    """Nor the score of memory's name."""
    log = left.node.log.read_text()
    assert phantoms.CANARY.split("^", maxsplit=1)[0] not in log
    assert "MMSE" not in log


def test_no_validator_complains(left: Left, tmp_path: Path) -> None:
    """About report, map and picture."""
    paths = list(left.paths.values())
    verdict = validators.validate(paths, tmp_path)
    assert [f"{item.path.name}: {item.tool}: {item.text}" for item in verdict.complaints] == []
    assert [iod.objections(dcmread(path)) for path in paths] == [[]] * 3
