"""Which deliveries are due: to be sent, or their destination to be asked whether it keeps them.

Both are asked every second for every destination. Each part of such a question is a range of
`ix_deliveries_claim`, so that it does not matter how many there are which are not due.
"""

from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    or_,
    select,
    union_all,
)

from dicom_ai_node.domain.job import DeliveryState, Stage
from dicom_ai_node.store.columns import Instant, Words
from dicom_ai_node.store.tables import deliveries as sent
from dicom_ai_node.store.tables import jobs

GOING_OUT = (Stage.DELIVERING.value, Stage.PARKED.value, Stage.DELIVERED.value)
"""A job that one destination has refused stays on its way to the others; what a destination has
taken and not kept is sent again."""

_DONE, _DUE, _SENDING = (
    DeliveryState.DONE.value, DeliveryState.DUE.value, DeliveryState.SENDING.value,
)  # fmt: skip


def _to_send() -> Select[tuple[str]]:
    destination, now = bindparam("destination", type_=Words()), bindparam("now", type_=Instant())
    found = _jobs(
        destination,
        and_(sent.c.state == _DUE, sent.c.due_at.is_(None)),
        and_(sent.c.state == _DUE, sent.c.due_at <= now),
        and_(sent.c.state == _SENDING, sent.c.lease_until <= now),
    )
    out = jobs.c.stage.in_(GOING_OUT)
    return select(found.c.job).join(jobs, jobs.c.key == found.c.job).where(out)


def to_be_sent(destination: str, now: datetime) -> ColumnElement[bool]:
    """Return what such a delivery is like."""
    # By the state first: else SQLite would go through all that was ever delivered there.
    is_open = and_(sent.c.destination == destination, sent.c.state.in_((_DUE, _SENDING)))
    is_due = and_(sent.c.state == _DUE, _is_due(now))
    is_lost = and_(sent.c.state == _SENDING, sent.c.lease_until <= now)
    return and_(is_open, or_(is_due, is_lost))


def jobs_to_prove(destination: str, now: datetime, settled: timedelta) -> Subquery:
    """Return the query for jobs about which a destination is to be asked.

    `settled` is how long ago at least it has to have taken what it is asked about.
    """
    there = and_(sent.c.state == _DONE, _has_settled(now, settled))
    return _jobs(
        destination, and_(there, sent.c.due_at.is_(None)), and_(there, sent.c.due_at <= now)
    )


def to_be_proven(now: datetime, settled: timedelta) -> ColumnElement[bool]:
    """Return what a delivery is like about which its destination is to be asked."""
    return and_(sent.c.state == _DONE, _has_settled(now, settled), _is_due(now))


def _jobs(destination: str | ColumnElement[str], *parts: ColumnElement[bool]) -> Subquery:
    mine = select(sent.c.job).where(sent.c.destination == destination)
    return union_all(*(mine.where(part) for part in parts)).subquery()


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(sent.c.due_at.is_(None), sent.c.due_at <= now)


def _has_settled(now: datetime, settled: timedelta) -> ColumnElement[bool]:
    # As a case, or SQLite would go through all that was ever delivered there by this column.
    return case((sent.c.done_at <= now - settled, 1), else_=0) == 1


JOBS_TO_SEND = _to_send()
"""The query for jobs of which something is to be sent to `destination` at `now`. It is made once,
for making it takes longer than asking it."""
