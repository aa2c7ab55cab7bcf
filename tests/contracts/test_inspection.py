"""A ledger is looked at, in both databases, and is as it was."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.overview import Promised
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.inspection import Inspection, InVain
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.promises import promised_studies
from tests.store.made import DAY, HOUR, NOON, delivered, delivering


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


def test_what_a_ledger_says_of_promises_and_proofs(
    url: str, ledger: SqlLedger, database: Database
) -> None:
    """What was promised until later than now, and what destinations do not show to keep."""
    seen = Inspection(url)
    assert (seen.promised, seen.unproven) == (Promised(studies=0, first_until=None), {})
    delivered(ledger)
    ledger.claim_unproven("pacs", "1.9", NOON, HOUR, 0 * HOUR)
    ledger.refused("1.9", NOON, "it takes none", NOON + HOUR)
    later = datetime.now(UTC).replace(microsecond=0) + HOUR
    rows = [
        {"study_instance_uid": "1.2", "until": later},
        {"study_instance_uid": "1.3", "until": later + DAY},
        {"study_instance_uid": "1.4", "until": datetime.now(UTC) - HOUR},
    ]
    with database.writing() as connection:
        connection.execute(insert(promised_studies), rows)
    seen = Inspection(url)
    assert seen.promised == Promised(studies=2, first_until=later)
    assert seen.unproven == {"pacs": InVain(objects=2, since=NOON, note="it takes none")}


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Who looks leaves nothing behind."""
    seen = Inspection(f"sqlite:///{tmp_path}/ledger.db")
    assert (seen.schema, list(tmp_path.iterdir())) == ("", [])


@pytest.mark.peer
def test_a_server_that_is_gone_is_not_now(tmp_path: Path) -> None:
    """The doctor says so in a sentence."""
    with pytest.raises(OutOfResources, match="does not answer"):
        Inspection(f"postgresql://nobody@/nothing?host={tmp_path}")
