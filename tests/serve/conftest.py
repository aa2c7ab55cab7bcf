"""What several files of these tests ask: a window on an empty store, and a house with people."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_ai_node.store.accounts import SqlAccounts
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.schema import migrate
from tests.serve.house import House
from tests.serve.window import Window


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """Return a window on an empty store, which the tests of one file share: it starts slowly."""
    opened = Window(tmp_path_factory.mktemp("window"))
    yield opened
    opened.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Return a node with no accounts."""
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    migrate(database)
    yield House(SqlAccounts(database))
    database.close()
