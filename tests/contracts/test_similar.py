"""What the ledger promises about images that look alike, in SQLite and in PostgreSQL.

In PostgreSQL with pgvector, too, where the database itself looks for them.
"""

import inspect
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy import inspect as schema_of

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.similar import Similar
from dicom_ai_node.domain.uids import SeriesInstanceUID, StudyInstanceUID
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import migrate
from tests.contracts.conftest import emptied, migrated
from tests.store.made import (
    DAY,
    LEASE,
    MINUTE,
    NOON,
    QUIET,
    arrival,
    arrived,
    job_for,
    listed,
    placed,
    sha,
    towards,
)
from tests.store.postgres import PostgreSQL, postgresql, with_pgvector

MODEL = sha("model")
"""The digest of the model of every job in `tests.store.made`."""


@pytest.fixture(scope="module")
def with_vectors() -> Iterator[PostgreSQL]:
    """Run a PostgreSQL whose operator has said `CREATE EXTENSION vector`."""
    with postgresql(with_pgvector) as running:
        migrated(running)
        running.execute("CREATE EXTENSION vector", "ledger")
        yield running


@pytest.fixture(
    params=[
        pytest.param("sqlite", id="SQLite"),
        pytest.param("server", id="PostgreSQL", marks=pytest.mark.peer),
        pytest.param("with_vectors", id="pgvector", marks=pytest.mark.peer),
    ]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a migrated, empty database is."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        shutil.copy(request.getfixturevalue("sqlite_file"), path)
        return f"sqlite:///{path}"
    return emptied(request.getfixturevalue(request.param))


def near(ledger: SqlLedger, uid: str, count: int = 5) -> Sequence[str]:
    """Return the studies that are like a study or series."""
    return [one.study_instance_uid for one in ledger.similar(StudyInstanceUID(uid), MODEL, count)]


def test_it_is_what_the_port_asks_for() -> None:
    """Every method of the port is there, and can be called as the port says."""
    for name, asked in inspect.getmembers(Similar, inspect.isfunction):
        if not name.startswith("_"):
            there = inspect.signature(getattr(SqlLedger, name)).parameters
            assert list(there) == list(inspect.signature(asked).parameters), name


def test_the_nearest_study_comes_first(ledger: SqlLedger) -> None:
    """With the cosine between the two, its modality and when it came; never the study itself."""
    for uid, angle in (("1.1.1", 0), ("1.2.1", 60), ("1.3.1", 20), ("1.4.1", 180)):
        placed(ledger, uid, angle)
    first, second, third = ledger.similar(StudyInstanceUID("1.1"), MODEL, 5)
    assert (first.study_instance_uid, first.series_instance_uid) == ("1.3", "1.3.1")
    assert first.score == pytest.approx(np.cos(np.radians(20)), abs=1e-6)
    assert (first.modality, first.received_at) == ("CT", NOON)
    assert second.score == pytest.approx(0.5, abs=1e-6)
    assert (third.study_instance_uid, third.score) == ("1.4", pytest.approx(-1, abs=1e-6))


def test_pgvector_looks_by_itself(
    database: Database, ledger: SqlLedger, request: pytest.FixtureRequest
) -> None:
    """Where it is installed no direction leaves the database; elsewhere each one does."""
    placed(ledger, "1.1.1", 0)
    placed(ledger, "1.2.1", 10)
    said: list[str] = []
    event.listen(database.read, "before_cursor_execute", lambda *told: said.append(told[2]))
    assert near(ledger, "1.1") == ["1.2"]
    is_theirs = "[pgvector]" in request.node.name
    asked = [each for each in said if "embeddings.vector" in each]
    assert asked
    assert all(("<#>" in each) == is_theirs for each in asked)


EARLY = {
    *("series", "instances", "embeddings", "series_patients", "waits", "jobs", "job_inputs"),
    *("results", "deliveries", "own_uids", "quarantine", "events", "alembic_version"),
}
"""The tables of schema 0004."""


def _without_archive(connection: Connection) -> None:
    """Undo schema 0005 and all that came later."""
    known = schema_of(connection).get_sorted_table_and_fkc_names()
    for table in reversed([name for name, _ in known if name]):
        if table not in EARLY:
            connection.execute(text(f"DROP TABLE {table}"))
    connection.execute(text("DROP INDEX ix_jobs_newest"))
    connection.execute(text("ALTER TABLE jobs DROP COLUMN doing"))
    for index in ("transaction_uid", "unproven"):
        connection.execute(text(f"DROP INDEX ix_deliveries_{index}"))
    for column in ("transaction_uid", "asked", "lost", "unproven_since"):
        connection.execute(text(f"ALTER TABLE deliveries DROP COLUMN {column}"))
    for table in ("instances", "results"):
        connection.execute(text(f"DROP INDEX ix_{table}_not_indexed"))
        connection.execute(text(f"ALTER TABLE {table} DROP COLUMN is_indexed"))


def test_what_an_older_version_has_placed_is_still_found(
    database: Database, ledger: SqlLedger
) -> None:
    """Until schema 0003 directions were bytes in PostgreSQL, too; its update keeps them."""
    for uid, angle in (("1.1.1", 0), ("1.2.1", 60), ("1.3.1", 20)):
        placed(ledger, uid, angle)
    with database.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE embeddings DROP vector, ADD vector bytea"))
            for uid, angle in (("1.1.1", 0), ("1.2.1", 60), ("1.3.1", 20)):
                told = {"uid": uid, "bytes": towards(angle).astype("<f4").tobytes()}
                change = "UPDATE embeddings SET vector = :bytes WHERE series_instance_uid = :uid"
                connection.execute(text(change), told)
        _without_archive(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    migrate(database)
    first, second = ledger.similar(StudyInstanceUID("1.1"), MODEL, 5)
    assert (first.study_instance_uid, second.study_instance_uid) == ("1.3", "1.2")
    assert second.score == pytest.approx(0.5, abs=1e-6)


def test_a_series_can_be_asked_about_alone(ledger: SqlLedger) -> None:
    """What is near the other series of its study does not count then."""
    for uid, angle in (("1.1.1", 0), ("1.1.2", 90), ("1.2.1", 10), ("1.3.1", 80)):
        placed(ledger, uid, angle)
    assert near(ledger, "1.1.1") == ["1.2", "1.3"]
    assert near(ledger, "1.1.2") == ["1.3", "1.2"]


def test_a_study_is_as_near_as_its_nearest_series(ledger: SqlLedger) -> None:
    """However many of its series are near, it is told once, and makes room for others."""
    placed(ledger, "1.1.1", 0)
    for number in range(1, 12):
        placed(ledger, f"1.2.{number}", number)
    placed(ledger, "1.3.1", 50)
    found = ledger.similar(StudyInstanceUID("1.1"), MODEL, 2)
    assert [one.series_instance_uid for one in found] == ["1.2.1", "1.3.1"]


def test_no_more_are_told_than_were_asked_for(ledger: SqlLedger) -> None:
    """The nearest of them."""
    for number in range(1, 6):
        placed(ledger, f"1.{number}.1", 10 * number)
    assert near(ledger, "1.1", 2) == ["1.2", "1.3"]
    assert near(ledger, "1.1", 0) == []


def test_nothing_is_like_what_was_never_placed(ledger: SqlLedger) -> None:
    """A study that is not here, or that is still at work, has no neighbours."""
    placed(ledger, "1.1.1", 0)
    listed(ledger, uid="1.2.1")
    assert near(ledger, "1.2") == []
    assert near(ledger, "9.9") == []
    assert near(ledger, "1.1") == []
    told = [ledger.is_placed(StudyInstanceUID(uid), MODEL) for uid in ("1.1", "1.2", "9.9")]
    assert told == [True, False, False]
    assert ledger.is_placed(SeriesInstanceUID("1.1.1"), MODEL)


def test_what_another_model_has_placed_is_not_compared(ledger: SqlLedger) -> None:
    """Two encoders do not speak of the same directions."""
    placed(ledger, "1.1.1", 0)
    placed(ledger, "1.2.1", 0)
    assert ledger.similar(StudyInstanceUID("1.1"), sha("another"), 5) == []
    assert not ledger.is_placed(StudyInstanceUID("1.1"), sha("another"))


def test_a_series_that_has_grown_is_placed_anew(ledger: SqlLedger) -> None:
    """The late slice made another job; its place replaces the first."""
    placed(ledger, "1.1.1", 0)
    placed(ledger, "1.2.1", 10)
    placed(ledger, "1.3.1", 50)
    ledger.record([arrival(9, "1.2.1", "1.2")], NOON, QUIET)
    (series,) = ledger.study(StudyInstanceUID("1.2")).series
    assert ledger.complete(series, "quiet", [job_for(series)], [], NOON)
    (job,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert ledger.place(job, towards(90), "", NOON)
    assert near(ledger, "1.1") == ["1.3", "1.2"]


def test_who_was_given_up_places_nothing(ledger: SqlLedger) -> None:
    """A worker that was lost and comes back finds its fence stale."""
    listed(ledger, uid="1.1.1")
    (job,) = ledger.claim(Stage.READY, NOON, LEASE)
    ledger.reap(NOON + 2 * MINUTE, 3)
    assert not ledger.place(job, towards(0), "", NOON)
    assert not ledger.is_placed(StudyInstanceUID("1.1"), MODEL)


def test_the_same_again_is_the_same(ledger: SqlLedger) -> None:
    """The power may go after the place is kept and before the job has moved."""
    listed(ledger, uid="1.1.1")
    (job,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert ledger.place(job, towards(0), "", NOON)
    assert ledger.place(job, towards(0), "", NOON)
    placed(ledger, "1.2.1", 10)
    assert near(ledger, "1.2") == ["1.1"]


def test_a_study_that_is_forgotten_is_like_nothing(ledger: SqlLedger) -> None:
    """Its rows go with it in one transaction: a question a moment later does not find it."""
    placed(ledger, "1.1.1", 0)
    placed(ledger, "1.2.1", 1)
    arrived(ledger, 4, series="1.1.2", study="1.1", now=NOON + 2 * DAY)
    assert near(ledger, "1.1") == ["1.2"]
    assert ledger.forget(NOON + DAY).studies == 1
    assert near(ledger, "1.1") == []
    assert not ledger.is_placed(StudyInstanceUID("1.2"), MODEL)


def past(ledger: SqlLedger, uid: str, count: int = 5) -> list[str]:
    """Return the earlier studies of the same patient that are like a series."""
    found = ledger.priors(SeriesInstanceUID(uid), MODEL, count)
    return [one.study_instance_uid for one in found]


def test_the_past_of_a_patient_is_told_by_how_alike_it_looks(ledger: SqlLedger) -> None:
    """With the middle instance of the series that is nearest; other patients are none of it."""
    for uid, angle, patient in (
        ("1.1.1", 40, "A"), ("1.2.1", 80, "A"), ("1.2.2", 10, "A"), ("1.3.1", 0, "B"),
        ("1.4.1", 0, ""), ("1.5.1", 0, "A"),
    ):  # fmt: skip
        placed(ledger, uid, angle, patient, now=NOON + int(uid[2]) * MINUTE)
    first, second = ledger.priors(SeriesInstanceUID("1.5.1"), MODEL, 5)
    assert (first.study_instance_uid, first.series_instance_uid) == ("1.2", "1.2.2")
    assert first.score == pytest.approx(np.cos(np.radians(10)), abs=1e-6)
    assert first.sha256 == sha("1.2.2.2", "")
    assert second.study_instance_uid == "1.1"
    assert past(ledger, "1.5.1", 1) == ["1.2"]


def test_who_does_not_say_who_it_is_has_no_past(ledger: SqlLedger) -> None:
    """Neither has a series that is not here or was never placed, or was by another model."""
    placed(ledger, "1.1.1", 0, "")
    placed(ledger, "1.2.1", 0, "")
    placed(ledger, "1.3.1", 0, "A")
    listed(ledger, uid="1.4.1")
    assert [past(ledger, uid) for uid in ("1.2.1", "1.3.1", "1.4.1", "9.9.9")] == [[]] * 4
    assert ledger.priors(SeriesInstanceUID("1.3.1"), sha("another"), 5) == []


@pytest.mark.parametrize(
    ("earlier", "later", "is_past"),
    [
        pytest.param("20240101", "20240201", True, id="by the date of the study"),
        pytest.param("20240301", "20240201", False, id="what came first may have been made later"),
        pytest.param("20240201", "20240201", True, id="of one day, by when it came"),
        pytest.param("", "20240201", True, id="without a date, by when it came"),
    ],
)
def test_the_past_is_what_was_before(
    ledger: SqlLedger, earlier: str, later: str, is_past: bool
) -> None:
    """A study that is read again must not name its own future."""
    placed(ledger, "1.1.1", 0, "A", StudyDate=earlier)
    placed(ledger, "1.2.1", 0, "A", now=NOON + MINUTE, StudyDate=later)
    assert past(ledger, "1.2.1") == (["1.1"] if is_past else [])
    assert past(ledger, "1.1.1") == ([] if is_past else ["1.2"])


def test_a_study_that_is_forgotten_is_nobodys_past(ledger: SqlLedger) -> None:
    """It is gone from the index in the same transaction."""
    placed(ledger, "1.1.1", 0, "A")
    placed(ledger, "1.2.1", 1, "A", now=NOON + 2 * DAY)
    assert past(ledger, "1.2.1") == ["1.1"]
    assert ledger.forget(NOON + DAY).studies == 1
    assert past(ledger, "1.2.1") == []
