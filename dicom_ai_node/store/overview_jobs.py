"""The second part of the overview: jobs, how long their legs take, and where results go."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import func, select

from dicom_ai_node.domain.job import DeliveryState, Event, Stage
from dicom_ai_node.domain.overview import AtWork, DestinationSeen, JobFilter, Numbered
from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.store import tables
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.proof_heard import doubted
from dicom_ai_node.store.rows import event_of, job_of

_HELD = (Stage.INFERRING, Stage.ENCODING)
_WITH_SOMEBODY = (
    Stage.READY, Stage.INFERRED, Stage.PARKED, Stage.REJECTED, Stage.QUARANTINED,
)  # fmt: skip
"""Stages in which a job may say who has to act."""
_NOT_THERE = tuple(
    state.value for state in (DeliveryState.DUE, DeliveryState.SENDING, DeliveryState.PARKED)
)
_LEGS = {
    "job_created": "waiting",
    "job_ready": "waiting",
    "job_inferring": "inferring",
    "job_inferred": "encoding",
    "job_encoding": "encoding",
    "job_delivering": "delivering",
}
"""The leg that begins with each event; the time an encoder lets a job wait is part of encoding."""
LONGEST_AT_WORK = timedelta(days=2)


class JobsSeen:
    """Jobs, and how they get on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def jobs_listed(self, which: JobFilter) -> Sequence[Numbered]:
        """Return jobs, newest first, without their inputs."""
        table = tables.jobs
        query = select(table).order_by(table.c.number.desc()).limit(which.limit)
        stages = which.stages or (_WITH_SOMEBODY if which.who is not None else ())
        if stages:
            query = query.where(table.c.stage.in_([stage.value for stage in stages]))
        if which.route:
            query = query.where(table.c.route == which.route)
        if which.who is not None:
            query = query.where(table.c.who == which.who.value)
        if which.before is not None:
            query = query.where(table.c.number < which.before)
        with self._database.reading() as connection:
            return [Numbered(number=r.number, job=job_of(r)) for r in connection.execute(query)]

    def at_work(self) -> Sequence[AtWork]:
        """Return what workers hold now."""
        table, events = tables.jobs, tables.events
        held = [stage.value for stage in _HELD]
        query = select(table).where(table.c.stage.in_(held)).order_by(table.c.number).limit(1000)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            began = (
                select(events.c.job, func.max(events.c.at))
                .where(
                    events.c.job.in_([row.key for row in rows]),
                    events.c.what.in_([f"job_{stage}" for stage in held]),
                )
                .group_by(events.c.job)
            )
            since = {row[0]: row[1] for row in connection.execute(began)} if rows else {}
        return [
            AtWork(job=job_of(row), since=since.get(row.key), lease_until=row.lease_until)
            for row in rows
        ]

    def leg_seconds(self, jobs: int) -> Mapping[str, Sequence[float]]:
        """Return how long each leg of the newest finished jobs took."""
        table, events = tables.jobs, tables.events
        newest = (
            select(table.c.key)
            .where(table.c.stage == Stage.DELIVERED.value)
            .order_by(table.c.number.desc())
            .limit(jobs)
        )
        lines: dict[str, list[Event]] = defaultdict(list)
        with self._database.reading() as connection:
            keys = connection.scalars(newest).all()
            query = select(events).where(events.c.job.in_(keys))
            for row in connection.execute(query.order_by(events.c.job, events.c.number)):
                lines[row.job].append(event_of(row))
        took: dict[str, list[float]] = defaultdict(list)
        for line in lines.values():
            for leg, seconds in _legs(line).items():
                took[leg].append(seconds)
        return took

    def by_route(self) -> Mapping[str, Mapping[Stage, int]]:
        """Return how many jobs of each route are in each stage."""
        table = tables.jobs
        query = select(table.c.route, table.c.stage, func.count()).group_by(
            table.c.route, table.c.stage
        )
        found: dict[str, dict[Stage, int]] = defaultdict(dict)
        with self._database.reading() as connection:
            for route, stage, number in connection.execute(query):
                found[route][Stage(stage)] = number
        return found

    def last_of_route(self, route: str) -> datetime | None:
        """Return when the newest job of a route was made."""
        table = tables.jobs
        query = select(table.c.created_at).where(table.c.route == route)
        with self._database.reading() as connection:
            return connection.scalar(query.order_by(table.c.number.desc()).limit(1))

    def destination(self, name: str, *, is_brief: bool = False) -> DestinationSeen:
        """Return how a destination does; briefly, without counting all that it has taken."""
        sent = tables.deliveries
        here = sent.c.destination == name
        counted = select(sent.c.state, func.count()).where(here).group_by(sent.c.state)
        if is_brief:
            counted = counted.where(sent.c.state.in_(_NOT_THERE))
        undone = sent.c.state.in_([DeliveryState.DUE.value, DeliveryState.PARKED.value])
        trouble = select(sent.c.note).where(here, undone, sent.c.attempts > 0, sent.c.note != "")
        waits = select(func.min(sent.c.due_at)).where(here, sent.c.state == DeliveryState.DUE.value)
        since = sent.c.unproven_since
        unproven = select(func.count(), func.min(since)).where(doubted(name))
        said = select(sent.c.note).where(doubted(name)).order_by(since.desc()).limit(1)
        with self._database.reading() as connection:
            number, first = connection.execute(unproven).one()
            return DestinationSeen(
                states={row[0]: row[1] for row in connection.execute(counted)},
                last_done=connection.scalar(select(func.max(sent.c.done_at)).where(here)),
                last_trouble=connection.scalar(trouble.limit(1)) or "",
                next_try=connection.scalar(waits),
                unproven=number,
                unproven_since=first,
                unproven_because=connection.scalar(said) or "",
            )

    def parked_for(self, destination: str, limit: int = 1000) -> Sequence[JobKey]:
        """Return jobs with objects that this destination has refused."""
        sent = tables.deliveries
        query = (
            select(sent.c.job)
            .where(sent.c.destination == destination, sent.c.state == DeliveryState.PARKED.value)
            .distinct()
            .order_by(sent.c.job)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [JobKey(key) for key in connection.scalars(query)]


def _legs(line: Sequence[Event]) -> Mapping[str, float]:
    """Return how long each leg of one job took; the pauses between its attempts are waiting."""
    took: dict[str, float] = defaultdict(float)
    for one, after in pairwise(line):
        leg = _LEGS.get(one.what) if not one.what.startswith("delivery_") else "delivering"
        if leg is not None:
            took[leg] += max(0.0, (after.at - one.at).total_seconds())
    return took
