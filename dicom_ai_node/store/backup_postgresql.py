"""A ledger in PostgreSQL, by the client programs of PostgreSQL: pg_dump and pg_restore."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import IsolationLevel
from sqlalchemy import URL

from dicom_ai_node.domain.errors import NeedsAttention, OutOfResources
from dicom_ai_node.domain.uids import Sha256

SCHEMA = "SELECT version_num FROM alembic_version"
DIGESTS = (
    "SELECT sha256 FROM instances UNION SELECT sha256 FROM job_inputs"
    " UNION SELECT sha256 FROM results UNION SELECT sha256 FROM quarantine"
)
"""What a ledger of any version names; the readers of `ledger_forget`."""

_CONNECT_SECONDS = 5


def dump(url: URL, to: Path) -> tuple[str, frozenset[Sha256]]:
    """Dump a database into a file, and return its schema and what it names at that moment.

    Raises
    ------
    NeedsAttention
        If pg_dump is not on this machine, or cannot dump this database.
    OutOfResources
        If the database does not answer.
    """
    program = _program("pg_dump")
    with closing(_connected(url)) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        snapshot = "" if row is None else row[0]
        # 0600 from the first byte on.
        os.close(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        options = ("--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}")
        _ran(program, url, *options, f"--file={to}")
        (schema,) = connection.execute(SCHEMA).fetchone() or ("",)
        digests = frozenset(Sha256(one) for (one,) in connection.execute(DIGESTS))
    return schema, digests


def load(url: URL, dumped: Path) -> None:
    """Put a dump into an empty database; all of it or nothing.

    Raises
    ------
    NeedsAttention
        If pg_restore is not on this machine, or cannot do it.
    """
    options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
    _ran(_program("pg_restore"), url, *options, str(dumped))


def is_empty(url: URL) -> bool:
    """Return whether a database has no tables.

    Raises
    ------
    OutOfResources
        If it does not answer.
    """
    asked = "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() LIMIT 1"
    with closing(_connected(url)) as connection:
        return connection.execute(asked).fetchone() is None


@contextmanager
def looking(url: URL) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
    """Open a database to look at it only.

    Raises
    ------
    OutOfResources
        If it does not answer.
    """
    with closing(_connected(url)) as connection:
        connection.read_only = True
        yield connection


def _connected(url: URL) -> "psycopg.Connection[tuple[Any, ...]]":
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        return psycopg.connect(plain, connect_timeout=_CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        raise OutOfResources("the database does not answer") from error


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NeedsAttention(
            f"the ledger is in PostgreSQL, and {name} is not on this machine: install the client"
            " of the server's version or a newer one (on Debian postgresql-client)"
        )
    return found


def _ran(program: str, url: URL, *options: str) -> None:
    # Everybody may read a command line, so the password goes by the environment. What the
    # program says is not passed on: it may quote a row.
    named = URL.create(
        "postgresql", url.username, None, url.host, url.port, url.database, url.query
    ).render_as_string()
    known: dict[str, str] = {} if url.password is None else {"PGPASSWORD": str(url.password)}
    done = subprocess.run(  # noqa: S603 - found on the PATH of the operator, no shell
        [program, f"--dbname={named}", *options],
        stdin=subprocess.DEVNULL, capture_output=True, check=False, env={**os.environ, **known},
    )  # fmt: skip
    if done.returncode:
        mismatch = b"version mismatch" in done.stderr
        why = "it is older than the server" if mismatch else f"it ended with {done.returncode}"
        raise NeedsAttention(f"{Path(program).name} could not do its work: {why}")
