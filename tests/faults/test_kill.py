"""kill -9 of the whole tree, at random moments; row 9 of the matrix does it far more often."""

import random
from pathlib import Path

import pytest

from tests.faults.kills import pull_the_plug

KILLS, STUDIES, SEED = 4, 3, 20261122


@pytest.mark.peer
@pytest.mark.fault
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_done_twice_when_the_plug_is_pulled(tmp_path: Path) -> None:
    """Every acknowledged instance is there with its hash; every result is at the PACS once."""
    assert pull_the_plug(tmp_path, KILLS, STUDIES, random.Random(SEED))
