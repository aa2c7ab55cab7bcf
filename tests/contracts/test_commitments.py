"""Storage commitment looks at the disk, answers once and remembers what it said."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_ai_node.domain.commitment import Asked, TransactionKnown
from dicom_ai_node.domain.json_model import items, values
from dicom_ai_node.domain.uids import SOPClassUID, SOPInstanceUID
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.commitments import SqlCommitments
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger import SqlLedger
from tests.contracts.test_archive import CT, NOW, arrive

HEADER = dcmread(CT, stop_before_pixels=True)
ONE = Asked(SOPClassUID(HEADER.SOPClassUID), SOPInstanceUID(HEADER.SOPInstanceUID))
ABSENT = Asked(ONE.sop_class_uid, SOPInstanceUID("1.2.3.4"))


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    """Return an empty store."""
    return FolderBlobs(tmp_path / "store")


@pytest.fixture
def commitments(database: Database, blobs: FolderBlobs) -> SqlCommitments:
    """Return what answers."""
    return SqlCommitments(database, SqlArchive(database, blobs), blobs)


def test_what_is_on_the_disk_is_committed(
    ledger: SqlLedger, blobs: FolderBlobs, commitments: SqlCommitments
) -> None:
    """At once, and what is not here is said to be not here; asked again the answer is the same."""
    arrive(ledger, blobs, CT)
    said = commitments.commit("1.2.9", [ONE, ABSENT], NOW)
    (kept,), (failed,) = items(said, "ReferencedSOPSequence"), items(said, "FailedSOPSequence")
    assert values(kept, "ReferencedSOPInstanceUID") == [ONE.sop_instance_uid]
    assert values(failed, "FailureReason") == [0x0112]
    assert commitments.answer("1.2.9") == said
    assert commitments.answer("1.2.8") is None


@pytest.mark.parametrize("damage", ["gone", "cut short"])
def test_what_is_not_whole_is_not_committed(
    ledger: SqlLedger, blobs: FolderBlobs, commitments: SqlCommitments, damage: str
) -> None:
    """The ledger's word is not enough: somebody deletes their only copy for ours."""
    arrive(ledger, blobs, CT)
    assert items(commitments.commit("1.2.8", [ONE], NOW), "ReferencedSOPSequence")
    (path,) = [one for one in (blobs.path(blob) for blob in _digests(ledger)) if one.exists()]
    path.chmod(0o600)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-10])
    (failed,) = items(commitments.commit("1.2.9", [ONE], NOW), "FailedSOPSequence")
    assert values(failed, "FailureReason") == [0x0110]


def _digests(ledger: SqlLedger) -> list[str]:
    (series,) = ledger.due_series(NOW + timedelta(minutes=1))
    return [instance.sha256 for instance in series.instances]


def test_a_transaction_is_answered_once(commitments: SqlCommitments) -> None:
    """A second request under the same UID is somebody's mistake, PS3.18 13.4.3."""
    commitments.commit("1.2.9", [ABSENT], NOW)
    with pytest.raises(TransactionKnown):
        commitments.commit("1.2.9", [ABSENT], NOW)


def test_answers_are_forgotten_with_the_studies(
    ledger: SqlLedger, commitments: SqlCommitments
) -> None:
    """After `store.keep_days`, as what they were about."""
    commitments.commit("1.2.9", [ABSENT], NOW)
    ledger.forget(NOW)
    assert commitments.answer("1.2.9") is not None
    ledger.forget(NOW + timedelta(days=1))
    assert commitments.answer("1.2.9") is None
