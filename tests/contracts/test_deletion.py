"""What a person deletes is gone, with its bytes; nothing goes from under a job that is at work."""

import os
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from dicom_ai_node.domain.archive import Level, Query
from dicom_ai_node.domain.errors import IllegalMove, StillNeeded
from dicom_ai_node.domain.job import Job, JobInput, Stage
from dicom_ai_node.domain.study import Received, Series
from dicom_ai_node.domain.uids import JobKey, SeriesInstanceUID, SOPInstanceUID, StudyInstanceUID
from dicom_ai_node.store import tables
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.ledger_delete import SqlDeletion
from dicom_ai_node.store.workitem_tables import workitems
from tests.contracts.test_archive import CT, arrive
from tests.contracts.test_archive import NOW as TODAY
from tests.contracts.test_archive import STUDY as REAL
from tests.store.made import (
    DAY,
    HOUR,
    LEASE,
    NOON,
    QUIET,
    arrival,
    arrived,
    delivered,
    delivering,
    job_for,
    listed,
    stage_of,
)

STUDY, SERIES = StudyInstanceUID("1.2"), SeriesInstanceUID("1.2.1")


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    """Return an empty store."""
    return FolderBlobs(tmp_path / "store")


@pytest.fixture
def deletion(database: Database, blobs: FolderBlobs) -> SqlDeletion:
    """Return what deletes, an hour after noon."""
    return SqlDeletion(database, blobs, lambda: NOON + HOUR)


def _lies(blobs: FolderBlobs, job: Job, at: datetime = NOON) -> list[Path]:
    """Let the bytes of a job's inputs lie in the store since `at`."""
    paths = [blobs.path(each.sha256) for each in job.inputs]
    for path in paths:
        path.write_bytes(b"x")
        os.utime(path, (at.timestamp(), at.timestamp()))
    return paths


def _rows(database: Database) -> dict[str, int]:
    """Return how many rows there are of what."""
    with database.reading() as connection:
        counts = {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in tables.metadata.sorted_tables
        }
    return {name: count for name, count in counts.items() if count}


def test_of_a_study_nothing_is_left_but_what_breaks_the_loop(
    ledger: SqlLedger, database: Database, blobs: FolderBlobs, deletion: SqlDeletion
) -> None:
    """Its instances, job, results, deliveries and bytes; our own UIDs stay known as ours."""
    paths = _lies(blobs, delivered(ledger))
    other = delivered(ledger, uid="1.9.1")
    own = _rows(database)["own_uids"]
    assert deletion.delete(STUDY) == 5
    assert not any(path.exists() for path in paths)
    assert [job.key for job in ledger.jobs()] == [other.key]
    rows = _rows(database)
    assert (rows["instances"], rows["results"], rows["deliveries"], rows["series"]) == (3, 2, 2, 1)
    assert rows["own_uids"] == own
    assert deletion.delete(STUDY) == 0


def test_what_came_lately_stays_in_the_store_for_the_sweep(
    ledger: SqlLedger, blobs: FolderBlobs, deletion: SqlDeletion
) -> None:
    """The same bytes may be arriving at this moment; nobody finds them in the meantime."""
    paths = _lies(blobs, delivered(ledger), at=NOON + HOUR)
    assert deletion.delete(STUDY) == 5
    assert all(path.exists() for path in paths)
    assert ledger.counts()["instances"] == 0


def test_of_what_was_asked_about_a_study_stays_that_it_was_asked(
    ledger: SqlLedger, database: Database, deletion: SqlDeletion
) -> None:
    """A workitem that has ended no longer says about whom it was."""
    delivered(ledger)
    row = {
        "uid": "2.25.1", "state": "COMPLETED", "transaction_uid": "", "data_set": {"00100020": {}},
        "study_instance_uid": STUDY, "patient_id": "J", "changed_at": NOON, "job": None,
        "follows": None, "stage": "", "turn": 0, "is_of_job": False, "is_gone": False,
    }  # fmt: skip
    other = {**row, "uid": "2.25.2", "study_instance_uid": "1.9"}
    with database.writing() as connection:
        connection.execute(insert(workitems), [row, other])
    deletion.delete(STUDY)
    with database.reading() as connection:
        query = select(workitems.c.patient_id, workitems.c.is_gone).order_by(workitems.c.uid)
        assert [tuple(found) for found in connection.execute(query)] == [("", True), ("J", False)]


