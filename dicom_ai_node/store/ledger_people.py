"""The fifth part of the ledger: what people ask it and what they may set going again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, update

from dicom_ai_node.domain.errors import IllegalMove
from dicom_ai_node.domain.job import OVER, DeliveryState, Event, Job, Stage, check_move
from dicom_ai_node.domain.study import Quarantined
from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.store import tables
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.rows import event_of, job_event, job_of, load_jobs, moved, write_events

_STOPPED = frozenset({Stage.PARKED, Stage.REJECTED, Stage.QUARANTINED, Stage.CANCELLED})
_CLAIMABLE = frozenset({Stage.READY, Stage.INFERRED})
_PENDING = tuple(stage.value for stage in Stage if stage not in OVER)
_ON_THEIR_WAY = (DeliveryState.DUE.value, DeliveryState.SENDING.value)


class People:
    """What the console and the command line read and write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def jobs(self, stages: Sequence[Stage] = (), limit: int = 100) -> Sequence[Job]:
        """Return jobs, newest first; of all stages if none is named. Inputs are left out."""
        table = tables.jobs
        query = select(table).order_by(table.c.number.desc()).limit(limit)
        if stages:
            query = query.where(table.c.stage.in_([stage.value for stage in stages]))
        with self._database.reading() as connection:
            return [job_of(row) for row in connection.execute(query)]

    def job(self, name: str) -> Job | None:
        """Return the one job whose key starts with `name`, with its inputs."""
        found = self.jobs_called(name, 2)
        return found[0] if len(found) == 1 else None

    def jobs_called(self, name: str, limit: int) -> Sequence[Job]:
        """Return the newest jobs whose key starts with `name`, with their inputs."""
        table = tables.jobs
        query = (
            select(table)
            .where(table.c.key.startswith(name, autoescape=True))
            .order_by(table.c.number.desc())
            .limit(limit)
        )
        with self._database.reading() as connection:
            return load_jobs(connection, connection.execute(query).all())

    def time_line(self, key: JobKey) -> Sequence[Event]:
        """Return everything that happened to a job and, before it, to its series."""
        table, inputs = tables.events, tables.job_inputs
        its_series = select(inputs.c.series_instance_uid).where(inputs.c.job == key)
        query = (
            select(table)
            .where(or_(table.c.job == key, table.c.series_instance_uid.in_(its_series)))
            .order_by(table.c.at, table.c.number)
        )
        with self._database.reading() as connection:
            return [event_of(row) for row in connection.execute(query)]

    def retry(self, job: Job, now: datetime) -> None:
        """Put a job that has stopped back to work, or end the pause of one that waits.

        Of a job that has stopped, results that are committed are sent again; else it starts from
        its inputs, because whatever an attempt has left behind may be the reason why. A job that
        waits for its next attempt, or whose deliveries do, is due at once: a person who has
        mended the cause need not sit out the pause.

        Raises
        ------
        IllegalMove
            If the job is at work, or has nothing left to do.
        """

        def work(connection: Connection) -> None:
            table = tables.jobs
            row = connection.execute(
                select(table).where(table.c.key == job.key).with_for_update(key_share=True)
            ).first()
            if row is not None and Stage(row.stage) in _STOPPED:
                to = _set_going(connection, row)
            elif row is not None and _hurried(connection, row, now):
                to = Stage(row.stage)
            else:
                raise IllegalMove("a job can be retried where it has stopped or waits")
            write_events(connection, [job_event(job.key, moved(to, now, "retried by a person"))])

        self._database.transact(work)

    def cancel(self, job: Job, why: str, now: datetime) -> None:
        """End a job, if nothing of it is on its way; what a worker still makes of it is dropped.

        Raises
        ------
        IllegalMove
            If its results are on their way, or if it has ended.
        """
        self._database.transact(lambda connection: cancel_job(connection, job.key, why, now))

    def quarantined(self) -> Sequence[Quarantined]:
        """Return the open quarantine entries, newest first."""
        table = tables.quarantine
        query = select(table).where(table.c.is_open).order_by(table.c.number.desc())
        with self._database.reading() as connection:
            return [Quarantined(**row) for row in connection.execute(query).mappings()]

    def close_quarantine(self, number: int) -> None:
        """Close an entry; its blob goes with the next retention."""
        table = tables.quarantine
        closing = update(table).where(table.c.number == number).values(is_open=False)
        self._database.transact(lambda connection: connection.execute(closing))

    def counts(self) -> Mapping[str, int]:
        """Return how many there are of what.

        `instances`; `series.` open, complete, ours; `jobs.` and each stage; `deliveries.` and
        each state; `quarantine.open`.
        """
        with self._database.reading() as connection:
            return counts_of(connection)

    def pending(self) -> Mapping[str, int]:
        """Return of `counts` what is not over, however much is.

        `series.open`; `jobs.` and each stage that is at work, or for a person; `deliveries.due` and
        `deliveries.sending`; `quarantine.open`.
        """
        with self._database.reading() as connection:
            return pending_of(connection)


