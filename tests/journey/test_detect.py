"""From files to objects with a real network that puts boxes: read, infer, keep, encode, write."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from highdicom import sr
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.boxes import Corners, iou
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.orders import Attempt, InferenceOrder
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.encode.headers import read_sources
from dicom_ai_node.encode.write import encode_job, encoders_for, write_objects
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.worker import Worker
from dicom_ai_node.samples.images import cr_chest
from dicom_ai_node.store.findings import findings_of, keep_findings
from tests import phantoms
from tests.encode import scenes
from tests.journey.node import Node, running, storescu
from tests.model_folders import box_model
from tests.peers import air, iod, validators
from tests.peers.orthanc import Orthanc

SOURCES: Mapping[str, Callable[[], Dataset | Sequence[Dataset]]] = {
    "DX": phantoms.dx,
    "empty DX": lambda: phantoms.dx(PixelData=bytes(96 * 80 * 2)),
    "two CR": scenes.SOURCES["two CR"],
    "US": phantoms.us,
    "US cine": phantoms.us_cine,
}
WRITE = ("presentation_state", "secondary_capture", "structured_report")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one detection takes place."""

    models: Path
    series: tuple[Path, ...]


def _place(tmp_path: Path, source: str) -> Place:
    box_model(tmp_path / "models")
    made = SOURCES[source]()
    series = phantoms.write([made] if isinstance(made, Dataset) else made, tmp_path / "series")
    return Place(tmp_path / "models", tuple(series))


def _objects(
    place: Place, folder: Path, write: Sequence[str] = WRITE, **options: Option
) -> list[Path]:
    """Do what the node does, in a worker and an encoder that have never seen the model."""
    catalog = Catalog([place.models])
    facts = catalog.facts("bright_boxes")
    order = InferenceOrder(
        kind=facts.kind,
        model=facts.name,
        model_digest=facts.digest,
        inputs={"image": place.series},
        options=options,
    )
    attempt = Attempt(job=JobKey("5e" * 32), fence=1, folder=folder, order=order, limit_seconds=60)
    keep_findings(folder / "findings", Worker(catalog, "cpu", threads=1)(attempt))
    findings = findings_of(folder / "findings")
    origin = scenes.origin(read_sources(place.series), model=facts)
    return write_objects(folder / "objects", encode_job(findings, origin, encoders_for(write)))


def _codes(report: Dataset, concept: str) -> list[bool]:
    return [
        any(
            item.ConceptNameCodeSequence[0].CodeValue == concept
            for item in group.ContentSequence
            if "ConceptNameCodeSequence" in item
        )
        for group in report.ContentSequence[-1].ContentSequence
    ]


@pytest.mark.parametrize("source", ["DX", "two CR", "US", "US cine"])
def test_a_series_becomes_graphics_a_picture_and_a_report(source: str, tmp_path: Path) -> None:
    """The report comes last, follows every rule, and tells what was looked for in vain."""
    paths = _objects(_place(tmp_path, source), tmp_path / "one")
    kinds = [path.stem.split("-", 1)[1] for path in paths]
    images = 2 if source == "two CR" else 1
    assert kinds == [kind for kind in WRITE[:2] for _ in range(images)] + [WRITE[2]]
    objects = [dcmread(path) for path in paths]
    assert [complaint for item in objects for complaint in iod.objections(item)] == []
    report = objects[-1]
    assert air.objections(report) == []
    has_region, is_judged = _codes(report, "111030"), _codes(report, "121052")
    assert sum(has_region) >= 1
    assert has_region == [not judged for judged in is_judged]
    assert sum(is_judged) == 1
    drawn = sum(
        len(annotation.GraphicObjectSequence)
        for state in objects[:images]
        for annotation in state.GraphicAnnotationSequence
    )
    assert drawn == sum(has_region)


@pytest.mark.parametrize("source", ["DX", "US cine"])
def test_detecting_again_gives_the_same_bytes(source: str, tmp_path: Path) -> None:
    """An archive sees a duplicate, explanation and all, and not a second opinion."""
    place = _place(tmp_path, source)
    one, other = (
        [path.read_bytes() for path in _objects(place, tmp_path / name)] for name in ("a", "b")
    )
    assert one == other


