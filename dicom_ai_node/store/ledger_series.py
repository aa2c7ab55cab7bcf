"""The second part of the ledger: series that wait, and the jobs that come out of them."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from dicom_ai_node.domain.job import DeliveryState, Event, Job, Stage, check_move
from dicom_ai_node.domain.study import Series, Study
from dicom_ai_node.domain.uids import JobKey, StudyInstanceUID
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

    def wait_for(self, series: Series, until: datetime, why: str) -> None:
        """Push the due time of an open series to `until`; `why` goes into its time line.

        The same reason again is not told again, so that a series may wait in small steps.
        """
        self._database.transact(lambda connection: _wait(connection, series, until, why))

    def study(self, study_instance_uid: StudyInstanceUID) -> Study:
        """Return a study with all its series that did not come from us."""
        table = tables.series
        query = (
            select(table)
            .where(table.c.study_instance_uid == study_instance_uid, ~table.c.is_ours)
            .order_by(table.c.first_received, table.c.series_instance_uid)
        )
        with self._database.reading() as connection:
            found = load_series(connection, connection.execute(query).all())
        return Study(study_instance_uid=study_instance_uid, series=tuple(found))

    def complete(
        self, series: Series, because: str, jobs: Sequence[Job], notes: Sequence[str], now: datetime
    ) -> bool:
        """Close a series and list its jobs, both or neither.

        Returns False, and does nothing, if an instance has arrived since `series` was read, or
        if somebody else has closed it.
        """
        return self._database.transact(_closing(series, because, jobs, notes, now))


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
        _list_jobs(connection, jobs, now)
        return True

    return work


def _list_jobs(connection: Connection, jobs: Iterable[Job], now: datetime) -> None:
    table = tables.jobs
    fresh = {job.key: job for job in jobs}
    known = connection.scalars(select(table.c.key).where(table.c.key.in_(fresh)))
    for key in known.all():
        del fresh[JobKey(key)]
    for job in fresh.values():
        signature = signature_of(job)
        earlier = connection.execute(
            select(table)
            .where(table.c.signature == signature)
            .order_by(table.c.number.desc())
            .limit(1)
            .with_for_update(key_share=True)
        ).first()
        told = [job_event(job.key, Event(at=now, what="job_created", detail=job.route))]
        if earlier is None:
            insert_job(connection, job, signature, supersedes=job.supersedes)
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
    connection.execute(
        delete(sent).where(sent.c.job == earlier.key, sent.c.state != DeliveryState.DONE.value)
    )
    return [job_event(earlier.key, moved(Stage.SUPERSEDED, now, f"by job {job.name}"))]
