"""The whole main job through real sockets: DCMTK sends, the node works, Orthanc receives."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node import compose
from dicom_ai_node.compose import SHIPPED_MODELS
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.domain.audit import AuditFilter, Kind
from dicom_ai_node.domain.destination import WebPeer
from dicom_ai_node.domain.findings import Segmentation
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.orders import Attempt, InferenceOrder
from dicom_ai_node.domain.uids import JobKey, SOPInstanceUID
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.worker import Worker
from dicom_ai_node.samples.studies import write_samples
from tests.journey.node import Node, running, storescu, until
from tests.peers.orthanc import Orthanc
from tests.peers.tools import free_port
from tests.peers.validators import validate, volumes
from tests.phantoms import CANARY
from tests.watch.audit_schema import objections

REAL_HEAD = Path(__file__).parents[3] / "shared" / "material" / "dicom" / "ct-head-ge-28"
"""A head CT as it came from the scanner, where the published data lie beside the repository."""

ROUTES = """\
  - name: head
    when: {Modality: CT}
    run: segment
    model: ct_tissue
    write: [segmentation, structured_report, secondary_capture]
    to: [pacs]
  - name: hippocampus
    when: {Modality: MR}
    run: segment
    model: hippocampus_mr
    write: [segmentation, structured_report, secondary_capture]
    to: [pacs]
  - name: fetal-head
    when: {Modality: US}
    run: segment
    model: fetal_head_us
    write: [segmentation_labelmap, structured_report, secondary_capture]
    to: [pacs]
"""


@dataclass
class Ward:
    """A hospital in small: a node, its PACS, and the studies to be sent."""

    node: Node
    pacs: Orthanc
    samples: dict[str, list[Path]]

    def objects(self) -> list[Dataset]:
        """Return everything that the PACS has."""
        return [self.pacs.dataset(uid) for uid in self.pacs.instances()]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Start a node and a PACS; every patient bears the canary's name."""
    folder = tmp_path_factory.mktemp("ward")
    samples: dict[str, list[Path]] = {}
    for study in sorted({path.parent for path in write_samples(folder / "samples")}):
        paths = sorted(study.iterdir())
        for path in paths:
            dataset = dcmread(path)
            dataset.PatientName = CANARY
            dataset.save_as(path)
        samples[study.name] = paths
    if REAL_HEAD.is_dir():
        samples[REAL_HEAD.name] = []
        for path in sorted(REAL_HEAD.glob("*.dcm")):
            dataset = dcmread(path)
            dataset.PatientName = CANARY
            samples[REAL_HEAD.name].append(folder / path.name)
            dataset.save_as(samples[REAL_HEAD.name][-1])
    with Orthanc(folder / "pacs") as pacs:
        destination = f"  pacs: {{ae_title: ORTHANC, host: 127.0.0.1, port: {pacs.dicom_port}}}\n"
        with running(Node(folder / "node", ROUTES, destination)) as node:
            yield Ward(node, pacs, samples)


@pytest.mark.peer
def test_a_head_ct_comes_back_as_segmentation_report_and_picture(ward: Ward) -> None:
    """A modality sends by C-STORE, and the PACS has SEG, SR and SC of the same study."""
    sent = storescu(ward.node.port, ward.samples["ct-head"])
    assert sent.returncode == 0, sent.stderr
    (job,) = [job for job in ward.node.ended(1) if job.route == "head"]
    assert job.stage is Stage.DELIVERED, job.note
    source = dcmread(ward.samples["ct-head"][0], stop_before_pixels=True)
    found = {it.Modality: it for it in ward.objects()}
    assert set(found) == {"SEG", "SR", "OT"}
    assert {it.StudyInstanceUID for it in found.values()} == {source.StudyInstanceUID}
    assert {str(it.PatientName) for it in found.values()} == {CANARY}
    assert found["SEG"].FrameOfReferenceUID == source.FrameOfReferenceUID
    assert found["SR"].VerificationFlag == "UNVERIFIED"
    assert all(it.ContentQualification == "RESEARCH" for it in found.values())


