"""The second part of the ledger: series that wait, and the jobs that come out of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from dicom_ai_node.domain.job import DeliveryState, Event, Job, Stage, check_move
from dicom_ai_node.domain.study import Series, Study
from dicom_ai_node.domain.uids import JobKey, SeriesInstanceUID, StudyInstanceUID
from dicom_ai_node.store import tables
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.rows import (
    insert_job,
    job_event,
    load_series,
    moved,
    series_event,
    signature_of,
    write_events,
)

_THERE = (DeliveryState.DONE.value, DeliveryState.COMMITTED.value)
_STAYS = frozenset({Stage.DELIVERING, Stage.DELIVERED, Stage.SUPERSEDED})
"""Stages in which a job stays when a later one replaces it: its results are on their way."""


class SeriesInWaiting:
    """What completeness and routing read and write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due_series(self, now: datetime, limit: int = 100) -> Sequence[Series]:
        """Return series that are open and due, longest due first."""
        table = tables.series
        query = (
            select(table)
            .where(table.c.is_open, table.c.due_at <= now)
            .order_by(table.c.due_at, table.c.series_instance_uid)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return load_series(connection, connection.execute(query).all())

    def next_due(self) -> datetime | None:
        """Return when the first of the series that are open is due."""
        query = select(func.min(tables.series.c.due_at)).where(tables.series.c.is_open)
        with self._database.reading() as connection:
            due: datetime | None = connection.scalar(query)
        return due

    def wait_for(self, series: Series, until: datetime, why: str) -> None:
        """Push the due time of an open series to `until`; `why` goes into its time line.

        The same reason again is not told again, so that a series may wait in small steps.
        """
        self._database.transact(lambda connection: _wait(connection, series, until, why))

    def study(self, study_instance_uid: StudyInstanceUID) -> Study:
        """Return a study with all its series that did not come from us."""
        with self._database.reading() as connection:
            return _study(connection, study_instance_uid)

    def complete(
        self,
        series: Series,
        because: str,
        jobs: Sequence[Job],
        notes: Sequence[str],
        now: datetime,
        waits: Mapping[str, datetime] | None = None,
    ) -> bool:
        """Close a series, list its jobs and note which routes wait until when: all or nothing.

        Returns False, and does nothing, if an instance has arrived since `series` was read, or
        if somebody else has closed it.
        """
        close = _closing(series, because, jobs, notes, now)

        def work(connection: Connection) -> bool:
            closed = close(connection)
            if closed and waits:
                _set_waits(connection, series.study_instance_uid, waits)
            return closed

        return self._database.transact(work)

    def due_waits(self, now: datetime, limit: int = 100) -> Sequence[tuple[Study, str]]:
        """Return studies that a route has waited long enough for, and its name, longest due first.

        A study with an open series is held back until that is closed: it may be what is missing.
        """
        table, series = tables.waits, tables.series
        is_arriving = (
            select(series.c.series_instance_uid)
            .where(series.c.study_instance_uid == table.c.study_instance_uid, series.c.is_open)
            .exists()
        )
        query = (
            select(table)
            .where(table.c.due_at <= now, ~is_arriving)
            .order_by(table.c.due_at, table.c.study_instance_uid, table.c.route)
            .limit(limit)
        )
        with self._database.reading() as connection:
            due = connection.execute(query).all()
            return [(_study(connection, row.study_instance_uid), row.route) for row in due]

    def end_wait(
        self, study: Study, route: str, notes: Mapping[SeriesInstanceUID, str], now: datetime
    ) -> bool:
        """Remove a wait that is due, and write `notes` into the time lines of these series.

        Returns False, and does nothing, if it is due no more: somebody else has ended it, or what
        has arrived since has set it anew.
        """

        def work(connection: Connection) -> bool:
            ended = delete(tables.waits).where(
                tables.waits.c.study_instance_uid == study.study_instance_uid,
                tables.waits.c.route == route,
                tables.waits.c.due_at <= now,
            )
            if connection.execute(ended).rowcount == 0:
                return False
            told = {uid: Event(at=now, what="input_missing", detail=notes[uid]) for uid in notes}
            write_events(connection, [series_event(uid, event) for uid, event in told.items()])
            return True

        return self._database.transact(work)


def _study(connection: Connection, study_instance_uid: StudyInstanceUID) -> Study:
    table = tables.series
    query = (
        select(table)
        .where(table.c.study_instance_uid == study_instance_uid, ~table.c.is_ours)
        .order_by(table.c.first_received, table.c.series_instance_uid)
    )
    found = load_series(connection, connection.execute(query).all())
    return Study(study_instance_uid=study_instance_uid, series=tuple(found))


def _set_waits(connection: Connection, study: str, waits: Mapping[str, datetime]) -> None:
    """Let routes wait for the rest of a study from now on; the last series sets the time."""
    table = tables.waits
    connection.execute(
        delete(table).where(table.c.study_instance_uid == study, table.c.route.in_(waits))
    )
    connection.execute(
        insert(table),
        [
            {"study_instance_uid": study, "route": route, "due_at": due_at}
            for route, due_at in waits.items()
        ],
    )


def _wait(connection: Connection, series: Series, until: datetime, why: str) -> None:
    table = tables.series
    same = table.c.series_instance_uid == series.series_instance_uid
    row = connection.execute(
        select(table).where(same, table.c.is_open).with_for_update(key_share=True)
    ).first()
    if row is None or row.revision != series.revision:
        return  # what has arrived since has set a due time of its own
    connection.execute(update(table).where(same).values(due_at=until, waits_because=why))
    if row.waits_because != why:
        event = Event(at=row.due_at, what="series_waits", detail=why)
        write_events(connection, [series_event(series.series_instance_uid, event)])


def _closing(
    series: Series, because: str, jobs: Sequence[Job], notes: Sequence[str], now: datetime
) -> Callable[[Connection], bool]:
    table = tables.series
    closing = (
        update(table)
        .where(
            table.c.series_instance_uid == series.series_instance_uid,
            table.c.revision == series.revision,
            table.c.is_open,
        )
        .values(is_open=False, due_at=None, waits_because="", complete_because=because)
    )

    def work(connection: Connection) -> bool:
        if connection.execute(closing).rowcount == 0:
            return False
        events = [Event(at=now, what="series_complete", detail=because)]
        events.extend(Event(at=now, what="routing", detail=note) for note in notes)
        uid = series.series_instance_uid
        write_events(connection, [series_event(uid, event) for event in events])
        list_jobs(connection, jobs, now)
        return True

    return work


def list_jobs(connection: Connection, jobs: Iterable[Job], now: datetime) -> None:
    """List jobs in a transaction that somebody else has begun; those that are listed stay."""
    table = tables.jobs
    fresh = {job.key: job for job in jobs}
    known = connection.scalars(select(table.c.key).where(table.c.key.in_(fresh)))
    for key in known.all():
        del fresh[JobKey(key)]
    for job in fresh.values():
        signature = signature_of(job)
        is_earlier = table.c.signature == signature
        if job.supersedes is not None:
            is_earlier |= table.c.key == job.supersedes
        earlier = connection.execute(
            select(table)
            .where(is_earlier)
            .order_by(table.c.number.desc())
            .limit(1)
            .with_for_update(key_share=True)
        ).first()
        told = [job_event(job.key, Event(at=now, what="job_created", detail=job.route))]
        if earlier is None:
            insert_job(connection, job, signature, supersedes=None)
        else:
            insert_job(connection, job, signature, supersedes=JobKey(earlier.key))
            told.extend(_supersede(connection, earlier, job, now))
        write_events(connection, told)


def _supersede(
    connection: Connection, earlier: Row[Any], job: Job, now: datetime
) -> Sequence[dict[str, Any]]:
    """Take the earlier job out of work unless its results are on their way already."""
    stage = Stage(earlier.stage)
    if stage in _STAYS:
        return []
    check_move(stage, Stage.SUPERSEDED)
    table, sent = tables.jobs, tables.deliveries
    connection.execute(
        update(table)
        .where(table.c.key == earlier.key)
        .values(stage=Stage.SUPERSEDED.value, lease_until=None, due_at=None, who=None)
    )
    connection.execute(delete(sent).where(sent.c.job == earlier.key, sent.c.state.not_in(_THERE)))
    return [job_event(earlier.key, moved(Stage.SUPERSEDED, now, f"by job {job.name}"))]
