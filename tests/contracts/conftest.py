"""An empty ledger in each database that the node can use."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_ai_node.store.engines import Database, open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import migrate
from dicom_ai_node.store.tables import metadata
from tests.store.postgres import PostgreSQL, postgresql


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file that has been migrated once for all tests."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    database = open_database(f"sqlite:///{path}")
    migrate(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """Run one PostgreSQL with a migrated database named `ledger`."""
    with postgresql() as running:
        migrated(running)
        yield running


def migrated(server: PostgreSQL) -> None:
    """Make the database `ledger` of a server."""
    server.execute("CREATE DATABASE ledger")
    database = open_database(server.url("ledger"))
    migrate(database)
    database.close()


def emptied(server: PostgreSQL) -> str:
    """Empty the database `ledger` of a server, and return its URL."""
    names = ", ".join(table.name for table in metadata.sorted_tables)
    server.execute(f"TRUNCATE {names} RESTART IDENTITY", "ledger")
    return server.url("ledger")


@pytest.fixture(
    params=[
        pytest.param("sqlite", id="SQLite"),
        pytest.param("postgresql", id="PostgreSQL", marks=pytest.mark.peer),
    ]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a migrated, empty database is."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        shutil.copy(request.getfixturevalue("sqlite_file"), path)
        return f"sqlite:///{path}"
    return emptied(request.getfixturevalue("server"))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Return a migrated, empty database."""
    database = open_database(url)
    yield database
    database.close()


@pytest.fixture
def ledger(database: Database) -> SqlLedger:
    """Return an empty ledger."""
    return SqlLedger(database)