@pytest.mark.peer
@pytest.mark.parametrize(
    ("study", "model"),
    [
        pytest.param("mr-hippocampus", "hippocampus_mr", id="of an upright volume"),
        pytest.param("ct-head", "ct_tissue", id="of slices that are tilted and unevenly spaced"),
        pytest.param(REAL_HEAD.name, "ct_tissue", id="of a head CT as the scanner sent it"),
    ],
)
def test_an_independent_reader_decodes_the_very_mask(
    ward: Ward, tmp_path: Path, study: str, model: str
) -> None:
    """What dcmqi reads from the object in the PACS is what the model drew, voxel for voxel."""
    if study not in ward.samples:
        pytest.skip("the published data lie beside the repository or not at all")
    assert storescu(ward.node.port, ward.samples[study]).returncode == 0
    until(lambda: study in _studies_with_results(ward), 120, "the result has arrived")
    (segmentation,) = [
        it for it in ward.objects() if it.Modality == "SEG" and _is_of(it, ward, study)
    ]
    drawn = _drawn_by(model, ward.samples[study])
    path = tmp_path / "seg.dcm"
    _stand_upright(segmentation, [frame.sop_instance_uid for frame in drawn.sources])
    segmentation.save_as(path)
    # What was not found is left out of the object, so that its numbers are not the model's.
    value_of = {segment.label: segment.number for segment in drawn.segments}
    called = {item.SegmentNumber: item.SegmentLabel for item in segmentation.SegmentSequence}
    found = volumes(path, tmp_path)
    assert {value_of[called[number]] for number in found} == set(np.unique(drawn.labels)) - {0}
    for number, (decoded, affine) in found.items():
        value = value_of[called[number]]
        first = round(affine[2, 3])  # 1 mm from slice to slice: z is the index
        expected = drawn.labels[first : first + len(decoded)] == value
        np.testing.assert_array_equal(decoded > 0, expected)
        assert expected.sum() == (drawn.labels == value).sum() > 0


def _drawn_by(model: str, paths: list[Path]) -> Segmentation:
    """Return what the model draws on these files when it is asked without any node around it."""
    catalog = Catalog([SHIPPED_MODELS])
    order = InferenceOrder(
        kind="segment",
        model=model,
        model_digest=catalog.facts(model).digest,
        inputs={"image": tuple(paths)},
        options={},
    )
    attempt = Attempt(job=JobKey(""), fence=1, folder=Path(), order=order, limit_seconds=60)
    drawn = Worker(catalog, "cpu", warm=[model])(attempt).segmentation
    assert drawn
    return drawn


def _stand_upright(segmentation: Dataset, order: list[SOPInstanceUID]) -> None:
    """Put the frames of a copy 1 mm apart on one axis, in the order of their sources.

    dcmqi makes a volume only of evenly spaced slices that are not sheared. That the positions
    themselves are those of the sources is another test; the pixels stay as they were sent.
    """
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    frames = segmentation.PerFrameFunctionalGroupsSequence
    for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
        if keyword not in shared:  # every slice stands for a thickness of its own
            setattr(shared, keyword, getattr(frames[0], keyword))
            for frame in frames:
                delattr(frame, keyword)
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence[0].PixelSpacing = [1, 1]
    shared.PixelMeasuresSequence[0].SpacingBetweenSlices = 1
    for frame in frames:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        index = order.index(source.ReferencedSOPInstanceUID)
        frame.PlanePositionSequence[0].ImagePositionPatient = [0, 0, index]


@pytest.mark.peer
def test_each_frame_lies_where_its_source_lies(ward: Ward) -> None:
    """A segmentation of a tilted head stands on the very planes of its slices."""
    (segmentation,) = [
        it for it in ward.objects() if it.Modality == "SEG" and _is_of(it, ward, "ct-head")
    ]
    places = {
        it.SOPInstanceUID: it.ImagePositionPatient
        for it in (dcmread(path, stop_before_pixels=True) for path in ward.samples["ct-head"])
    }
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert place == pytest.approx(places[source.ReferencedSOPInstanceUID])


