"""A newer version is started on the ledger of an older one, whose queue is full."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from dicom_ai_node.domain.job import ENDED, Stage
from dicom_ai_node.domain.study import Received
from dicom_ai_node.store.engines import Database, open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import is_current, migrate
from tests.contracts.test_backup import filled
from tests.store.made import HOUR, LEASE, NOON, QUIET, arrival, job_for, listed, results_of
from tests.store.older import make_older, revisions

OLDER = revisions()[:-1]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def queue(sqlite_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger with a job in every stage, an open series, and something in quarantine."""
    path = tmp_path_factory.mktemp("queue") / "ledger.db"
    shutil.copy(sqlite_file, path)
    database = open_database(f"sqlite:///{path}")
    ledger = SqlLedger(database)
    ends = (Stage.REJECTED, Stage.PARKED, Stage.QUARANTINED)
    for number, stage in enumerate(ends, start=20):
        listed(ledger, uid=f"1.{number}.1")
        (job,) = ledger.claim(Stage.READY, NOON, LEASE)
        ledger.move(job, stage, NOON, note="its note")
    ledger.cancel(listed(ledger, uid="1.30.1"), "somebody asked", NOON)
    filled(ledger)
    ledger.record([arrival(1, "1.40.1", "1.40")], NOON, QUIET)
    ledger.quarantine(arrival(1).instance.sha256, "it is cut off", "CT1", NOON)
    database.close()
    return path


@pytest.fixture
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Return a database without any table."""
    if request.param == "SQLite":
        database = open_database(f"sqlite:///{tmp_path}/older.db")
        yield database
        database.close()
        return
    server = request.getfixturevalue("server")
    server.execute("CREATE DATABASE older")
    database = open_database(server.url("older"))
    yield database
    database.close()
    server.execute("DROP DATABASE older WITH (FORCE)")


def older(database: Database, revision: str, queue: Path) -> dict[str, Stage]:
    """Make the queue in the schema of a revision; return the stage of each job."""
    source = open_database(f"sqlite:///{queue}")
    try:
        make_older(database, revision, source)
        return {job.key: job.stage for job in SqlLedger(source).jobs((), 1000)}
    finally:
        source.close()


@pytest.mark.parametrize(
    ("empty", "revision"),
    [("SQLite", each) for each in OLDER]
    # Their statements are the same but for v0004; a server takes a while for a new database.
    + [pytest.param("PostgreSQL", each, marks=pytest.mark.peer) for each in OLDER[::4]],
    indirect=["empty"],
)
def test_a_full_queue_survives_an_upgrade(empty: Database, queue: Path, revision: str) -> None:
    """Every job is where it was, with its notes, and each that had not ended comes to its end."""
    before = older(empty, revision, queue)
    assert set(before.values()) == set(Stage) - {Stage.SUPERSEDED}
    migrate(empty)
    ledger = SqlLedger(empty)
    assert {job.key: job.stage for job in ledger.jobs((), 1000)} == before
    (series,) = ledger.due_series(NOON + HOUR)
    assert ledger.complete(series, "quiet", [job_for(series)], [], NOON + HOUR)
    _work_off(ledger)
    stages = {job.key: job.stage for job in ledger.jobs((), 1000)}
    assert len(stages) == len(before) + 1
    assert set(stages.values()) <= ENDED, stages
    assert all(stages[key] is stage for key, stage in before.items() if stage in ENDED)
    assert ledger.record([arrival(1, "1.40.1", "1.40")], NOON, QUIET) == [Received.DUPLICATE]
    assert len(ledger.quarantined()) == 1


def _work_off(ledger: SqlLedger) -> None:
    later = NOON + HOUR
    ledger.reap(later, 9)
    for job in ledger.claim(Stage.READY, later, LEASE, 100):
        assert ledger.move(job, Stage.INFERRED, later)
    for job in ledger.claim(Stage.INFERRED, later, LEASE, 100):
        assert ledger.commit_results(job, results_of(job), ["pacs"], later)
    while due := ledger.claim_deliveries("pacs", later, LEASE, 100):
        for delivery in due:
            assert ledger.delivered(delivery, later)


KILLED = """
import os, signal, sys
from sqlalchemy import event
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.schema import migrate
database, left = open_database(sys.argv[1]), [int(sys.argv[2])]
@event.listens_for(database.write, "after_cursor_execute")
def count(_connection, _cursor, statement, *_):
    left[0] -= statement.lstrip().upper().startswith(("CREATE", "ALTER", "INSERT", "UPDATE"))
    if left[0] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
migrate(database)
"""
"""Migrates a ledger and dies after so many statements that write."""


@pytest.mark.fault
@pytest.mark.parametrize("statements", [3, 40])
def test_a_migration_that_was_killed_is_begun_again(
    tmp_path: Path, queue: Path, statements: int
) -> None:
    """Nothing of it has happened: the older version could go on, and the newer one can begin."""
    url = f"sqlite:///{tmp_path}/older.db"
    database = open_database(url)
    before = older(database, "0001", queue)
    database.close()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, url, str(statements)],
        cwd=ROOT, check=False, capture_output=True, env=environment,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-500:]
    database = open_database(url)
    with database.reading() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0001"
        assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    migrate(database)
    assert {job.key: job.stage for job in SqlLedger(database).jobs((), 1000)} == before
    database.close()
    assert is_current(url)