def test_what_another_study_has_too_stays_in_the_store(
    ledger: SqlLedger, blobs: FolderBlobs, deletion: SqlDeletion
) -> None:
    """A blob goes with its last reader."""
    paths = _lies(blobs, delivered(ledger))
    number = ledger.quarantine(paths[0].name, "x", "CT1", NOON)  # type: ignore[arg-type]
    deletion.delete(STUDY)
    assert [path.exists() for path in paths] == [True, False, False]
    assert number


@pytest.mark.parametrize("moved", [Stage.READY, Stage.INFERRING, Stage.INFERRED, Stage.ENCODING])
def test_a_job_that_is_at_work_or_waits_keeps_its_study(
    ledger: SqlLedger, deletion: SqlDeletion, moved: Stage
) -> None:
    """And says which job it is; nothing has gone."""
    job = listed(ledger)
    if moved is not Stage.READY:
        (claimed,) = ledger.claim(Stage.READY, NOON, LEASE)
        if moved is not Stage.INFERRING:
            ledger.move(claimed, Stage.INFERRED, NOON)
        if moved is Stage.ENCODING:
            ledger.claim(Stage.INFERRED, NOON, LEASE)
    for scope in ((STUDY,), (STUDY, SERIES), (STUDY, SERIES, SOPInstanceUID("1.2.1.1"))):
        with pytest.raises(
            StillNeeded, match=f"{job.name}.*when the job has ended or was cancelled"
        ):
            deletion.delete(*scope)
    assert stage_of(ledger, job) is moved
    assert ledger.counts()["instances"] == 3


def test_results_on_their_way_keep_their_study(ledger: SqlLedger, deletion: SqlDeletion) -> None:
    """Until the last of them has arrived."""
    delivering(ledger, "pacs")
    with pytest.raises(StillNeeded):
        deletion.delete(STUDY)


def test_what_is_arriving_is_not_deleted(ledger: SqlLedger, deletion: SqlDeletion) -> None:
    """It would be there again with the next instance."""
    arrived(ledger, 1)
    for scope in ((STUDY,), (STUDY, SERIES)):
        with pytest.raises(StillNeeded, match="still arriving"):
            deletion.delete(*scope)


def _looks_back(ledger: SqlLedger) -> tuple[Series, Job]:
    """List a job of a study `1.7` that also looks at the series of `STUDY`."""
    first = arrived(ledger, 1, 2)
    ledger.complete(first, "quiet", [], [], NOON)
    later = arrived(ledger, 1, series="1.7.1", study="1.7")
    job = job_for(later, first)
    ledger.complete(later, "quiet", [job], [], NOON)
    return first, job


def test_a_job_of_another_study_that_looks_at_it_keeps_it(
    ledger: SqlLedger, deletion: SqlDeletion
) -> None:
    """A prior is an input like any other."""
    _, job = _looks_back(ledger)
    with pytest.raises(StillNeeded, match=job.name):
        deletion.delete(STUDY)


