"""From files to objects with a real network that classifies: read, infer, keep, encode, write."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.orders import Attempt, InferenceOrder
from dicom_ai_node.domain.pictures import Explained
from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.encode.headers import read_sources
from dicom_ai_node.encode.write import encode_job, encoders_for, write_objects
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.worker import Worker
from dicom_ai_node.store.findings import findings_of, keep_findings
from tests import phantoms
from tests.encode import scenes
from tests.model_folders import class_model
from tests.peers import air, iod, validators

SOURCES: Mapping[str, tuple[str, Callable[[], Dataset | Sequence[Dataset]]]] = {
    "CR": ("frames", phantoms.cr),
    "two CR": ("frames", scenes.SOURCES["two CR"]),
    "US": ("frames", phantoms.us),
    "US cine": ("frames", phantoms.us_cine),
    "one MR slice": ("slices", lambda: phantoms.mr(slices=1)),
    "MR": ("slices", phantoms.mr),
}
WRITE = ("segmentation", "structured_report", "secondary_capture")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one classification takes place."""

    models: Path
    series: tuple[Path, ...]


def _place(tmp_path: Path, source: str) -> Place:
    sees, make = SOURCES[source]
    class_model(tmp_path / "models", sees=sees)
    made = make()
    series = phantoms.write([made] if isinstance(made, Dataset) else made, tmp_path / "series")
    return Place(tmp_path / "models", tuple(series))


def _objects(place: Place, folder: Path, write: Sequence[str] = WRITE) -> list[Path]:
    """Do what the node does, in a worker and an encoder that have never seen the model."""
    catalog = Catalog([place.models])
    facts = catalog.facts("bright_cxr")
    order = InferenceOrder(
        kind=facts.kind,
        model=facts.name,
        model_digest=facts.digest,
        inputs={"image": place.series},
        options={},
    )
    attempt = Attempt(job=JobKey("5e" * 32), fence=1, folder=folder, order=order, limit_seconds=60)
    keep_findings(folder / "findings", Worker(catalog, "cpu", threads=1)(attempt))
    findings = findings_of(folder / "findings")
    origin = scenes.origin(read_sources(place.series), model=facts)
    return write_objects(folder / "objects", encode_job(findings, origin, encoders_for(write)))


def _kinds(paths: Sequence[Path]) -> list[str]:
    return [path.stem.split("-", 1)[1] for path in paths]


@pytest.mark.parametrize("source", SOURCES)
def test_a_series_becomes_a_picture_and_a_report(source: str, tmp_path: Path) -> None:
    """The report comes last, and follows every rule; there is nothing to segment."""
    paths = _objects(_place(tmp_path, source), tmp_path / "one")
    pictures = 2 if source == "two CR" else 1
    assert _kinds(paths) == ["secondary_capture"] * pictures + ["structured_report"]
    objects = [dcmread(path) for path in paths]
    assert [complaint for item in objects for complaint in iod.objections(item)] == []
    report = objects[-1]
    assert air.objections(report) == []
    groups = report.ContentSequence[-1].ContentSequence
    percents = [
        float(item.MeasuredValueSequence[0].NumericValue)
        for group in groups
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    ]
    assert len(percents) == 2
    assert sum(percents) == pytest.approx(100, abs=0.5)
    presence = [
        item.ConceptCodeSequence[0].CodeMeaning
        for group in groups
        for item in group.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "121052"
    ]
    # The model reports pneumonia from 40 % on.
    is_present = percents[0] >= 40
    assert presence == (["Present", "Absent"] if is_present else ["Absent", "Present"])
    explained = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in groups[0 if is_present else 1].ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "130401"
    }
    assert explained == {item.SOPInstanceUID for item in objects[:-1]}


@pytest.mark.parametrize(
    "explain",
    [
        {"method": "grad_cam", "layer": "layer3"},
        {"method": "integrated_gradients"},
        {"method": "occlusion"},
    ],
    ids=lambda explain: explain["method"],
)
def test_the_slice_that_speaks_for_a_stack_is_named_and_shown_and_mapped(
    explain: Mapping[str, str], tmp_path: Path
) -> None:
    """Report, picture and parametric map are all about the same image."""
    settings = {"most_certain_of": "Pneumonia", "explain": explain}
    class_model(tmp_path / "models", sees="slices", settings=settings)
    series = phantoms.write(phantoms.mr(), tmp_path / "series")
    write = ["structured_report", "parametric_map", "secondary_capture"]
    place = Place(tmp_path / "models", tuple(series))
    heat, picture, report = map(dcmread, _objects(place, tmp_path / "one", write))
    assert [complaint for item in (heat, picture) for complaint in iod.objections(item)] == []
    assert air.objections(report) == []
    named = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for group in report.ContentSequence[-1].ContentSequence
        for item in group.ContentSequence
        if item.ValueType == "IMAGE"
    } - {heat.SOPInstanceUID, picture.SOPInstanceUID}
    (frame,) = heat.PerFrameFunctionalGroupsSequence
    (mapped,) = frame.DerivationImageSequence[0].SourceImageSequence
    (shown,) = picture.SourceImageSequence
    assert named == {mapped.ReferencedSOPInstanceUID} == {shown.ReferencedSOPInstanceUID}
    assert heat.ContentDescription.startswith(Explained(explain["method"]).words)


@pytest.mark.parametrize("source", ["CR", "US cine", "MR"])
def test_classifying_again_gives_the_same_bytes(source: str, tmp_path: Path) -> None:
    """An archive sees a duplicate, heat map and all, and not a second opinion."""
    place = _place(tmp_path, source)
    one, other = (
        [path.read_bytes() for path in _objects(place, tmp_path / name)] for name in ("a", "b")
    )
    assert one == other


def test_a_route_that_asks_for_a_segmentation_alone_gets_nothing(tmp_path: Path) -> None:
    """There is none to write; that is no failure of the job."""
    assert _objects(_place(tmp_path, "CR"), tmp_path / "one", ["segmentation"]) == []


def test_a_report_alone_shows_no_picture(tmp_path: Path) -> None:
    """It refers only to what is there."""
    (path,) = _objects(_place(tmp_path, "CR"), tmp_path / "one", ["structured_report"])
    report = dcmread(path)
    assert air.objections(report) == []
    assert "130401" not in {
        item.ConceptNameCodeSequence[0].CodeValue
        for group in report.ContentSequence[-1].ContentSequence
        for item in group.ContentSequence
    }


@pytest.mark.peer
def test_no_validator_complains_about_what_a_real_network_has_said(tmp_path: Path) -> None:
    """An X-ray, an ultrasound image and a slice, from their files to the judges of others."""
    paths = [
        path
        for source in ("CR", "US", "one MR slice")
        for path in _objects(_place(tmp_path / source, source), tmp_path / source / "out")
    ]
    verdict = validators.validate(paths, tmp_path)
    assert [f"{item.path.name}: {item.tool}: {item.text}" for item in verdict.complaints] == []
    assert all("dciodvfy" in verdict.checked[path] for path in paths)
    assert sum("pixelmed" in tools for tools in verdict.checked.values()) == 3
