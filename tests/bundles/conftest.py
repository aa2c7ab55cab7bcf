"""What all tests of shipped models share."""

import pytest
import torch

from tests.bundles.models import NO_MATERIAL, SLOW


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Compute as the recipes do."""
    torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)  # before those with a marker are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what takes minutes of a model's material to `make scores`."""
    for item in items:
        call = getattr(item, "callspec", None)
        needs = any(
            mark.kwargs.get("reason") == NO_MATERIAL for mark in item.iter_markers("skipif")
        )
        if needs and call is not None and call.params.get("name") in SLOW:
            item.add_marker(pytest.mark.score)