def cancel_job(connection: Connection, key: JobKey, why: str, now: datetime) -> None:
    """End a job in a transaction that somebody else has begun; raise `IllegalMove` if it cannot."""
    table = tables.jobs
    row = connection.execute(
        select(table).where(table.c.key == key).with_for_update(key_share=True)
    ).first()
    if row is None:
        raise IllegalMove("there is no such job any more")
    check_move(Stage(row.stage), Stage.CANCELLED)
    connection.execute(
        update(table)
        .where(table.c.key == key)
        .values(
            stage=Stage.CANCELLED.value,
            fence=row.fence + 1,
            note=why,
            who=None,
            due_at=None,
            lease_until=None,
            progress=0.0,
            doing="",
        )
    )
    write_events(connection, [job_event(key, moved(Stage.CANCELLED, now, why))])


def _set_going(connection: Connection, row: Row[Any]) -> Stage:
    table, sent, made = tables.jobs, tables.deliveries, tables.results
    has_results = connection.scalar(select(made.c.job).where(made.c.job == row.key).limit(1))
    to = Stage.READY if has_results is None else Stage.DELIVERING
    check_move(Stage(row.stage), to)
    connection.execute(
        update(table)
        .where(table.c.key == row.key)
        .values(
            stage=to.value,
            fence=row.fence + 1,
            attempts=0,
            note="",
            who=None,
            due_at=None,
            lease_until=None,
            progress=0.0,
            doing="",
        )
    )
    connection.execute(
        update(sent)
        .where(sent.c.job == row.key, sent.c.state == DeliveryState.PARKED.value)
        .values(
            state=DeliveryState.DUE.value,
            fence=sent.c.fence + 1,
            attempts=0,
            asked=0,
            lost=0,
            due_at=None,
            lease_until=None,
        )
    )
    return to


def _hurried(connection: Connection, row: Row[Any], now: datetime) -> bool:
    """Make what the job waits for due at once; return False if it waits for nothing."""
    jobs, sent = tables.jobs, tables.deliveries
    if Stage(row.stage) in _CLAIMABLE:
        waiting = update(jobs).where(jobs.c.key == row.key, jobs.c.due_at > now)
        waiting = waiting.values(note="", who=None, due_at=None, attempts=0)
        return connection.execute(waiting).rowcount > 0
    waits = update(sent).where(sent.c.job == row.key, sent.c.due_at > now)
    to_send = waits.where(sent.c.state == DeliveryState.DUE.value)
    # What its destination does not show to keep is asked for again, and not sent again.
    to_prove = waits.where(
        sent.c.state == DeliveryState.DONE.value, sent.c.unproven_since.is_not(None)
    )
    hurried = connection.execute(to_send.values(due_at=None, attempts=0)).rowcount
    return hurried + connection.execute(to_prove.values(due_at=None)).rowcount > 0


def counts_of(connection: Connection) -> dict[str, int]:
    """Return how many there are of what, see `People.counts`."""
    series, jobs, sent = tables.series, tables.jobs, tables.deliveries
    counts = dict.fromkeys(
        [
            *("instances", "series.open", "series.complete", "series.ours", "quarantine.open"),
            *(f"jobs.{stage}" for stage in Stage),
            *(f"deliveries.{state}" for state in DeliveryState),
        ],
        0,
    )
    # A revision is the number of instances: adding up series is cheaper than counting those.
    kinds = select(
        series.c.is_ours, series.c.is_open, func.count(), func.sum(series.c.revision)
    ).group_by(series.c.is_ours, series.c.is_open)
    for is_ours, is_open, number, instances in connection.execute(kinds):
        kind = "ours" if is_ours else "open" if is_open else "complete"
        counts[f"series.{kind}"] += number
        counts["instances"] += int(instances)
    for stage, number in connection.execute(
        select(jobs.c.stage, func.count()).group_by(jobs.c.stage)
    ):
        counts[f"jobs.{stage}"] = number
    for state, number in connection.execute(
        select(sent.c.state, func.count()).group_by(sent.c.state)
    ):
        counts[f"deliveries.{state}"] = number
    aside = select(func.count()).where(tables.quarantine.c.is_open)
    counts["quarantine.open"] = connection.execute(aside).scalar_one()
    return counts


def pending_of(connection: Connection) -> dict[str, int]:
    """Return how many there are of what is not over, see `People.pending`."""
    series, jobs, sent = tables.series, tables.jobs, tables.deliveries
    stages = [f"jobs.{stage}" for stage in _PENDING]
    states = [f"deliveries.{state}" for state in _ON_THEIR_WAY]
    counts = dict.fromkeys(["series.open", "quarantine.open", *stages, *states], 0)
    for name, table in (("series.open", series), ("quarantine.open", tables.quarantine)):
        is_open = select(func.count()).select_from(table).where(table.c.is_open)
        counts[name] = connection.execute(is_open).scalar_one()
    at_work = select(jobs.c.stage, func.count()).where(jobs.c.stage.in_(_PENDING))
    for stage, number in connection.execute(at_work.group_by(jobs.c.stage)):
        counts[f"jobs.{stage}"] = number
    # From one destination to the next: else all that was ever delivered would be gone through.
    here = select(func.min(sent.c.destination).label("name")).cte("here", recursive=True)
    following = select(func.min(sent.c.destination)).where(sent.c.destination > here.c.name)
    here = here.union_all(select(following.scalar_subquery()).where(here.c.name.is_not(None)))
    leaving = (
        select(sent.c.state, func.count())
        .select_from(here.join(sent, sent.c.destination == here.c.name))
        .where(sent.c.state.in_(_ON_THEIR_WAY))
        .group_by(sent.c.state)
    )
    for state, number in connection.execute(leaving):
        counts[f"deliveries.{state}"] = number
    return counts
