"""The last part of the ledger: what is old and done is forgotten; that it was ours is not."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Select, case, delete, func, select

from dicom_ai_node.domain.audit import THE_NODE
from dicom_ai_node.domain.happenings import deleted
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.study import Forgotten
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store import tables
from dicom_ai_node.store.archive_tables import held_studies
from dicom_ai_node.store.audit_notes import study_told, write_happenings
from dicom_ai_node.store.commitments import forget_commitments
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger_proofs import forget_requests, with_unproven
from dicom_ai_node.store.promises import forget_promises, promised, still_promised
from dicom_ai_node.store.workitem_forget import bury_old

_UNDONE = tuple(
    stage.value
    for stage in Stage
    if stage not in {Stage.DELIVERED, Stage.REJECTED, Stage.SUPERSEDED, Stage.CANCELLED}
)
"""Stages in which a job has work to do, objects to deliver or a person to wait for."""

_AT_ONCE = 500
_LONG_AGO = datetime.fromtimestamp(0, UTC)


class Forgetting:
    """What retention reads and writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def forget(
        self, older_than: datetime, limit: int = 20, proving: Collection[str] = (),
        now: datetime = _LONG_AGO,
    ) -> Forgotten:  # fmt: skip
        """Remove studies whose last instance came before `older_than`, oldest first.

        Only studies with no open series, no job that still has work to do or needs a person, no
        open delivery, no result that one of the destinations `proving` has taken without having
        shown that it keeps it, and no promise that holds at `now`; without a `now` all hold.
        Tombstones of our own UIDs stay, so that a late return is recognised. Closed quarantine
        entries go too, and of workitems stays that they were.
        """

        def work(connection: Connection) -> Forgotten:
            free = forgettable(older_than, now, proving)
            studies = connection.scalars(free.limit(limit)).all()
            uids = _lock(connection, studies, older_than, now)
            freed = _Freed(connection)
            freed.note_closed_quarantine()
            freed.note(studies=uids)
            gone = [
                deleted(THE_NODE, study_told(connection, uid), datetime.now(UTC)) for uid in uids
            ]
            write_happenings(connection, gone)
            instances = freed.remove(uids)
            bury_old(connection, uids, older_than)
            forget_promises(connection, uids, now)
            forget_commitments(connection, older_than)
            forget_requests(connection, older_than)
            return Forgotten(studies=len(uids), instances=instances, blobs=freed.without_reader())

        return self._database.transact(work)

    def unread(self, digests: Iterable[Sha256]) -> Sequence[Sha256]:
        """Return those of `digests` that no row names: files that a crash has left behind."""
        with self._database.reading() as connection:
            return sorted(without_reader(connection, set(digests)))


def forgettable(older_than: datetime, now: datetime, proving: Collection[str] = ()) -> Select[Any]:
    """Return the query for the studies that may go, oldest first; see `Forgetting.forget`."""
    return done_with(older_than, proving).where(
        tables.series.c.study_instance_uid.not_in(promised(now))
    )


def done_with(older_than: datetime, proving: Collection[str] = ()) -> Select[Any]:
    """Return the query for the studies that may go or wait only for the end of a promise."""
    table, jobs, inputs = tables.series, tables.jobs, tables.job_inputs
    undone = jobs.c.stage.in_(_UNDONE)
    its_own = select(jobs.c.study_instance_uid).where(undone)
    # A job of today may look at last year's study as its prior.
    looked_at = (
        select(table.c.study_instance_uid)
        .join(inputs, inputs.c.series_instance_uid == table.c.series_instance_uid)
        .join(jobs, jobs.c.key == inputs.c.job)
        .where(undone)
    )
    return (
        select(table.c.study_instance_uid)
        .where(
            table.c.study_instance_uid.not_in(its_own),
            table.c.study_instance_uid.not_in(looked_at),
            table.c.study_instance_uid.not_in(with_unproven(proving)),
        )
        .group_by(table.c.study_instance_uid)
        .having(
            func.max(table.c.last_received) < older_than,
            func.sum(case((table.c.is_open, 1), else_=0)) == 0,
        )
        .order_by(func.max(table.c.last_received))
    )


def _lock(
    connection: Connection, studies: Sequence[str], older_than: datetime, now: datetime
) -> list[str]:
    """Lock the series of these studies; return those not added to, nor promised, meanwhile."""
    table = tables.series
    rows = connection.execute(
        select(table)
        .where(table.c.study_instance_uid.in_(studies))
        .order_by(table.c.series_instance_uid)
        .with_for_update()
    ).all()
    alive = {
        row.study_instance_uid for row in rows if row.is_open or row.last_received >= older_than
    } | still_promised(connection, studies, now)
    return [study for study in studies if study not in alive]


class _Freed:
    """The blobs that lose a reader while studies are removed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._digests: set[str] = set()

    def note_closed_quarantine(self) -> None:
        table = tables.quarantine
        gone = delete(table).where(~table.c.is_open).returning(table.c.sha256)
        self._digests.update(self._connection.scalars(gone))

    def note(self, studies: Sequence[str]) -> None:
        series, instances = tables.series, tables.instances
        jobs, inputs, results = tables.jobs, tables.job_inputs, tables.results
        of_study = jobs.c.study_instance_uid.in_(studies)
        for query in (
            select(instances.c.sha256)
            .join(series, series.c.series_instance_uid == instances.c.series_instance_uid)
            .where(series.c.study_instance_uid.in_(studies)),
            select(inputs.c.sha256).join(jobs, jobs.c.key == inputs.c.job).where(of_study),
            select(results.c.sha256).join(jobs, jobs.c.key == results.c.job).where(of_study),
        ):
            self._digests.update(self._connection.scalars(query))

    def remove(self, studies: Sequence[str]) -> int:
        """Remove studies with all that hangs on them; return how many instances there were."""
        series, instances = tables.series, tables.instances
        uids = select(series.c.series_instance_uid).where(series.c.study_instance_uid.in_(studies))
        gone = self._connection.execute(
            delete(instances).where(instances.c.series_instance_uid.in_(uids))
        )
        self._connection.execute(
            delete(tables.jobs).where(tables.jobs.c.study_instance_uid.in_(studies))
        )
        for table in (tables.waits, series, held_studies):
            self._connection.execute(delete(table).where(table.c.study_instance_uid.in_(studies)))
        return gone.rowcount

    def without_reader(self) -> tuple[Sha256, ...]:
        free = without_reader(self._connection, {Sha256(each) for each in self._digests})
        return tuple(sorted(free))


def without_reader(connection: Connection, digests: set[Sha256]) -> set[Sha256]:
    """Return those of `digests` that no row names any more."""
    free = set(digests)
    readers = (tables.instances, tables.job_inputs, tables.results, tables.quarantine)
    for some in _batched(sorted(digests)):
        for table in readers:
            read = select(table.c.sha256).where(table.c.sha256.in_(some)).distinct()
            free.difference_update(Sha256(each) for each in connection.scalars(read))
    return free


def _batched(digests: Sequence[Sha256]) -> Iterator[list[Sha256]]:
    rest = iter(digests)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
