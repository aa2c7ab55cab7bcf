"""A restored image from C-STORE to C-STORE: what the PACS gets lies where its source lies."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.image import Frames
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.model import Sees
from dicom_ai_node.infer.read import read_series
from dicom_ai_node.samples.studies import write_samples
from tests.journey.node import Node, running, storescu, until
from tests.model_folders import restore_model
from tests.peers.orthanc import Orthanc
from tests.peers.validators import validate
from tests.phantoms import CANARY

ROUTES = """\
  - name: ct
    when: {Modality: CT}
    run: restore
    model: CT_MODEL
    write: [derived_image, secondary_capture]
    to: [pacs]
  - name: pet
    when: {Modality: PT}
    run: restore
    model: PET_MODEL
    write: [derived_image]
    to: [pacs]
  - name: finer
    when: {Modality: MR}
    run: restore
    model: finer_mr
    write: [derived_image]
    to: [pacs]
"""
MODELS = {"CT_MODEL": "ct_denoise", "PET_MODEL": "pet_denoise"}
SAMPLES = ("ct-head", "pet-brain", "mr-hippocampus")


@dataclass
class Ward:
    """A node with its PACS, and what has been sent to the node."""

    node: Node
    pacs: Orthanc
    folder: Path

    def sent(self, sample: str) -> list[Dataset]:
        """Return the instances of a sample, in their order."""
        found = [dcmread(path) for path in (self.folder / "samples" / sample).iterdir()]
        return sorted(found, key=lambda item: int(item.InstanceNumber))

    def derived(self, sample: str) -> list[Dataset]:
        """Return the derived instances of a sample that the PACS has, in their order."""
        study, modality = self.sent(sample)[0].StudyInstanceUID, self.sent(sample)[0].Modality
        every = [self.pacs.dataset(uid) for uid in self.pacs.instances()]
        found = [i for i in every if i.StudyInstanceUID == study and i.Modality == modality]
        return sorted(found, key=lambda item: int(item.InstanceNumber))


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Send a CT, a PET and an MR through a node to a PACS; the patients bear the canary's name."""
    folder = tmp_path_factory.mktemp("restored")
    models = folder / "models"
    restore_model(models)
    finer = {"factor": 2, "largest_change": 0.1, "derivation": ["113085", "DCM", "Resampling"]}
    restore_model(models, name="finer_mr", settings=finer)
    paths = [path for path in write_samples(folder / "samples") if path.parent.name in SAMPLES]
    for path in paths:
        dataset = dcmread(path)
        dataset.PatientName = CANARY
        dataset.save_as(path)
    routes = ROUTES
    for word, name in MODELS.items():
        routes = routes.replace(word, name)
    with Orthanc(folder / "pacs") as pacs:
        destination = f"  pacs: {{ae_title: ORTHANC, host: 127.0.0.1, port: {pacs.dicom_port}}}\n"
        node = Node(folder / "node", routes, destination, infer=f", models: [{models}]")
        with running(node):
            assert storescu(node.port, paths).returncode == 0
            jobs = node.ended(3)
            assert {job.stage for job in jobs} == {Stage.DELIVERED}, [job.note for job in jobs]
            yield Ward(node, pacs, folder)


@pytest.mark.peer
@pytest.mark.parametrize("sample", ["ct-head", "pet-brain"])
def test_every_slice_comes_back_in_its_place(ward: Ward, sample: str) -> None:
    """Of the same class, in the same frame of reference and place, with other pixels."""
    for source, derived in zip(ward.sent(sample), ward.derived(sample), strict=True):
        assert derived.SOPClassUID == source.SOPClassUID
        assert derived.SeriesInstanceUID != source.SeriesInstanceUID
        assert str(derived.PatientName) == CANARY
        for keyword in (
            "FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
            "Rows", "Columns", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth",
        ):  # fmt: skip
            assert derived.get(keyword) == source.get(keyword), keyword
        is_empty = int(np.ptp(source.pixel_array)) == 0
        assert np.array_equal(derived.pixel_array, source.pixel_array) == is_empty