def test_the_surest_box_is_explained_unless_the_route_does_not_want_it(tmp_path: Path) -> None:
    """The report refers to the picture with the heat."""
    place = _place(tmp_path, "DX")
    explained = dcmread(_objects(place, tmp_path / "one")[-1])
    plain = dcmread(_objects(place, tmp_path / "two", explain=False)[-1])
    assert sum(_codes(explained, "130401")) == 1
    assert sum(_codes(plain, "130401")) == 0


def test_where_nothing_is_found_there_is_a_report_that_says_so(tmp_path: Path) -> None:
    """And a picture, but nothing to lay over the image."""
    place = _place(tmp_path, "empty DX")
    paths = _objects(place, tmp_path / "one")
    assert [path.stem.split("-", 1)[1] for path in paths] == list(WRITE[1:])
    report = dcmread(paths[-1])
    assert air.objections(report) == []
    assert _codes(report, "121052") == [True, True]


@pytest.mark.peer
def test_no_validator_complains_about_what_a_real_network_has_found(tmp_path: Path) -> None:
    """An X-ray and an ultrasound image, from their files to the judges of others."""
    paths = [
        path
        for source in ("DX", "US")
        for path in _objects(_place(tmp_path / source, source), tmp_path / source / "out")
    ]
    verdict = validators.validate(paths, tmp_path)
    assert [f"{item.path.name}: {item.tool}: {item.text}" for item in verdict.complaints] == []
    assert all("dciodvfy" in verdict.checked[path] for path in paths)
    assert sum("pixelmed" in tools for tools in verdict.checked.values()) == 2


ROUTES = """\
  - name: lungs
    when: {Modality: CR}
    run: detect
    model: lung_box_cxr
    write: [presentation_state, structured_report, secondary_capture]
    to: [pacs]
"""
RADIOLOGIST = {
    "Right lung 1": Corners(15.6, 27.1, 430.3, 238.6),
    "Left lung 1": Corners(9.0, 249.1, 441.6, 454.9),
}
"""The boxes that a radiologist drew on the chest X-ray of our samples, by their tracking ID."""


@pytest.mark.peer
def test_a_chest_x_ray_comes_back_with_boxes_around_the_lungs(tmp_path: Path) -> None:
    """One C-STORE in; at the PACS a report, a presentation state and a picture say the same."""
    (image,) = cr_chest()
    image.PatientName = phantoms.CANARY
    paths = phantoms.write(image, tmp_path / "series")
    with Orthanc(tmp_path / "pacs") as pacs:
        destination = f"  pacs: {{ae_title: ORTHANC, host: 127.0.0.1, port: {pacs.dicom_port}}}\n"
        with running(Node(tmp_path / "node", ROUTES, destination)) as node:
            sent = storescu(node.port, paths)
            assert sent.returncode == 0, sent.stderr
            (job,) = node.ended(1)
            assert job.stage is Stage.DELIVERED, job.note
            objects = {it.Modality: it for it in map(pacs.dataset, pacs.instances())}
            assert phantoms.CANARY not in node.log.read_text()
    assert set(objects) == {"PR", "SR", "OT"}
    assert {it.StudyInstanceUID for it in objects.values()} == {image.StudyInstanceUID}
    assert {str(it.PatientName) for it in objects.values()} == {phantoms.CANARY}
    drawn = {
        item.TrackingID: item.GraphicData
        for annotation in objects["PR"].GraphicAnnotationSequence
        for item in annotation.GraphicObjectSequence
    }
    read = sr.Comprehensive3DSR.from_dataset(objects["SR"])
    told = {
        group.tracking_identifier: group.roi.value.ravel()
        for group in read.content.get_planar_roi_measurement_groups()
    }
    assert set(drawn) == set(told) == set(RADIOLOGIST)
    for name, points in told.items():
        assert list(points) == pytest.approx(list(drawn[name]), abs=1e-3)
        left, top, _, _, right, bottom = points[:6]
        assert iou(Corners(top, left, bottom, right), RADIOLOGIST[name]) > 0.7
