"""What both databases promise beneath the ledger: a schema, durability, and an honest "not now"."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, insert, select, text

from dicom_ai_node import compose  # noqa: F401 - whoever composes the node knows all tables
from dicom_ai_node.domain.errors import ConfigError, OutOfResources
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.progress import HowFar, Phase, Progress
from dicom_ai_node.domain.study import Received
from dicom_ai_node.store.engines import Collision, Database, open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import has_ledger, migrate
from dicom_ai_node.store.tables import metadata, own_uids
from tests.faults.failing_sync import CannotTrace, failing_sync
from tests.store.made import LEASE, NOON, QUIET, arrival, listed
from tests.store.postgres import PostgreSQL

ROOT = Path(__file__).parents[2]


def test_the_migrations_lead_to_the_schema_that_the_code_knows(database: Database) -> None:
    """Nobody changes a table without a migration."""
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(database: Database, ledger: SqlLedger) -> None:
    """Every process migrates at its start; what is there stays."""
    ledger.record([arrival(1)], NOON, QUIET)
    migrate(database)
    assert ledger.counts()["instances"] == 1


def _waits_for_the_disk(connection: Connection) -> bool:
    is_sqlite = connection.dialect.name == "sqlite"
    asked = "PRAGMA synchronous" if is_sqlite else "SHOW synchronous_commit"
    said = connection.execute(text(asked)).scalar_one()
    return bool(said in {2, "on"})  # FULL is 2, NORMAL is 1


def test_what_is_only_looked_at_waits_for_no_disk(database: Database) -> None:
    """Everything else does, on the same database and after it, too."""
    assert not database.jot(_waits_for_the_disk)
    assert database.transact(_waits_for_the_disk)


def test_what_is_only_looked_at_gives_way(database: Database, ledger: SqlLedger) -> None:
    """While somebody writes the same row, it says so and has changed nothing."""
    job = listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    told = HowFar(job.key, held.fence, Progress(Phase.RUNNING, 0.5))
    with database.writing() as connection:
        connection.execute(text("UPDATE jobs SET note = 'written'"))
        with pytest.raises(OutOfResources):
            ledger.note_progress([told])
    found = ledger.job(job.key)
    assert found is not None
    assert (found.note, found.doing) == ("written", None)
    ledger.note_progress([told])
    after = ledger.job(job.key)
    assert after is not None
    assert (after.note, after.doing) == ("written", Phase.RUNNING)


@pytest.fixture
def newer(database: Database) -> Iterator[Database]:
    """Return a database that a later version of the node has migrated."""
    with database.writing() as connection:
        (known,) = connection.execute(text("SELECT version_num FROM alembic_version")).one()
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    yield database
    with database.writing() as connection:
        connection.execute(
            text("UPDATE alembic_version SET version_num = :known"), {"known": known}
        )


def test_a_newer_schema_is_refused(newer: Database) -> None:
    """An old binary that was started by mistake does not write into a new ledger."""
    with pytest.raises(ConfigError, match=r"9999.*newer"):
        migrate(newer)


def test_a_migration_that_fails_leaves_nothing(database: Database) -> None:
    """All of it or none of it, so that the next start can try again."""

    def half(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half_done (number INTEGER)"))
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power"):
        database.transact(half)
    with database.reading() as connection:
        assert not connection.dialect.has_table(connection, "half_done")


def test_a_transaction_that_fails_has_not_happened(database: Database, ledger: SqlLedger) -> None:
    """A batch is recorded as a whole or not at all."""

    def half(connection: Connection) -> None:
        connection.execute(insert(own_uids).values(uid="1.2.1.1", made_at=NOON))
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power"):
        database.transact(half)
    assert ledger.record([arrival(1)], NOON, QUIET) == [Received.NEW]


def test_work_that_another_process_was_faster_with_is_begun_again(database: Database) -> None:
    """Two processes that write the same row for the first time both succeed."""
    tries = []

    def work(connection: object) -> str:
        tries.append(1)
        if len(tries) < 3:
            raise Collision("somebody was faster")
        return "done"

    assert database.transact(work) == "done"
    assert len(tries) == 3


def test_work_that_never_gets_its_turn_is_given_back(database: Database) -> None:
    """After some tries the sender is told to come again; nobody hangs."""

    def work(connection: object) -> str:
        raise Collision("somebody was faster")

    with pytest.raises(OutOfResources):
        database.transact(work)


def test_a_row_that_is_there_already_is_a_collision(database: Database) -> None:
    """What the database calls an integrity error is a race that was lost."""
    with database.writing() as connection:
        connection.execute(insert(own_uids).values(uid="1.2", made_at=NOON))
    with pytest.raises(Collision), database.writing() as connection:
        connection.execute(insert(own_uids).values(uid="1.2", made_at=NOON))


def test_a_locked_ledger_says_not_now(url: str, database: Database) -> None:
    """A receiver answers "out of resources" after its patience, it never hangs."""
    SqlLedger(database).record([arrival(1)], NOON, QUIET)
    hasty = open_database(url, patience_seconds=0.2)
    with database.writing() as connection:
        connection.execute(text("UPDATE series SET revision = revision"))
        with pytest.raises(OutOfResources):
            SqlLedger(hasty).record([arrival(2)], NOON, QUIET)
        if connection.dialect.name == "sqlite":
            assert SqlLedger(hasty).counts()["instances"] == 1, "readers wait for no writer"
    assert SqlLedger(hasty).record([arrival(2)], NOON, QUIET) == [Received.NEW]
    hasty.close()


def test_opening_it_again_takes_no_lock_from_those_who_use_it(
    url: str, database: Database, ledger: SqlLedger
) -> None:
    """Another process that comes and goes must not take the ledger for unused, and clear up."""
    come_and_go = (
        "import sys; from dicom_ai_node.store.engines import open_database;"
        "from dicom_ai_node.store.ledger import SqlLedger; d = open_database(sys.argv[1]);"
        "print(SqlLedger(d).counts()['instances']); d.close()"
    )

    def seen_by_another() -> str:
        return subprocess.run(
            [sys.executable, "-c", come_and_go, url],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip

    ledger.record([arrival(1)], NOON, QUIET)
    open_database(url).close()
    assert seen_by_another() == "1"
    ledger.record([arrival(2)], NOON, QUIET)
    assert seen_by_another() == "2"


@pytest.mark.peer
@pytest.mark.fault
def test_a_server_that_crashes_and_returns_is_used_again(server: PostgreSQL) -> None:
    """While PostgreSQL is away the answer is "not now"; afterwards nothing acknowledged is lost."""
    database = open_database(server.url("ledger"))
    ledger = SqlLedger(database)
    before = arrival(1, "1.77.1", "1.77")
    assert ledger.record([before], NOON, QUIET) == [Received.NEW]
    server.stop(signal.SIGQUIT)
    try:
        with pytest.raises(OutOfResources):
            ledger.record([arrival(2, "1.77.1", "1.77")], NOON, QUIET)
        with pytest.raises(OutOfResources):
            ledger.counts()
    finally:
        server.start()
    assert ledger.record([before], NOON, QUIET) == [Received.DUPLICATE]
    database.close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("mysql://host/ledger", "neither sqlite nor postgresql", id="another database"),
        pytest.param("sqlite://", "in memory", id="in memory"),
        pytest.param("sqlite:///:memory:", "in memory", id="in memory by its name"),
        pytest.param("/var/lib/ledger.db", "not a database URL", id="a path"),
        pytest.param(
            "sqlite:////proc/no/ledger.db", "cannot be opened", id="a folder that cannot be"
        ),
    ],
)
def test_a_url_that_is_no_home_for_a_ledger_is_refused(url: str, why: str) -> None:
    """The operator learns at the start what is wrong with `store.database`."""
    with pytest.raises(ConfigError, match=why):
        open_database(url)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"this is a text file" * 100, id="a file that was never a database"),
        pytest.param(None, id="a database whose first page was overwritten"),
    ],
)
def test_a_damaged_ledger_is_refused(
    tmp_path: Path, sqlite_file: Path, content: bytes | None
) -> None:
    """The node does not start on a broken file, and says what to do."""
    path = tmp_path / "ledger.db"
    path.write_bytes(content or bytes(4096) + sqlite_file.read_bytes()[4096:])
    database = open_database(f"sqlite:///{path}")
    with pytest.raises(ConfigError, match="backup"):
        migrate(database)
    database.close()


def test_nobody_else_can_read_the_ledger(tmp_path: Path) -> None:
    """The file holds attributes of patients' images: only the node's account opens it."""
    path = tmp_path / "new" / "ledger.db"
    database = open_database(f"sqlite:///{path}")
    migrate(database)
    files = list(path.parent.iterdir())
    assert {file.name for file in files} >= {"ledger.db", "ledger.db-wal"}
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
    database.close()


def test_sqlite_is_durable_and_checks_references(tmp_path: Path, sqlite_file: Path) -> None:
    """Write-ahead log, an fsync per commit, foreign keys; readers cannot write."""
    database = open_database(f"sqlite:///{shutil.copy(sqlite_file, tmp_path)}")
    with database.writing() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert found == ["wal", 2, 1, 0]  # it waits for its turn itself, when it begins
    with database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
    with pytest.raises(OutOfResources), database.reading() as connection:
        connection.execute(insert(own_uids).values(uid="1.2", made_at=NOON))
    database.close()


def test_sqlite_waits_for_its_turn_and_no_longer_than_its_patience(
    tmp_path: Path, sqlite_file: Path
) -> None:
    """Who writes a little later than another gets its turn; who waits too long is told so."""
    path = shutil.copy(sqlite_file, tmp_path)
    patient, hasty = (open_database(f"sqlite:///{path}", each) for each in (30, 0.1))
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutOfResources, match="cannot answer now"):
        hasty.transact(lambda connection: connection.execute(insert(own_uids).values(_OWN)))
    ends = Timer(0.3, other.execute, ["COMMIT"])
    ends.start()
    patient.transact(lambda connection: connection.execute(insert(own_uids).values(_OWN)))
    ends.join()
    with patient.reading() as connection:
        assert connection.execute(select(own_uids.c.uid)).all() == [("1.2",)]
    other.close()
    patient.close()
    hasty.close()


_OWN = {"uid": "1.2", "made_at": NOON}
_RECORDER = """
import os, resource, signal, sys
from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from tests.store.made import LEASE, NOON, QUIET, arrival, listed

