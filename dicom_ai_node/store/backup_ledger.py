"""The ledger as a backup takes it along: a copy of one moment, made while the node goes on."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, update

from dicom_ai_node.domain.errors import NeedsAttention, OutOfResources
from dicom_ai_node.domain.job import DeliveryState, Stage
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store import backup_postgresql as postgresql
from dicom_ai_node.store.backup_postgresql import DIGESTS, SCHEMA
from dicom_ai_node.store.engines import Database, database_url, open_database
from dicom_ai_node.store.rows import job_event, moved, write_events
from dicom_ai_node.store.tables import deliveries, jobs

SQLITE = "sqlite"
_UNDER_WAY = (Stage.INFERRING, Stage.INFERRED, Stage.ENCODING)
"""Stages of jobs that need what workers leave beside the ledger, which no backup takes along."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy of the ledger names, and the revision of its schema."""

    schema: str
    digests: frozenset[Sha256]


def kind_of(url: str) -> str:
    """Return `sqlite` or `postgresql`."""
    return database_url(url).get_backend_name()


def copy_ledger(url: str, to: Path) -> Copied:
    """Copy the ledger at `url`, as it is at one moment, into a file.

    Raises
    ------
    NeedsAttention
        If it is damaged, or a program that this takes is not on this machine.
    OutOfResources
        If the database does not answer, or there is no room.
    """
    to.unlink(missing_ok=True)
    if kind_of(url) == SQLITE:
        return _copy_sqlite(url, to)
    return Copied(*postgresql.dump(database_url(url), to))


def _copy_sqlite(url: str, to: Path) -> Copied:
    database = open_database(url)
    try:
        with _answering(), closing(database.read.raw_connection()) as connection:
            source = connection.driver_connection
            with closing(sqlite3.connect(to)) as copy:
                # In one step: of several, each would begin again when somebody has written.
                source.backup(copy)  # type: ignore[union-attr]
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, not three
                return _looked_through(copy)
    finally:
        database.close()
        to.chmod(0o600)


def _looked_through(copy: sqlite3.Connection) -> Copied:
    (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise NeedsAttention("the ledger is damaged, and a copy of it would be no backup")
    (schema,) = copy.execute(SCHEMA).fetchone()
    return Copied(schema, frozenset(Sha256(one) for (one,) in copy.execute(DIGESTS)))


def is_empty(url: str) -> bool:
    """Return whether there is nothing yet where a ledger is to be put; make nothing."""
    parsed = database_url(url)
    if parsed.get_backend_name() == SQLITE:
        return not Path(parsed.database or "").exists()
    return postgresql.is_empty(parsed)


def place_of(url: str) -> str:
    """Return where a ledger in SQLite lies; nothing for one that lies in a server."""
    parsed = database_url(url)
    is_file = parsed.get_backend_name() == SQLITE
    return str(Path(parsed.database or "").resolve()) if is_file else ""


def clear_sqlite(url: str) -> None:
    """Remove what an interrupted restoration has left of a ledger in SQLite, its log above all."""
    parsed = database_url(url)
    if parsed.get_backend_name() == SQLITE:
        for ending in ("", "-wal", "-shm", "-journal"):
            Path(f"{parsed.database}{ending}").unlink(missing_ok=True)


def draft_place(url: str, folder: Path) -> Path:
    """Return where a copy may be written first, so that it comes to its place in one step."""
    parsed = database_url(url)
    if parsed.get_backend_name() == SQLITE:
        return Path(parsed.database or "").with_name(".ledger")
    return folder / ".ledger"


def put_ledger(url: str, copy: Path) -> None:
    """Put a copy of the ledger where there is none.

    Raises
    ------
    NeedsAttention
        If it cannot be used, or a program that this takes is not on this machine.
    """
    parsed = database_url(url)
    if parsed.get_backend_name() != SQLITE:
        postgresql.load(parsed, copy)
        return
    with closing(sqlite3.connect(copy)) as connection:
        _looked_through(connection)
    copy.replace(Path(parsed.database or ""))


def give_back(database: Database, now: datetime) -> int:
    """Give back what was at work when the copy was made, and return how many jobs that were.

    Their models run again: the same job makes the same objects under the same UIDs. An object
    that was being sent is due at once.
    """

    def work(connection: Connection) -> int:
        held = [stage.value for stage in _UNDER_WAY]
        keys = connection.scalars(
            update(jobs)
            .where(jobs.c.stage.in_(held))
            .values(
                stage=Stage.READY.value,
                fence=jobs.c.fence + 1,
                due_at=None,
                lease_until=None,
                progress=0.0,
                doing="",
            )
            .returning(jobs.c.key)
        ).all()
        told = moved(Stage.READY, now, "restored from a backup; the model runs again")
        write_events(connection, [job_event(key, told) for key in keys])
        connection.execute(
            update(deliveries)
            .where(deliveries.c.state == DeliveryState.SENDING.value)
            .values(
                state=DeliveryState.DUE.value,
                fence=deliveries.c.fence + 1,
                due_at=None,
                lease_until=None,
            )
        )
        return len(keys)

    return database.transact(work)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
            raise NeedsAttention("the ledger is damaged, and cannot be copied") from error
        raise OutOfResources(f"the ledger cannot be copied now ({type(error).__name__})") from error
