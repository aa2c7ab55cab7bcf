"""Storage commitment from the ledger and the disk; answers are remembered."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Integer,
    Table,
    Text,
    and_,
    delete,
    insert,
    select,
    update,
)

from dicom_ai_node.domain.archive import Header, Held
from dicom_ai_node.domain.commitment import Asked, TransactionKnown, Untold, answered
from dicom_ai_node.domain.uids import AETitle, SOPInstanceUID
from dicom_ai_node.store import tables
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.columns import Instant, Words
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.promises import promise
from dicom_ai_node.store.tables import metadata

commitments = Table(
    "commitments",
    metadata,
    Column("transaction_uid", Text, primary_key=True),
    Column("answered_at", Instant, nullable=False, index=True),
    Column("answer", JSON, nullable=False),
    # Who has asked over DIMSE, and when they are to be told; never where that has been done.
    Column("ae_title", Words, nullable=False, server_default=""),
    Column("due_at", Instant, index=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
)

_AT_ONCE = 500
STILL_TOLD = timedelta(days=7)
"""Longer than the studies an answer is kept of which its asker has not heard."""


class SqlCommitments:
    """Answers requests; implements `domain.commitment.Commitments` and `.Promises`.

    `keep` is for how long studies stay of which somebody was told that they are kept.
    """

    def __init__(
        self, database: Database, archive: SqlArchive, blobs: FolderBlobs, keep: timedelta
    ) -> None:
        self._database = database
        self._archive = archive
        self._blobs = blobs
        self._keep = keep

    def commit(self, transaction_uid: str, asked: Sequence[Asked], now: datetime) -> Header:
        """Return what is committed and what is not; raise `TransactionKnown` the second time."""
        return self._answered(transaction_uid, asked, now)

    def promise(
        self, transaction_uid: str, asked: Sequence[Asked], peer: AETitle, now: datetime,
        due: datetime,
    ) -> Header:  # fmt: skip
        """Return what is committed and what is not; the peer is to be told of it from `due` on."""
        return self._answered(transaction_uid, asked, now, peer, due)

    def _answered(
        self, transaction_uid: str, asked: Sequence[Asked], now: datetime,
        peer: str = "", due: datetime | None = None,
    ) -> Header:  # fmt: skip
        mine = commitments.c.transaction_uid == transaction_uid

        def check(connection: Connection) -> None:
            before = connection.scalar(select(commitments.c.ae_title).where(mine))
            if before is not None and not (peer and before == peer):
                raise TransactionKnown("there was a request with this Transaction UID before")

        def promised(connection: Connection) -> frozenset[Asked]:
            check(connection)
            return promise(connection, asked, now + self._keep)

        # First of all, and for good: from here on retention lets alone what is looked at below.
        held = self._kept(asked, self._database.transact(promised))
        answer = answered(asked, held, self._is_whole)
        row = {
            "transaction_uid": transaction_uid, "answered_at": now, "answer": answer,
            "ae_title": peer, "due_at": due, "attempts": 0,
        }  # fmt: skip

        def work(connection: Connection) -> Header:
            check(connection)
            # Whoever asks again over DIMSE has not heard: the answer of today is told.
            connection.execute(delete(commitments).where(mine))
            connection.execute(insert(commitments), [row])
            return answer

        return self._database.transact(work)

    def _kept(self, asked: Sequence[Asked], promised: frozenset[Asked]) -> list[Held]:
        """Return what is here, but for what has come after the promise."""
        late = set(asked) - promised
        uids = [one.sop_instance_uid for one in asked]
        return [
            one
            for start in range(0, len(uids), _AT_ONCE)
            for one in self._held(uids[start : start + _AT_ONCE])
            if Asked(one.sop_class_uid, one.sop_instance_uid) not in late
        ]

    def answer(self, transaction_uid: str) -> Header | None:
        """Return the answer to an earlier request; `None` if there was none."""
        query = select(commitments.c.answer).where(commitments.c.transaction_uid == transaction_uid)
        with self._database.reading() as connection:
            return connection.scalar(query)

    def told(self, transaction_uid: str) -> None:
        """Note that the asker has heard the answer, or never will."""
        self._set_due(transaction_uid, None)

    def not_told(self, transaction_uid: str, due: datetime) -> None:
        """Let an answer fall due."""
        self._set_due(transaction_uid, due)

    def claim_untold(self, now: datetime, lease: timedelta) -> Untold | None:
        """Return an answer that is due to be told; it falls due again after `lease`."""
        table = commitments
        due = select(table).where(table.c.due_at <= now)
        if not self._database.has_any(due):
            return None

        def work(connection: Connection) -> Untold | None:
            row = connection.execute(
                due.order_by(table.c.due_at).limit(1).with_for_update(skip_locked=True)
            ).first()
            if row is None:
                return None
            claim = update(table).where(table.c.transaction_uid == row.transaction_uid)
            connection.execute(claim.values(due_at=now + lease, attempts=row.attempts + 1))
            return Untold(
                transaction_uid=row.transaction_uid,
                ae_title=AETitle(row.ae_title),
                answer=row.answer,
                attempts=row.attempts + 1,
            )

        return self._database.transact(work)

    def _set_due(self, transaction_uid: str, due: datetime | None) -> None:
        change = (
            update(commitments)
            .where(
                commitments.c.transaction_uid == transaction_uid, commitments.c.due_at.is_not(None)
            )
            .values(due_at=due)
        )
        self._database.transact(lambda connection: connection.execute(change))

    def _held(self, uids: Sequence[SOPInstanceUID]) -> list[Held]:
        """Return what is here: received instances from the ledger, which is ahead of the index."""
        table = tables.instances
        query = select(table).where(table.c.sop_instance_uid.in_(uids))
        with self._database.reading() as connection:
            found = [
                Held(
                    study_instance_uid=row.study_instance_uid,
                    series_instance_uid=row.series_instance_uid,
                    sop_instance_uid=row.sop_instance_uid,
                    sop_class_uid=row.sop_class_uid,
                    transfer_syntax_uid=row.transfer_syntax_uid,
                    sha256=row.sha256,
                    size_bytes=row.size_bytes,
                )
                for row in connection.execute(query)
            ]
        known = {one.sop_instance_uid for one in found}
        others = [uid for uid in uids if uid not in known]
        return [*found, *(self._archive.instances(others) if others else ())]

    def _is_whole(self, held: Held) -> bool:
        return _size(self._blobs.path(held.sha256)) == held.size_bytes


def forget_commitments(connection: Connection, older_than: datetime) -> None:
    """Forget answers that are as old as the studies that go, unless their askers still wait."""
    old = commitments.c.answered_at < older_than
    # Where room is short studies go after an hour, and a modality may be off for longer.
    waits = and_(
        commitments.c.due_at.is_not(None), commitments.c.answered_at >= older_than - STILL_TOLD
    )
    connection.execute(delete(commitments).where(old, ~waits))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