database = open_database(sys.argv[1])
ledger = SqlLedger(database)
end, number = sys.argv[2], 0
if end == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
while number < 2000:
    batch = [arrival(n, Detail="x" * 200 + str(n)) for n in range(number, number + 20)]
    if end == "inside" and number == 100:
        def die(connection):
            from dicom_ai_node.store.intake import Intake
            intake = Intake.opened(connection, batch)
            [intake.take(each) for each in batch]
            intake.write(connection, NOON, NOON)
            os.kill(os.getpid(), signal.SIGKILL)
        database.transact(die)
    try:
        ledger.record(batch, NOON, QUIET)
    except OutOfResources as error:
        print("not now", flush=True)
        break
    number += 20
    print(number, flush=True)
    if end == "after" and number == 100:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.fault
@pytest.mark.parametrize(
    "end",
    [
        pytest.param("inside", id="it is killed inside the transaction"),
        pytest.param("after", id="it is killed after the commit"),
        pytest.param("full", id="the disk of the ledger is full"),
    ],
)
def test_what_was_acknowledged_is_there_and_nothing_else(
    tmp_path: Path, sqlite_file: Path, end: str
) -> None:
    """However a receiver ends, its ledger holds exactly the instances that it has answered for."""
    url = f"sqlite:///{shutil.copy(sqlite_file, tmp_path)}"
    ended = subprocess.run(
        [sys.executable, "-c", _RECORDER, url, end],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == (0 if end == "full" else -9), ended.stderr
    answers = ended.stdout.split("\n")[:-1]
    assert (answers[-1] == "not now") is (end == "full")
    acknowledged = max(int(each) for each in answers if each.isdigit())
    assert 0 < acknowledged < 2000
    database = open_database(url)
    ledger = SqlLedger(database)
    assert ledger.counts()["instances"] == acknowledged
    after = [arrival(n, Detail="x" * 200 + str(n)) for n in range(acknowledged + 20)]
    received = ledger.record(after, NOON, QUIET)
    assert received == [Received.DUPLICATE] * acknowledged + [Received.NEW] * 20
    database.close()


_UNLUCKY = """
import sys
from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import migrate
from tests.faults.failing_sync import be_traced
from tests.store.made import NOON, QUIET, arrival
be_traced()
ledger = SqlLedger(open_database("sqlite:///" + sys.argv[1]))
migrate(ledger.database)
for number in (1, 2, 2, 3):
    try:
        said = ledger.record([arrival(number)], NOON, QUIET)
    except OutOfResources as error:
        said = error
    print(number, said, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.peer
@pytest.mark.fault
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("is_killed", [False, True], ids=["goes on", "is killed"])
def test_a_commit_that_does_not_reach_the_disk_is_none(
    tmp_path: Path, error: str, is_killed: bool
) -> None:
    """It says "not now", nobody sees what was in it, and the same again is taken.

    SQLite has written it to its log before, and finds it there if nobody is left who knows better:
    then the instance that was refused is there after all, and sent again it is a duplicate.
    """
    file = tmp_path / "node.db"
    with subprocess.Popen(
        [sys.executable, "-c", _UNLUCKY, str(file)], cwd=ROOT, text=True, bufsize=1,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert "new" in process.stdout.readline().lower()
        try:
            with failing_sync(process.pid, [file, tmp_path / "node.db-wal"], error) as count:
                process.stdin.write("\n")
                assert "the ledger cannot answer now" in process.stdout.readline()
                assert count() == 1, "a sync was tried again"
                assert _instances(file) == 1
                if is_killed:
                    process.kill()
        except CannotTrace as missing:
            process.kill()
            if os.environ.get("CI") == "true":
                pytest.fail(str(missing))
            pytest.skip(str(missing))
        if not is_killed:
            process.stdin.write("\n\n\n")
            said = process.stdout.read()
            assert (said.count("Received.NEW"), said.count("Received")) == (2, 2), said
    ledger = SqlLedger(open_database(f"sqlite:///{file}"))
    assert ledger.counts()["instances"] == (2 if is_killed else 3)
    was = ledger.record([arrival(2), arrival(3)], NOON, QUIET)
    assert list(was) == (
        [Received.DUPLICATE, Received.NEW] if is_killed else [Received.DUPLICATE] * 2
    )
    assert ledger.counts()["instances"] == 3
    ledger.database.close()


def _instances(file: Path) -> int:
    """Return how many instances another process sees."""
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("SELECT count(*) FROM instances").fetchone()[0])


def test_looking_for_a_ledger_makes_none(tmp_path: Path) -> None:
    """Whoever asks about a node that has never run leaves no file behind."""
    path = tmp_path / "node" / "ledger.db"
    assert not has_ledger(f"sqlite:///{path}")
    assert not path.parent.exists()


def test_a_ledger_is_there_once_it_has_tables(tmp_path: Path, sqlite_file: Path) -> None:
    """An empty file is no ledger."""
    empty = tmp_path / "empty.db"
    empty.touch()
    assert not has_ledger(f"sqlite:///{empty}")
    assert has_ledger(f"sqlite:///{sqlite_file}")
