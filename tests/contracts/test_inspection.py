"""A ledger is looked at, in both databases, and is as it was."""

from pathlib import Path

import pytest

from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.store.inspection import Inspection
from dicom_ai_node.store.ledger import SqlLedger
from tests.store.made import NOON, delivering


def test_what_a_ledger_says_of_itself(url: str, ledger: SqlLedger) -> None:
    """Its schema, whether it is whole, what it names, and when it last noted something."""
    job = delivering(ledger, "pacs")
    for thorough in (False, True):
        seen = Inspection(url, thorough=thorough)
        assert seen.schema == seen.head
        assert seen.schema in seen.revisions
        assert (seen.damage, seen.newest) == ("", NOON)
        named = {one.sha256 for one in (*job.inputs, *ledger.results(job.key))}
        assert set(seen.digests) == named


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Who looks leaves nothing behind."""
    seen = Inspection(f"sqlite:///{tmp_path}/ledger.db")
    assert (seen.schema, list(tmp_path.iterdir())) == ("", [])


@pytest.mark.peer
def test_a_server_that_is_gone_is_not_now(tmp_path: Path) -> None:
    """The doctor says so in a sentence."""
    with pytest.raises(OutOfResources, match="does not answer"):
        Inspection(f"postgresql://nobody@/nothing?host={tmp_path}")
