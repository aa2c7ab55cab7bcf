"""The part of the ledger that remembers which results their destinations have shown to keep."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    insert,
    literal,
    or_,
    select,
    update,
)

from dicom_ai_node.domain.job import DeliveryState, Stage
from dicom_ai_node.domain.proof import ADVICE, OBJECTS_AT_ONCE, Report, Unproven
from dicom_ai_node.store import tables
from dicom_ai_node.store.columns import Instant
from dicom_ai_node.store.deliveries_due import GOING_OUT, jobs_to_prove, to_be_proven
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.proof_heard import commit, doubt, doubted, lose, tell
from dicom_ai_node.store.tables import commitment_requests as requests
from dicom_ai_node.store.tables import deliveries as sent

MOST_REQUESTS = 5
"""Requests that come to nothing before the destination is known for it."""
SELDOM = timedelta(days=1)
"""How often it is asked at most from then on."""
AWAY_FOR_LONG = timedelta(days=1)
"""Who cannot even be asked for so long does not show what it keeps, either."""
_JOBS_AT_ONCE = 20
_DONE, _DUE, _PARKED = (
    DeliveryState.DONE.value, DeliveryState.DUE.value, DeliveryState.PARKED.value,
)  # fmt: skip
_COMMITTED, _SENDING = DeliveryState.COMMITTED.value, DeliveryState.SENDING.value


class Proving:
    """What asks destinations reads and writes; implements `domain.proof.Proofs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim_unproven(
        self, destination: str, transaction_uid: str, now: datetime, patience: timedelta,
        settled: timedelta, limit: int = OBJECTS_AT_ONCE,
    ) -> Sequence[Unproven]:  # fmt: skip
        """Enter a request for what a destination took at least `settled` ago, and return that."""
        due = jobs_to_prove(destination, now, settled)
        jobs = (
            select(due.c.job)
            .join(tables.jobs, tables.jobs.c.key == due.c.job)
            .where(tables.jobs.c.stage.in_(GOING_OUT), due.c.job.not_in(_busy(destination)))
            .distinct()
            .limit(_JOBS_AT_ONCE)
        )
        if not self._database.has_any(jobs):
            return []
        seldom = literal(now + max(patience, SELDOM), Instant)
        again = case(
            (sent.c.asked >= MOST_REQUESTS, seldom), else_=literal(now + patience, Instant)
        )

        def work(connection: Connection) -> Sequence[Unproven]:
            keys = _locked(connection, connection.scalars(jobs))
            mine = _chosen(connection, destination, keys, to_be_proven(now, settled), limit)
            rows = connection.execute(select(sent).where(mine)).all()
            if not rows:
                return []
            # Of what was asked in vain the time line says so, and not how often.
            fresh = [it for it in rows if it.asked < MOST_REQUESTS and it.unproven_since is None]
            if len(fresh) < len(rows):
                silent = and_(mine, sent.c.asked >= MOST_REQUESTS)
                doubt(connection, destination, silent, now, _silence(destination))
            asked = {"transaction_uid": transaction_uid, "destination": destination}
            connection.execute(insert(requests), [{**asked, "asked_at": now}])
            values = {"transaction_uid": transaction_uid, "asked": sent.c.asked + 1}
            connection.execute(update(sent).where(mine).values(due_at=again, **values))
            tell(connection, "commitment_asked", destination, fresh, now)
            return _unproven(connection, transaction_uid)

        return self._database.transact(work)

    def hear(self, report: Report, now: datetime) -> bool:
        """Enter what a destination says: kept is committed, failed is sent again or parked."""

        def work(connection: Connection) -> bool:
            request = connection.execute(
                select(requests).where(requests.c.transaction_uid == report.transaction_uid)
            ).first()
            if request is None:
                return False
            destination = request.destination
            named = and_(
                sent.c.destination == destination,
                sent.c.sop_instance_uid.in_([*report.kept, *report.failed]),
                sent.c.transaction_uid.is_not(None),
            )
            _locked(connection, connection.scalars(select(sent.c.job).where(named)))
            kept = and_(
                named,
                sent.c.sop_instance_uid.in_(report.kept),
                sent.c.state.in_((_DONE, _PARKED)),
                # What was sent again since it was asked for is another matter. As a case, or SQLite
                # would look through all that has been delivered there.
                case((sent.c.done_at <= request.asked_at, 1), else_=0) == 1,
            )
            commit(connection, destination, kept, now)
            # What has been asked for again since, or sent again, is judged by that.
            open_ = and_(sent.c.transaction_uid == report.transaction_uid, sent.c.state == _DONE)
            for uid in connection.scalars(select(sent.c.sop_instance_uid).where(open_)).all():
                if uid in report.failed:
                    which = and_(open_, sent.c.sop_instance_uid == uid)
                    lose(connection, destination, which, now, report.failed[uid])
            return True

        return self._database.transact(work)

    def not_asked(self, transaction_uid: str, now: datetime, note: str, due: datetime) -> None:
        """Let a request that did not get through fall due at `due`."""
        long_there = sent.c.done_at <= now - AWAY_FOR_LONG
        self._came_to_nothing(transaction_uid, now, note, due, long_there)

    def refused(self, transaction_uid: str, now: datetime, note: str, due: datetime) -> None:
        """Let a request that the destination does not take fall due at `due`, and hold it so."""
        self._came_to_nothing(transaction_uid, now, note, due, sent.c.done_at.is_not(None))

    def _came_to_nothing(
        self, transaction_uid: str, now: datetime, note: str, due: datetime,
        is_doubtful: ColumnElement[bool],
    ) -> None:  # fmt: skip
        mine = and_(sent.c.transaction_uid == transaction_uid, sent.c.state == _DONE)

        def work(connection: Connection) -> None:
            rows = connection.execute(select(sent.c.job, sent.c.destination).where(mine)).all()
            if not rows:
                return
            _locked(connection, (row.job for row in rows))
            later = {"due_at": due, "note": note, "asked": sent.c.asked - 1}
            connection.execute(update(sent).where(mine).values(later))
            doubt(connection, rows[0].destination, and_(mine, is_doubtful), now, note)

        self._database.transact(work)

    def ask_again(self, destination: str) -> int:
        """Let what was asked in vain fall due now, and return of how many objects that is so."""
        now_due = update(sent).where(doubted(destination)).values(due_at=None)
        return self._database.transact(lambda connection: connection.execute(now_due).rowcount)


def with_unproven(destinations: Collection[str]) -> Select[Any]:
    """Return the query for studies of which a result is not for sure where it has to be."""
    jobs = tables.jobs
    unproven = and_(sent.c.destination.in_(destinations), sent.c.state == _DONE)
    return (
        select(jobs.c.study_instance_uid)
        .join(sent, sent.c.job == jobs.c.key)
        .where(
            jobs.c.stage == Stage.DELIVERED.value,
            or_(unproven, sent.c.state.in_((_DUE, _SENDING))),
        )
    )


def forget_requests(connection: Connection, older_than: datetime) -> None:
    """Forget requests that are as old as the studies that go, unless they wait for an answer."""
    newest = select(sent.c.transaction_uid).where(
        sent.c.transaction_uid == requests.c.transaction_uid, sent.c.state != _COMMITTED
    )
    connection.execute(delete(requests).where(requests.c.asked_at < older_than, ~newest.exists()))


def _silence(destination: str) -> str:
    said = f"{destination} has answered none of {MOST_REQUESTS} requests about it"
    return f"{said}; {ADVICE.format(destination=destination)}"


def _chosen(
    connection: Connection, destination: str, keys: Collection[str], waits: ColumnElement[bool],
    limit: int,
) -> ColumnElement[bool]:  # fmt: skip
    """Return what the deliveries are like that go into one request."""
    here = sent.c.destination == destination
    some = (
        select(sent.c.sop_instance_uid)
        # As a case, or SQLite would look through all that has been delivered there.
        .where(sent.c.job.in_(keys), case((and_(here, waits), 1), else_=0) == 1)
        .order_by(sent.c.job, sent.c.sop_instance_uid)
        .limit(limit)
    )
    uids = connection.scalars(some).all()
    return and_(here, sent.c.sop_instance_uid.in_(uids))


def _busy(destination: str) -> Select[Any]:
    """Return the query for jobs of which something is still being sent there."""
    return select(sent.c.job).where(
        sent.c.destination == destination, sent.c.state.in_((_DUE, _SENDING))
    )


def _locked(connection: Connection, keys: Iterable[str]) -> list[str]:
    """Lock jobs, as whoever ends a delivery does before that, in one order."""
    table = tables.jobs
    query = select(table.c.key).where(table.c.key.in_(set(keys))).order_by(table.c.key)
    return list(connection.scalars(query.with_for_update(key_share=True)))


def _unproven(connection: Connection, transaction_uid: str) -> list[Unproven]:
    made, jobs = tables.results, tables.jobs
    query = (
        select(made, jobs.c.study_instance_uid)
        .join(sent, sent.c.sop_instance_uid == made.c.sop_instance_uid)
        .join(jobs, jobs.c.key == made.c.job)
        .where(sent.c.transaction_uid == transaction_uid)
        .order_by(jobs.c.number, made.c.position)
    )
    return [
        Unproven(
            study_instance_uid=row.study_instance_uid,
            series_instance_uid=row.series_instance_uid,
            sop_class_uid=row.sop_class_uid,
            sop_instance_uid=row.sop_instance_uid,
        )
        for row in connection.execute(query)
    ]
