"""Connections to the ledger's database, and the one place where its errors are translated."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, QueuePool, Select, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dicom_ai_node.domain.errors import ConfigError, OutOfResources

T = TypeVar("T")

PATIENCE_SECONDS = 5.0
"""How long to wait for a lock or for a free connection before the answer is "not now"."""

JOT_SECONDS = 0.5
"""How long at most what is only looked at waits for who writes."""

_GLANCE_SECONDS = 0.0003
"""Between two looks whether another process has ended its transaction. SQLite's own waiting begins
with 1 ms and grows to 100, many times what a transaction of ours takes."""
_CHECKPOINT_PAGES = 4000
"""Written ahead before they go to their places: pages that change in every transaction, most of
all, go there once."""

_LOST_A_RACE = frozenset({"40001", "40P01"})  # serialization failure, deadlock detected
_TRIES = 5
_CONNECT_SECONDS = 5


class Collision(OutOfResources):
    """Another process has just written the same row. The same work, begun again, will see it."""


@dataclass(frozen=True, slots=True)
class Database:
    """Three ways into one database. Open it in the process that uses it, never before a fork."""

    write: Engine
    read: Engine
    aside: Engine

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that may write: on SQLite it waits for its turn at the beginning.

        Raises
        ------
        OutOfResources
            If the database is locked, full or gone. Nothing of the transaction has happened, or,
            if the connection broke during the commit, all of it; both are safe to repeat.
        """
        with _translated(), self.write.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads and waits for no writer.

        Raises
        ------
        OutOfResources
            If the database does not answer.
        """
        with _translated(), self.read.begin() as connection:
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a transaction that may write; begin again where another one was faster."""
        for _ in range(_TRIES - 1):
            try:
                with self.writing() as connection:
                    return work(connection)
            except Collision:
                continue
        with self.writing() as connection:
            return work(connection)

    def jot(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a transaction whose commit does not wait for the disk.

        A power cut may take the last of them back, and nothing but them: for what is only looked
        at. It gives up early where others are writing.

        Raises
        ------
        OutOfResources
            As `writing`.
        """
        with _translated(), self.aside.begin() as connection:
            return work(connection)

    def has_any(self, query: Select[Any], values: Mapping[str, object] | None = None) -> bool:
        """Return whether `query` finds anything, without waiting for a writer."""
        with self.reading() as connection:
            return connection.execute(query.limit(1), values).first() is not None

    def close(self) -> None:
        """Close all connections."""
        self.write.dispose()
        self.read.dispose()
        self.aside.dispose()


def database_url(url: str) -> URL:
    """Return `url` in its parts; raise `ConfigError` if it is none."""
    try:
        return make_url(url)
    except ArgumentError as error:
        raise ConfigError("store.database is not a database URL") from error


def open_database(url: str, patience_seconds: float = PATIENCE_SECONDS) -> Database:
    """Return the database at `url`: `sqlite:////folder/ledger.db` or `postgresql://...`.

    Raises
    ------
    ConfigError
        If the URL names no database that the ledger can live in.
    """
    parsed = database_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed, patience_seconds)
        case "postgresql":
            return _postgresql(parsed, patience_seconds)
        case other:
            raise ConfigError(f"store.database: {other} is neither sqlite nor postgresql")


def _sqlite(url: URL, patience_seconds: float) -> Database:
    if not url.database or url.database == ":memory:":
        raise ConfigError("store.database: a ledger in memory would forget; name a file")
    path = Path(url.database)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _made(path)
    except OSError as error:
        raise ConfigError(f"store.database cannot be opened: {error.strerror}") from error

    def engine(
        size: int, begin: Callable[[Connection], None], patience: float, *pragmas: str
    ) -> Engine:
        made = create_engine(
            url.set(drivername="sqlite"),
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=patience,
            connect_args={"timeout": patience, "check_same_thread": False},
            hide_parameters=True,
        )
        event.listen(made, "connect", _prepare(pragmas))
        event.listen(made, "begin", begin)
        return made

    def write(patience: float, *pragmas: str) -> Engine:
        return engine(
            1,
            _begin_to_write(patience),
            patience,
            f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            *pragmas,
            "PRAGMA busy_timeout = 0",  # last: it is we who wait for others from here on
        )

    return Database(
        write=write(patience_seconds),
        read=engine(8, _begin_to_read, patience_seconds, "PRAGMA query_only = ON"),
        # In WAL mode only a checkpoint waits for the disk then; the next commit of `write` takes
        # along what this one has left.
        aside=write(JOT_SECONDS, "PRAGMA synchronous = NORMAL"),
    )


def _made(path: Path) -> None:
    """Make the file of a database if it is not there; SQLite's -wal and -shm get its mode.

    One that is there is not opened: closing it again would release the locks of all connections
    that this process has to it (POSIX), and another process would take it for unused and delete
    the -wal file under them.
    """
    if not path.is_file():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    elif not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _prepare(pragmas: tuple[str, ...]) -> Callable[[Any, object], None]:
    def prepare(connection: Any, _: object) -> None:  # noqa: ANN401
        # We say BEGIN ourselves: the driver's own would wait for the lock in the middle.
        connection.isolation_level = None
        for pragma in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA foreign_keys = ON",
            *pragmas,
        ):
            connection.execute(pragma).close()

    return prepare


def _begin_to_read(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_to_write(patience_seconds: float) -> Callable[[Connection], None]:
    """Return what waits for the turn of a connection at the beginning of its transaction."""

    def begin(connection: Connection) -> None:
        until = monotonic() + patience_seconds
        cursor = connection.connection.cursor()
        while monotonic() < until:
            try:
                cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
                sleep(_GLANCE_SECONDS)
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # once more, for its error

    return begin


def _postgresql(url: URL, patience_seconds: float) -> Database:
    def engine(size: int, patience: float, *options: str) -> Engine:
        return _postgresql_engine(url, size, (_lock_timeout(patience), *options), patience)

    main = engine(4, patience_seconds)
    aside = engine(1, JOT_SECONDS, "-c synchronous_commit=off")
    return Database(write=main, read=main, aside=aside)


def _lock_timeout(seconds: float) -> str:
    return f"-c lock_timeout={round(seconds * 1000)}ms"


def _postgresql_engine(url: URL, size: int, extra: Sequence[str], patience: float) -> Engine:
    options = (
        *extra,
        "-c statement_timeout=60s",
        "-c idle_in_transaction_session_timeout=30s",
        "-c timezone=UTC",
        "-c default_transaction_isolation=read\\ committed",
    )
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=size,
        max_overflow=2 * size,
        pool_timeout=patience,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "tcp_user_timeout": _CONNECT_SECONDS * 1000,  # a server whose machine is gone
            "options": " ".join(options),
        },
        hide_parameters=True,
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Say "not now" for what the database cannot do now; our own mistakes stay visible."""
    try:
        yield
    except IntegrityError as error:
        raise Collision("another process has just written the same row") from error
    except (ProgrammingError, DataError, NotSupportedError):
        raise
    except (DatabaseError, InterfaceError, PoolTimeoutError) as error:
        raise _not_now(error) from error


def _not_now(error: SQLAlchemyError) -> OutOfResources:
    # The driver's own message may quote a row, so only the kind of trouble is passed on.
    cause = getattr(error, "orig", None) or error
    if getattr(cause, "sqlstate", None) in _LOST_A_RACE:
        return Collision("another process was faster")
    return OutOfResources(f"the ledger cannot answer now ({type(cause).__name__})")