def _is_of(it: Dataset, ward: Ward, modality: str) -> bool:
    source = dcmread(ward.samples[modality][0], stop_before_pixels=True)
    return bool(it.StudyInstanceUID == source.StudyInstanceUID)


def _studies_with_results(ward: Ward) -> set[str]:
    return {
        modality
        for modality in ward.samples
        for it in ward.objects()
        if it.Modality == "OT" and _is_of(it, ward, modality)
    }


@pytest.mark.peer
def test_the_same_study_again_makes_no_second_result(ward: Ward) -> None:
    """A re-send is answered with success and starts nothing."""
    assert storescu(ward.node.port, ward.samples["mr-hippocampus"]).returncode == 0
    until(lambda: "mr-hippocampus" in _studies_with_results(ward), 120, "the result has arrived")
    before = {job.key for job in ward.node.jobs()}
    assert storescu(ward.node.port, ward.samples["mr-hippocampus"]).returncode == 0
    until(lambda: ward.node.ledger.counts().get("series.open", 0) == 0, 30, "all series settled")
    assert {job.key for job in ward.node.jobs()} == before


@pytest.mark.peer
def test_a_result_that_comes_back_starts_nothing(ward: Ward, tmp_path: Path) -> None:
    """A PACS that forwards everything cannot make the node run in circles."""
    before = {job.key for job in ward.node.jobs()}
    paths = []
    for index, it in enumerate(ward.objects()):
        it.save_as(tmp_path / f"{index}.dcm")
        paths.append(tmp_path / f"{index}.dcm")
    assert storescu(ward.node.port, paths, calling="PACS").returncode == 0
    until(lambda: ward.node.ledger.counts().get("series.open", 0) == 0, 30, "all series settled")
    assert {job.key for job in ward.node.jobs()} == before
    assert ward.node.ledger.counts()["series.ours"] == len(paths)


@pytest.mark.peer
def test_late_slices_supersede_the_result(ward: Ward, tmp_path: Path) -> None:
    """Three slices that come later make one newer result that replaces the first."""
    paths = []
    for index, path in enumerate(ward.samples["mr-hippocampus"]):
        dataset = dcmread(path)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(dataset, keyword, f"{getattr(dataset, keyword)}.9"[-64:])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        paths.append(tmp_path / f"{index}.dcm")
        dataset.save_as(paths[-1])
    before = len(ward.node.jobs())
    paths.sort(key=lambda path: float(dcmread(path).ImagePositionPatient[2]))
    assert storescu(ward.node.port, paths[:-3]).returncode == 0
    first = ward.node.ended(before + 1)[0]
    assert storescu(ward.node.port, paths[-3:]).returncode == 0
    second = ward.node.ended(before + 2)[0]
    assert second.supersedes == first.key
    assert second.stage is Stage.DELIVERED
    reports = {it.SOPInstanceUID: it for it in ward.objects() if it.Modality == "SR"}
    made = {
        key: next(r for r in ward.node.ledger.results(key) if r.kind == "structured_report")
        for key in (first.key, second.key)
    }
    newer = reports[made[second.key].sop_instance_uid]
    (replaced,) = newer.PredecessorDocumentsSequence
    (series,) = replaced.ReferencedSeriesSequence
    (report,) = series.ReferencedSOPSequence
    assert report.ReferencedSOPInstanceUID == made[first.key].sop_instance_uid


@pytest.mark.peer
def test_a_cine_and_still_ultrasound_images_come_back(ward: Ward) -> None:
    """Ultrasound has no frame of reference, and its cine is one multi-frame object."""
    before = len(ward.node.jobs())
    assert storescu(ward.node.port, ward.samples["us-cine"]).returncode == 0
    assert storescu(ward.node.port, ward.samples["us-fetal-head-2nd"]).returncode == 0
    ended = [job for job in ward.node.ended(before + 2) if job.route == "fetal-head"]
    assert {job.stage for job in ended} == {Stage.DELIVERED}, [job.note for job in ended]
    # Orthanc of Debian 12 takes no label maps by C-STORE, so it gets the binary form.
    results = {r.sop_instance_uid for job in ended for r in ward.node.ledger.results(job.key)}
    made = [it for it in ward.objects() if it.Modality == "SEG" and it.SOPInstanceUID in results]
    assert {it.SegmentationType for it in made} == {"BINARY"}
    assert {int(it.NumberOfFrames) for it in made} == {1, 24}


