"""The part of the ledger that remembers which results their destinations have shown to keep."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Update,
    and_,
    case,
    delete,
    insert,
    or_,
    select,
    update,
)

from dicom_ai_node.domain.job import DeliveryState, Event, Stage
from dicom_ai_node.domain.proof import OBJECTS_AT_ONCE, REASONS, Report, Unproven
from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.store import tables
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger_deliveries import GOING_OUT
from dicom_ai_node.store.ledger_jobs import park_jobs
from dicom_ai_node.store.rows import job_event, moved, write_events
from dicom_ai_node.store.tables import commitment_requests as requests
from dicom_ai_node.store.tables import deliveries as sent

MOST_REQUESTS = 5
"""Requests for one object that come to nothing before a person has to look."""
FIRST_PAUSE = timedelta(minutes=2)
"""Before what was not kept is sent again; doubled each time."""
_JOBS_AT_ONCE = 20
_DONE, _DUE, _PARKED = (
    DeliveryState.DONE.value, DeliveryState.DUE.value, DeliveryState.PARKED.value,
)  # fmt: skip
_COMMITTED, _SENDING = DeliveryState.COMMITTED.value, DeliveryState.SENDING.value
_GIVEN_UP = (
    "a person: ask whoever runs {destination}, then retry, and it is sent and asked for again"
)


class Proving:
    """What asks destinations reads and writes; implements `domain.proof.Proofs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim_unproven(
        self, destination: str, transaction_uid: str, now: datetime, patience: timedelta,
        settled: timedelta, limit: int = OBJECTS_AT_ONCE,
    ) -> Sequence[Unproven]:  # fmt: skip
        """Enter a request for what a destination took at least `settled` ago, and return that."""
        waits = _waits(destination, now, settled)
        jobs = (
            select(sent.c.job)
            .join(tables.jobs, tables.jobs.c.key == sent.c.job)
            .where(waits, tables.jobs.c.stage.in_(GOING_OUT), sent.c.job.not_in(_busy(destination)))
            .distinct()
        )
        if not self._database.has_any(jobs):
            return []

        def work(connection: Connection) -> Sequence[Unproven]:
            keys = _locked(connection, connection.scalars(jobs.limit(_JOBS_AT_ONCE)))
            some = select(sent.c.sop_instance_uid).where(waits, sent.c.job.in_(keys))
            some = some.order_by(sent.c.job, sent.c.sop_instance_uid).limit(limit)
            mine = and_(waits, sent.c.sop_instance_uid.in_(connection.scalars(some).all()))
            silent = and_(mine, sent.c.asked >= MOST_REQUESTS)
            why = f"{destination} has answered none of {MOST_REQUESTS} requests for commitment"
            _park(connection, destination, silent, now, why)
            rows = connection.execute(
                update(sent)
                .where(mine)
                .values(
                    transaction_uid=transaction_uid, asked=sent.c.asked + 1, due_at=now + patience
                )
                .returning(sent.c.job, sent.c.sop_instance_uid)
            ).all()
            if not rows:
                return []
            asked = {"transaction_uid": transaction_uid, "destination": destination}
            connection.execute(insert(requests), [{**asked, "asked_at": now}])
            _tell(connection, "commitment_asked", destination, rows, now)
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
                # What was sent again since it was asked for is another matter.
                sent.c.done_at <= request.asked_at,
            )
            _commit(connection, destination, kept, now)
            # What has been asked for again since, or sent again, is judged by that.
            open_ = and_(sent.c.transaction_uid == report.transaction_uid, sent.c.state == _DONE)
            for uid in connection.scalars(select(sent.c.sop_instance_uid).where(open_)).all():
                if uid in report.failed:
                    which = and_(open_, sent.c.sop_instance_uid == uid)
                    _not_kept(connection, destination, which, now, report.failed[uid])
            return True

        return self._database.transact(work)

    def not_asked(
        self, transaction_uid: str, now: datetime, note: str, due: datetime | None
    ) -> None:
        """Let a request that did not get through fall due at `due`; park it if that is `None`."""
        mine = and_(sent.c.transaction_uid == transaction_uid, sent.c.state == _DONE)

        def work(connection: Connection) -> None:
            rows = connection.execute(select(sent.c.job, sent.c.destination).where(mine)).all()
            if not rows:
                return
            _locked(connection, (row.job for row in rows))
            if due is None:
                _park(connection, rows[0].destination, mine, now, note)
            else:
                later = {"due_at": due, "note": note, "asked": sent.c.asked - 1}
                connection.execute(update(sent).where(mine).values(later))

        self._database.transact(work)


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


def _waits(destination: str, now: datetime, settled: timedelta) -> ColumnElement[bool]:
    """Return what a delivery is like of which a destination is to be asked."""
    return and_(
        sent.c.destination == destination,
        sent.c.state == _DONE,
        # As a case, or SQLite would go through all that was ever delivered there by this column.
        case((sent.c.done_at <= now - settled, 1), else_=0) == 1,
        or_(sent.c.due_at.is_(None), sent.c.due_at <= now),
    )


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


def _changed(
    connection: Connection, change: Callable[[Update], Update], which: ColumnElement[bool]
) -> Sequence[Row[Any]]:
    changed = change(update(sent).where(which)).returning(sent.c.job, sent.c.sop_instance_uid)
    return connection.execute(changed).all()


def _commit(
    connection: Connection, destination: str, which: ColumnElement[bool], now: datetime
) -> None:
    """Note that a destination keeps these, and that a job which stood for that goes on."""
    rows = _changed(connection, lambda it: it.values(state=_COMMITTED, due_at=None, note=""), which)
    _tell(connection, "commitment_given", destination, rows, now)
    jobs = tables.jobs
    undone = select(sent.c.job).where(
        sent.c.job == jobs.c.key, sent.c.state.in_((_DUE, _SENDING, _PARKED))
    )
    freed = (
        update(jobs)
        .where(
            jobs.c.key.in_({row.job for row in rows}),
            jobs.c.stage == Stage.PARKED.value,
            ~undone.exists(),
        )
        .values(stage=Stage.DELIVERED.value, note="", who=None)
        .returning(jobs.c.key)
    )
    told = moved(Stage.DELIVERED, now)
    write_events(connection, [job_event(key, told) for key in connection.scalars(freed).all()])


def _not_kept(
    connection: Connection, destination: str, which: ColumnElement[bool], now: datetime, reason: int
) -> None:
    """Let an object that a destination does not keep be sent again, or a person look at it."""
    asked = connection.scalar(select(sent.c.asked).where(which))
    if asked is None:
        return
    # It is not there until it has been sent again: what older requests hear is of no more use.
    connection.execute(update(sent).where(which).values(done_at=None))
    meaning = REASONS.get(reason, "unknown reason")
    why = f"{destination} does not keep it: 0x{reason:04X}, {meaning}"
    if asked >= MOST_REQUESTS:
        _park(connection, destination, which, now, why)
        return
    due = now + FIRST_PAUSE * 2 ** (asked - 1)
    rows = _changed(connection, lambda it: it.values(state=_DUE, due_at=due, note=why), which)
    _tell(connection, "commitment_refused", destination, rows, now, why)


def _park(
    connection: Connection, destination: str, which: ColumnElement[bool], now: datetime, why: str
) -> None:
    note = f"{why}; {_GIVEN_UP.format(destination=destination)}"
    rows = _changed(connection, lambda it: it.values(state=_PARKED, due_at=None, note=note), which)
    _tell(connection, "commitment_parked", destination, rows, now, why)
    park_jobs(connection, (JobKey(row.job) for row in rows), now, f"{destination}: {note}")


def _tell(
    connection: Connection, what: str, destination: str, rows: Sequence[Row[Any]], now: datetime,
    detail: str = "",
) -> None:  # fmt: skip
    """Write one line into the time line of each job."""
    count: dict[str, int] = {}
    for row in rows:
        count[row.job] = count.get(row.job, 0) + 1
    write_events(
        connection,
        [
            job_event(
                key,
                Event(
                    at=now,
                    what=what,
                    detail=detail or f"{number} objects",
                    fields={"destination": destination, "objects": str(number)},
                ),
            )
            for key, number in count.items()
        ],
    )
