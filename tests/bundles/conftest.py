"""What all tests of shipped models share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Compute as the recipes do."""
    torch.set_num_threads(1)