@pytest.mark.peer
@pytest.mark.parametrize("sample", ["ct-head", "pet-brain"])
def test_what_is_measured_is_what_was_measured(ward: Ward, sample: str, tmp_path: Path) -> None:
    """The mean is kept within a hundredth: HU of the CT, SUV of the PET from its own header."""
    before, after = (
        _read(items, tmp_path / name)
        for name, items in (("before", ward.sent(sample)), ("after", ward.derived(sample)))
    )
    assert after.unit == before.unit
    assert after.unit == {"ct-head": "[hnsf'U]", "pet-brain": "g/ml{SUVbw}"}[sample]
    mean = float(before.array.mean(dtype=np.float64))
    assert after.array.mean(dtype=np.float64) == pytest.approx(mean, rel=0.01)


@pytest.mark.peer
def test_a_finer_image_covers_what_the_coarse_one_covered(ward: Ward, tmp_path: Path) -> None:
    """Twice the rows and columns of half the size: the corners of the image stay in the patient."""
    for source, derived in zip(
        ward.sent("mr-hippocampus"), ward.derived("mr-hippocampus"), strict=True
    ):
        assert (derived.Rows, derived.Columns) == (2 * source.Rows, 2 * source.Columns)
        assert np.allclose(np.multiply(derived.PixelSpacing, 2), source.PixelSpacing)
        quarter = np.multiply(source.PixelSpacing, 0.25)
        moved = np.subtract(source.ImagePositionPatient, derived.ImagePositionPatient)
        assert np.allclose(moved, [quarter[1], quarter[0], 0], atol=1e-5)


@pytest.mark.peer
def test_no_validator_complains_about_what_the_pacs_has(ward: Ward, tmp_path: Path) -> None:
    """One image of each kind, and the picture that compares."""
    objects = [ward.derived(sample)[3] for sample in SAMPLES]
    objects += [i for i in map(ward.pacs.dataset, ward.pacs.instances()) if i.Modality == "OT"]
    assert len(objects) == len(SAMPLES) + 1
    paths = []
    for number, item in enumerate(objects):
        paths.append(tmp_path / f"{number}.dcm")
        item.save_as(paths[-1], enforce_file_format=True)
    verdict = validate(paths, tmp_path)
    assert [f"{item.path.name}: {item.tool}: {item.text}" for item in verdict.complaints] == []


@pytest.mark.peer
def test_a_derived_series_that_comes_back_is_not_derived_again(ward: Ward, tmp_path: Path) -> None:
    """It has the modality that the route asks for; by its UIDs the node knows it for its own."""
    jobs = {job.key for job in ward.node.jobs()}
    paths = []
    for sample in SAMPLES:
        for number, item in enumerate(ward.derived(sample)):
            paths.append(tmp_path / f"{sample}-{number}.dcm")
            item.save_as(paths[-1], enforce_file_format=True)
    assert storescu(ward.node.port, paths, calling="PACS").returncode == 0
    until(lambda: ward.node.ledger.counts().get("series.open", 0) == 0, 30, "all series settled")
    assert {job.key for job in ward.node.jobs()} == jobs
    assert ward.node.ledger.counts()["series.ours"] == len(SAMPLES)


@pytest.mark.peer
def test_nobody_is_named_in_the_log(ward: Ward) -> None:
    """Not by the node, whatever it did with the pixels."""
    assert CANARY not in ward.node.log.read_text()


def _read(items: list[Dataset], folder: Path) -> Frames:
    folder.mkdir()
    paths = []
    for number, item in enumerate(items):
        paths.append(folder / f"{number}.dcm")
        item.save_as(paths[-1], enforce_file_format=True)
    image = read_series(paths, Sees.SLICES, options={"allow_derived": True})
    assert isinstance(image, Frames)
    return image
