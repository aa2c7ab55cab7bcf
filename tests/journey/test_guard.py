"""A manipulated X-ray on its way through a real node: three routes, three wishes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.uids import derive_uid
from tests import phantoms
from tests.attacked import xray
from tests.journey.node import Node, running, storescu, until
from tests.peers import air, iod, validators

ROUTES = "".join(
    f"""\
  - name: {wish}
    when: {{Modality: CR, BodyPartExamined: CHEST}}
    run: classify
    model: pneumonia_cxr
    write: [structured_report, secondary_capture]
    to: [results]
    guard: {wish}
    report_declined: true
"""
    for wish in ("warn", "purify", "refuse")
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Start a node that writes its results into a folder."""
    folder = tmp_path_factory.mktemp("guarded")
    destination = f"  results: {{folder: {folder / 'results'}}}\n"
    with running(Node(folder / "node", ROUTES, destination)) as started:
        yield started


@pytest.mark.peer
def test_a_manipulated_image_is_marked_smoothed_or_declined(node: Node, tmp_path: Path) -> None:
    """All three wishes give a report that names the input; only two give an answer."""
    results = node.folder.parent / "results"
    sent = storescu(node.port, phantoms.write(xray(reach=8, BodyPartExamined="CHEST"), tmp_path))
    assert sent.returncode == 0, sent.stderr
    jobs = {job.route: job for job in node.ended(3)}
    assert {job.stage for job in jobs.values()} == {Stage.DELIVERED}
    said = [event.detail for event in node.ledger.time_line(jobs["refuse"].key)]
    assert any("IN_MANIPULATED" in detail for detail in said)
    paths = until(lambda: _five(results), 30, "all objects are in the folder")
    made = [dcmread(path) for path in paths]
    reports = [item for item in made if item.Modality == "SR"]
    assert len(reports) == 3
    (declined,) = [one for one in reports if _rating(one) == "Non-diagnostic quality"]
    assert len(declined.ContentSequence[-1].ContentSequence) == 1
    limited = [one for one in reports if _rating(one) == "Limited quality"]
    assert len(limited) == 2
    assert sorted(
        "The model saw a smoothed copy of the input" in _texts(one) for one in limited
    ) == [
        False,
        True,
    ]
    for item in made:
        assert iod.objections(item) == []
    assert [it for report in reports for it in air.objections(report)] == []
    verdict = validators.validate(paths, tmp_path)
    assert [f"{it.path.name}: {it.tool}: {it.text}" for it in verdict.complaints] == []


@pytest.mark.peer
def test_an_unharmed_image_is_answered_on_every_route(node: Node, tmp_path: Path) -> None:
    """Nobody is kept waiting for what nobody has changed."""
    study = derive_uid("phantom", "unharmed study")
    image = xray(
        StudyInstanceUID=study,
        SeriesInstanceUID=derive_uid("phantom", "unharmed series"),
        SOPInstanceUID=derive_uid("phantom", "unharmed"),
        BodyPartExamined="CHEST",
    )
    assert storescu(node.port, phantoms.write(image, tmp_path)).returncode == 0

    def ended() -> bool:
        jobs = [job for job in node.jobs() if job.study_instance_uid == study]
        return len(jobs) == 3 and all(job.stage is Stage.DELIVERED for job in jobs)

    assert until(ended, 60, "all three have delivered")
    notes = [
        event.detail
        for job in node.jobs()
        if job.study_instance_uid == study
        for event in node.ledger.time_line(job.key)
    ]
    assert not any("IN_MANIPULATED" in note for note in notes)


def _five(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.dcm"))
    return found if len(found) >= 5 else []


def _texts(report: Dataset) -> list[str]:
    return [
        item.TextValue
        for group in report.ContentSequence[-1].ContentSequence
        for item in group.ContentSequence
        if item.ValueType == "TEXT"
    ]


def _rating(report: Dataset) -> str:
    (rating,) = [
        item.ConceptCodeSequence[0].CodeMeaning
        for group in report.ContentSequence[-1].ContentSequence
        for item in group.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "QUALITY"
    ]
    return str(rating)
