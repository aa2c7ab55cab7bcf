"""A window that the tests of one file share, so that its children start once."""

from collections.abc import Iterator

import pytest

from tests.serve.window import Window


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """Return a window on an empty store."""
    opened = Window(tmp_path_factory.mktemp("window"))
    yield opened
    opened.close()
