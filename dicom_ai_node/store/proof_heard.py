"""What becomes of deliveries by what their destination says, or does not say, of keeping them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Update, and_, select, update

from dicom_ai_node.domain.job import DeliveryState, Event, Stage
from dicom_ai_node.domain.proof import REASONS
from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.store import tables
from dicom_ai_node.store.ledger_jobs import park_jobs
from dicom_ai_node.store.rows import job_event, moved, write_events
from dicom_ai_node.store.tables import deliveries as sent

MOST_TIMES_LOST = 5
"""So often an object may turn out not to be kept before a person has to look."""
FIRST_PAUSE = timedelta(minutes=2)
"""Before what was not kept is sent again; doubled each time."""
DOUBTED, DOUBTED_FIRST = "commitment_doubted", "destination_doubted"
"""What the time line calls it when a destination does not show that it keeps something."""
_DONE, _DUE, _PARKED = (
    DeliveryState.DONE.value, DeliveryState.DUE.value, DeliveryState.PARKED.value,
)  # fmt: skip
_COMMITTED, _SENDING = DeliveryState.COMMITTED.value, DeliveryState.SENDING.value
_GIVEN_UP = (
    "a person: ask whoever runs {destination}, then retry, and it is sent and asked for again"
)


def doubted(destination: str) -> ColumnElement[bool]:
    """Return what a delivery is like that its destination does not show to keep."""
    return and_(
        sent.c.destination == destination, sent.c.unproven_since.is_not(None), sent.c.state == _DONE
    )


def commit(
    connection: Connection, destination: str, which: ColumnElement[bool], now: datetime
) -> None:
    """Note that a destination keeps these, and that a job which stood for that goes on."""

    def kept(change: Update) -> Update:
        return change.values(state=_COMMITTED, due_at=None, note="", unproven_since=None)

    rows = _changed(connection, kept, which)
    tell(connection, "commitment_given", destination, rows, now)
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


def lose(
    connection: Connection, destination: str, which: ColumnElement[bool], now: datetime, reason: int
) -> None:
    """Let an object that a destination does not keep be sent again, or a person look at it."""
    lost = connection.scalar(select(sent.c.lost).where(which))
    if lost is None:
        return
    # It is not there until it has been sent again: what older requests hear is of no more use.
    afresh = {"done_at": None, "unproven_since": None, "asked": 0, "lost": lost + 1}
    connection.execute(update(sent).where(which).values(afresh))
    meaning = REASONS.get(reason, "unknown reason")
    why = f"{destination} does not keep it: 0x{reason:04X}, {meaning}"
    if lost + 1 >= MOST_TIMES_LOST:
        _park(connection, destination, which, now, why)
        return
    due = now + FIRST_PAUSE * 2**lost
    rows = _changed(connection, lambda it: it.values(state=_DUE, due_at=due, note=why), which)
    tell(connection, "commitment_refused", destination, rows, now, why)


def doubt(
    connection: Connection, destination: str, which: ColumnElement[bool], now: datetime, why: str
) -> None:
    """Note that a destination does not show whether it keeps these; they stay delivered.

    The time line of a job says so once, and by another name if nothing was held against the
    destination before: whoever wants to be told hears of the destination, and not of each job.
    """
    is_known = connection.scalar(select(sent.c.job).where(doubted(destination)).limit(1))
    fresh = select(sent.c.job).where(which, sent.c.unproven_since.is_(None))
    rows = connection.execute(fresh).all()
    since = {"unproven_since": sent.c.done_at, "note": why}
    connection.execute(update(sent).where(which).values(since))
    tell(connection, DOUBTED if is_known else DOUBTED_FIRST, destination, rows, now, why)


def tell(
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


def _changed(
    connection: Connection, change: Callable[[Update], Update], which: ColumnElement[bool]
) -> Sequence[Row[Any]]:
    changed = change(update(sent).where(which)).returning(sent.c.job, sent.c.sop_instance_uid)
    return connection.execute(changed).all()


def _park(
    connection: Connection, destination: str, which: ColumnElement[bool], now: datetime, why: str
) -> None:
    note = f"{why}; {_GIVEN_UP.format(destination=destination)}"
    rows = _changed(connection, lambda it: it.values(state=_PARKED, due_at=None, note=note), which)
    tell(connection, "commitment_parked", destination, rows, now, why)
    park_jobs(connection, (JobKey(row.job) for row in rows), now, f"{destination}: {note}")