def test_a_job_that_has_lost_an_input_never_runs_again(
    ledger: SqlLedger, blobs: FolderBlobs, deletion: SqlDeletion
) -> None:
    """It would look at less than it was asked about. Its study stays."""
    _, job = _looks_back(ledger)
    paths = _lies(blobs, job)
    (claimed,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert ledger.move(claimed, Stage.PARKED, NOON, note="a person must look")
    assert deletion.delete(STUDY) == 2
    assert stage_of(ledger, job) is Stage.SUPERSEDED
    assert ledger.time_line(job.key)[-1].detail == "an input was deleted by a person"
    with pytest.raises(IllegalMove):
        ledger.retry(job, NOON)
    assert [path.exists() for path in paths] == [True, False, False]
    assert ledger.counts()["instances"] == 1


def test_a_study_whose_job_a_person_must_look_at_can_be_deleted(
    ledger: SqlLedger, deletion: SqlDeletion
) -> None:
    """To delete it is one way of looking at it; sent again, it is worked on again."""
    job = listed(ledger)
    (claimed,) = ledger.claim(Stage.READY, NOON, LEASE)
    ledger.move(claimed, Stage.PARKED, NOON)
    assert deletion.delete(STUDY) == 3
    assert ledger.job(job.key) is None
    assert listed(ledger, now=NOON + DAY).key == job.key


def test_one_instance_goes_and_the_others_stay(
    ledger: SqlLedger, blobs: FolderBlobs, deletion: SqlDeletion
) -> None:
    """The results of its series too; the last one takes the series with it."""
    job = delivered(ledger)
    paths = _lies(blobs, job)
    for number in (1, 2, 3):
        instance = SOPInstanceUID(f"1.2.1.{number}")
        assert deletion.delete(STUDY, SeriesInstanceUID("1.2.7"), instance) == 0
        assert deletion.delete(StudyInstanceUID("1.3"), SERIES, instance) == 0
        assert deletion.delete(STUDY, SERIES, instance) == 1
        assert ledger.counts()["instances"] == 3 - number
        assert [path.exists() for path in paths] == [False] * number + [True] * (3 - number)
    assert ledger.study(STUDY).series == ()
    assert len(ledger.results(job.key)) == 2


def test_what_was_deleted_can_come_again(ledger: SqlLedger, deletion: SqlDeletion) -> None:
    """It is new, and its series is opened again."""
    delivered(ledger)
    deletion.delete(STUDY, SERIES, SOPInstanceUID("1.2.1.2"))
    assert ledger.record([arrival(2)], NOON + DAY, QUIET) == [Received.NEW]
    (series,) = ledger.due_series(NOON + 2 * DAY)
    assert (series.revision, len(series.instances)) == (3, 3)


def test_a_result_can_be_deleted_like_any_series(ledger: SqlLedger, deletion: SqlDeletion) -> None:
    """Its study and the others stay, and when it comes back it is still known as ours."""
    job = delivered(ledger)
    first, second = ledger.results(job.key)
    assert deletion.delete(STUDY, first.series_instance_uid) == 1
    assert [each.sop_instance_uid for each in ledger.results(job.key)] == [second.sop_instance_uid]
    back = arrival(1, series=str(first.series_instance_uid))
    assert ledger.record([back], NOON, QUIET) == [Received.OURS]
    assert stage_of(ledger, job) is Stage.DELIVERED


def test_what_is_deleted_is_not_found(
    ledger: SqlLedger, database: Database, blobs: FolderBlobs
) -> None:
    """At no level; what is left is."""
    archive, deletion = SqlArchive(database, blobs), SqlDeletion(database, blobs, lambda: TODAY)
    arrive(ledger, blobs, CT)
    arrive(ledger, blobs, CT, uid="1.2.3.7")
    (series,) = ledger.due_series(TODAY + DAY)
    ledger.complete(series, "told so", [], [], TODAY)
    first, second = archive.held(REAL)
    deletion.delete(REAL, first.series_instance_uid, first.sop_instance_uid)
    assert archive.held(REAL) == [second]
    assert len(archive.search(Query(level=Level.STUDY))) == 1
    deletion.delete(REAL, first.series_instance_uid)
    for level in Level:
        assert archive.search(Query(level=level)) == []


def test_an_input_of_a_name_nobody_knows_does_no_harm(
    ledger: SqlLedger, deletion: SqlDeletion
) -> None:
    """A job may name instances that retention has forgotten."""
    series = arrived(ledger, 1)
    made = job_for(series)
    gone = JobInput(
        "prior", SeriesInstanceUID("9.1"), SOPInstanceUID("9.1.1"), made.inputs[0].sha256
    )
    job = Job(
        key=JobKey("f" * 64), route="x", model="x", model_digest=made.model_digest,
        study_instance_uid=STUDY, inputs=(*made.inputs, gone), priority=made.priority,
        created_at=NOON, stage=Stage.READY,
    )  # fmt: skip
    ledger.complete(series, "quiet", [job], [], NOON)
    (claimed,) = ledger.claim(Stage.READY, NOON, LEASE)
    ledger.move(claimed, Stage.REJECTED, NOON)
    assert deletion.delete(StudyInstanceUID("9")) == 0
    assert deletion.delete(STUDY) == 1
