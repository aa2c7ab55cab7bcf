"""Storage commitment from the archive's index and the disk; answers are remembered."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import JSON, Column, Connection, Table, Text, delete, insert, select

from dicom_ai_node.domain.archive import Header, Held
from dicom_ai_node.domain.commitment import Asked, TransactionKnown, answered
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.columns import Instant
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.tables import metadata

commitments = Table(
    "commitments",
    metadata,
    Column("transaction_uid", Text, primary_key=True),
    Column("answered_at", Instant, nullable=False, index=True),
    Column("answer", JSON, nullable=False),
)

_AT_ONCE = 500


class SqlCommitments:
    """Answers requests; implements `domain.commitment.Commitments`."""

    def __init__(self, database: Database, archive: SqlArchive, blobs: FolderBlobs) -> None:
        self._database = database
        self._archive = archive
        self._blobs = blobs

    def commit(self, transaction_uid: str, asked: Sequence[Asked], now: datetime) -> Header:
        """Return what is committed and what is not; raise `TransactionKnown` the second time."""
        uids = [one.sop_instance_uid for one in asked]
        held = [
            one
            for start in range(0, len(uids), _AT_ONCE)
            for one in self._archive.instances(uids[start : start + _AT_ONCE])
        ]
        answer = answered(asked, held, self._is_whole)

        def work(connection: Connection) -> Header:
            known = select(commitments.c.answered_at).where(
                commitments.c.transaction_uid == transaction_uid
            )
            if connection.scalar(known) is not None:
                raise TransactionKnown("there was a request with this Transaction UID before")
            row = {"transaction_uid": transaction_uid, "answered_at": now, "answer": answer}
            connection.execute(insert(commitments), [row])
            return answer

        return self._database.transact(work)

    def answer(self, transaction_uid: str) -> Header | None:
        """Return the answer to an earlier request; `None` if there was none."""
        query = select(commitments.c.answer).where(commitments.c.transaction_uid == transaction_uid)
        with self._database.reading() as connection:
            return connection.scalar(query)

    def _is_whole(self, held: Held) -> bool:
        return _size(self._blobs.path(held.sha256)) == held.size_bytes


def forget_commitments(connection: Connection, older_than: datetime) -> None:
    """Forget answers that are as old as the studies that go."""
    connection.execute(delete(commitments).where(commitments.c.answered_at < older_than))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
