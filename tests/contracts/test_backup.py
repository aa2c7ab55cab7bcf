"""A copy of the ledger while the node goes on, in both databases, and a ledger made of it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from dicom_ai_node.domain.errors import NeedsAttention, OutOfResources
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.store.backup_ledger import copy_ledger, give_back, is_empty, put_ledger
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.promises import promised_studies, still_promised
from dicom_ai_node.store.schema import migrate
from tests.store.made import (
    DAY,
    LEASE,
    NOON,
    QUIET,
    arrival,
    delivered,
    delivering,
    listed,
    results_of,
)
from tests.store.postgres import PostgreSQL

STAGES = (Stage.READY, Stage.INFERRING, Stage.INFERRED, Stage.ENCODING)


@pytest.fixture
def other(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[str]:
    """Return the URL of an empty database of the same kind."""
    if url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path}/other.db"
        return
    server: PostgreSQL = request.getfixturevalue("server")
    server.execute("CREATE DATABASE other")
    yield server.url("other")
    server.execute("DROP DATABASE other WITH (FORCE)")


def filled(ledger: SqlLedger) -> None:
    """Bring a job into every stage in which something is still to be done, and one to its end."""
    delivered(ledger, uid="1.9.1")
    delivering(ledger, "pacs", uid="1.8.1")
    assert ledger.claim_deliveries("pacs", NOON, LEASE), "they are being sent"
    for number in range(1, 5):
        listed(ledger, uid=f"1.{number}.1")
    _inferring, *inferred = ledger.claim(Stage.READY, NOON, LEASE, 3)
    for job in inferred:
        ledger.move(job, Stage.INFERRED, NOON)
    ledger.claim(Stage.INFERRED, NOON, LEASE)


def test_a_copy_goes_on_where_it_was_made(
    url: str, other: str, ledger: SqlLedger, tmp_path: Path
) -> None:
    """Nothing is lost; leases are given back, and what was sent is not forgotten."""
    filled(ledger)
    before = {job.key: job for job in ledger.jobs()}
    with ledger.database.writing() as connection:
        promised = {"study_instance_uid": "1.9", "until": NOON + DAY}
        connection.execute(insert(promised_studies), [promised])
    assert {job.stage for job in before.values()} == {*STAGES, Stage.DELIVERING, Stage.DELIVERED}
    copied = copy_ledger(url, tmp_path / "copy")
    assert {one.sha256 for job in before.values() for one in job.inputs} <= copied.digests
    assert is_empty(other)
    put_ledger(other, tmp_path / "copy")
    assert not is_empty(other)
    database = open_database(other)
    try:
        migrate(database)
        again = SqlLedger(database)
        held = [job for job in before.values() if job.stage in STAGES[1:]]
        assert give_back(database, NOON) == len(held) == 3
        with database.reading() as connection:
            assert still_promised(connection, ["1.8", "1.9"], NOON) == {"1.9"}
        for job in again.jobs():
            was = before[job.key].stage
            assert job.stage is (Stage.READY if was in STAGES[1:] else was)
        states = [one.state for job in before.values() for one in again.deliveries(job.key)]
        assert sorted(map(str, states)) == ["done", "done", "due", "due"]
        assert len(again.claim_deliveries("pacs", NOON, LEASE)) == 2
        stale = next(job for job in held if job.stage is Stage.INFERRING)
        assert not again.move(stale, Stage.INFERRED, NOON), "a worker of before the backup"
        (mine, *_) = again.claim(Stage.READY, NOON, LEASE)
        assert again.move(mine, Stage.INFERRED, NOON)
        (mine,) = again.claim(Stage.INFERRED, NOON, LEASE)
        assert again.commit_results(mine, results_of(mine), ["pacs"], NOON)
    finally:
        database.close()


def test_a_copy_holds_what_was_recorded_before_it_began(
    url: str, ledger: SqlLedger, tmp_path: Path
) -> None:
    """While others write without a pause."""
    database = open_database(url)
    stop, recorded = threading.Event(), []

    def receive() -> None:
        busy = SqlLedger(database)
        while not stop.is_set():
            one = arrival(len(recorded) + 1)
            busy.record([one], NOON, QUIET)
            recorded.append(one.instance.sha256)

    receiver = threading.Thread(target=receive)
    receiver.start()
    try:
        for number in range(3):
            while len(recorded) < 5 * (number + 1):
                stop.wait(0.01)
            before = list(recorded)
            assert set(before) <= copy_ledger(url, tmp_path / f"{number}").digests
    finally:
        stop.set()
        receiver.join()
        database.close()


def test_a_damaged_ledger_is_not_taken_for_a_backup(tmp_path: Path, sqlite_file: Path) -> None:
    """Whoever relies on it would learn so on the worst of all days."""
    content = bytearray(sqlite_file.read_bytes())
    content[4096:8192] = bytes(4096)
    (tmp_path / "ledger.db").write_bytes(content)
    with pytest.raises(NeedsAttention, match="damaged"):
        copy_ledger(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "copy")


@pytest.mark.peer
def test_without_the_client_of_postgresql_it_says_what_to_install(
    server: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node needs no client for its work, only for its backups."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NeedsAttention, match="postgresql-client"):
        copy_ledger(server.url("ledger"), tmp_path / "copy")


@pytest.mark.peer
def test_a_server_that_is_gone_is_not_now(tmp_path: Path) -> None:
    """The next night's backup may succeed."""
    with pytest.raises(OutOfResources, match="does not answer"):
        copy_ledger(f"postgresql://nobody@/nothing?host={tmp_path}", tmp_path / "copy")