@pytest.mark.peer
def test_what_comes_by_http_is_worked_on_like_what_comes_by_dimse(
    ward: Ward, tmp_path: Path
) -> None:
    """STOW-RS in, and the very findings that another node has of the study by C-STORE."""
    assert storescu(ward.node.port, ward.samples["ct-head"]).returncode == 0
    until(lambda: "ct-head" in _studies_with_results(ward), 120, "the result has arrived")
    study = [path for path in write_samples(tmp_path / "samples") if path.parent.name == "ct-head"]
    port = free_port()
    with Orthanc(tmp_path / "pacs") as pacs:
        destination = f"  pacs: {{ae_title: ORTHANC, host: 127.0.0.1, port: {pacs.dicom_port}}}\n"
        serve = f"serve: {{port: {port}, login: none}}\n"
        with running(Node(tmp_path / "node", ROUTES, destination, extra=serve)) as node:
            sender = WebSender(WebPeer(url=f"http://127.0.0.1:{port}/dicom-web"))
            assert sender.send(study) == [""] * len(study)
            (job,) = node.ended(1)
            assert job.stage is Stage.DELIVERED, job.note
            # The same instances once more, by the other way: nothing new.
            assert storescu(node.port, study).returncode == 0
            assert node.ledger.counts()["instances"] == len(study)
        found = {it.Modality: it for it in map(pacs.dataset, pacs.instances())}
    assert set(found) == {"SEG", "SR", "OT"}
    (other,) = [it for it in ward.objects() if it.Modality == "SEG" and _is_of(it, ward, "ct-head")]
    assert found["SEG"].PixelData == other.PixelData
    assert found["SEG"].StudyInstanceUID == other.StudyInstanceUID


@pytest.mark.peer
def test_every_object_in_the_pacs_passes_every_validator(ward: Ward, tmp_path: Path) -> None:
    """Real sources, real models, real sockets: zero errors in what a radiologist would open."""
    paths = []
    for it in ward.objects():
        paths.append(tmp_path / f"{it.Modality}-{it.SOPInstanceUID}.dcm")
        it.save_as(paths[-1])
    verdict = validate(paths, tmp_path)
    assert verdict.complaints == []
    assert len(verdict.checked) == len(paths) > 0


@pytest.mark.peer
def test_nothing_about_the_patient_is_left_outside_of_the_objects(ward: Ward) -> None:
    """The canary's name is in no log, no ledger row and no file but the stored objects."""
    assert ward.node.stop() == 0
    name = CANARY.split("^")[0].encode()
    objects = ward.node.folder / "store" / "blobs"
    leaks = [
        path
        for path in ward.node.folder.rglob("*")
        if path.is_file() and objects not in path.parents and name in path.read_bytes()
    ]
    assert not leaks
    assert any(name in path.read_bytes() for path in objects.rglob("*") if path.is_file())


@pytest.mark.peer
def test_every_audit_message_of_the_journey_is_as_the_standard_says(ward: Ward) -> None:
    """What the node has told of all of this, PS3.15 A.5, and the chain of it is whole."""
    ward.node.stop()
    auditor = compose.auditor(compose.settings(ward.node.config))
    auditor.seal_all()
    told = [one.message for one in auditor.trail.oldest_first(AuditFilter())]
    assert {
        Kind.APPLICATION_ACTIVITY, Kind.INSTANCES_TRANSFERRED, Kind.BEGIN_TRANSFERRING,
    } <= {one.kind for one in told}  # fmt: skip
    assert [no for one in told for no in objections(one.text, one.kind)] == []
    assert auditor.verify().broken is None
