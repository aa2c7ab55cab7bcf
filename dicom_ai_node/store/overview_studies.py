"""The first part of the overview: what arrives and what has happened to it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from sqlalchemy import Connection, Row, Select, Text, cast, func, or_, select

from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.domain.overview import Happened, Pulse, SeriesSeen, StudySeen
from dicom_ai_node.domain.rule import SIMILAR
from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.store import tables
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.rows import event_of, load_jobs

_SERIES_PER_STUDY = 8
"""So many series are read for each study of a page, again and again until it is full."""
MOST_EVENTS = 2000
"""Of one study: more than a page can show."""


class StudiesSeen:
    """Studies and series as they come."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pulse(self) -> Pulse:
        """Return what has grown: the ends of three indexes, and the few jobs at work."""
        with self._database.reading() as connection:
            arrived, moved, aside = (
                connection.scalar(select(func.max(table.c.number))) or 0
                for table in (tables.instances, tables.events, tables.quarantine)
            )
            held = connection.execute(_held()).all()
        at_work = crc32(repr([tuple(row) for row in held]).encode())
        return Pulse(arrived=arrived, moved=moved, put_aside=aside, at_work=at_work)

    def studies(self, limit: int, before: datetime | None = None) -> Sequence[StudySeen]:
        """Return studies, that with the newest series first; only our own results are left out."""
        with self._database.reading() as connection:
            uids = _newest(connection, limit, before)
            seen = _studies(connection, uids)
        found = (seen[uid] for uid in uids if uid in seen)
        # A study with a newer series stood on the page before.
        return [one for one in found if before is None or one.first_received < before]

    def studies_called(
        self, uids: Sequence[StudyInstanceUID]
    ) -> Mapping[StudyInstanceUID, StudySeen]:
        """Return those of these studies that have arrived here."""
        with self._database.reading() as connection:
            return _studies(connection, uids)

    def hourly(self, since: datetime) -> Mapping[datetime, int]:
        """Return how many series began to arrive in each hour since, by the hour's beginning."""
        table = tables.series
        # Both databases say a moment in UTC as 2026-11-30 16:05:00 and more.
        hour = func.substr(cast(table.c.first_received, Text), 1, len("2026-11-30 16"))
        query = (
            select(hour, func.count())
            .where(table.c.first_received >= since, table.c.is_ours.is_(False))
            .group_by(hour)
        )
        with self._database.reading() as connection:
            return {
                datetime.strptime(said, "%Y-%m-%d %H").replace(tzinfo=UTC): count
                for said, count in connection.execute(query)
            }

    def study_events(self, uid: StudyInstanceUID) -> Sequence[Happened]:
        """Return everything that happened to the series and the jobs of a study, in order."""
        table, series, jobs = tables.events, tables.series, tables.jobs
        of_series = select(series.c.series_instance_uid).where(series.c.study_instance_uid == uid)
        of_jobs = select(jobs.c.key).where(jobs.c.study_instance_uid == uid)
        query = (
            select(table)
            .where(or_(table.c.job.in_(of_jobs), table.c.series_instance_uid.in_(of_series)))
            .order_by(table.c.at, table.c.number)
            .limit(MOST_EVENTS)
        )
        with self._database.reading() as connection:
            return [happened(row) for row in connection.execute(query)]

    def study_jobs(self, uid: StudyInstanceUID) -> Sequence[Job]:
        """Return the jobs of a study in the order in which they were made, with their inputs."""
        table = tables.jobs
        query = select(table).where(table.c.study_instance_uid == uid).order_by(table.c.number)
        with self._database.reading() as connection:
            return load_jobs(connection, connection.execute(query).all())


def _held() -> Select[Any]:
    """Return how far what workers hold is."""
    table = tables.jobs
    return (
        select(table.c.number, table.c.fence, table.c.progress, table.c.doing)
        .where(table.c.stage.in_([Stage.INFERRING.value, Stage.ENCODING.value]))
        .order_by(table.c.number)
    )


def happened(row: Row[Any]) -> Happened:
    """Return the event of one row of `events`."""
    return Happened(
        number=row.number,
        event=event_of(row),
        job=row.job,
        series_instance_uid=row.series_instance_uid,
    )


def _newest(connection: Connection, limit: int, before: datetime | None) -> list[StudyInstanceUID]:
    """Return the studies of the newest series, each once, newest first."""
    found: dict[StudyInstanceUID, None] = {}
    at_once = limit * _SERIES_PER_STUDY
    last = before
    while len(found) < limit:
        rows = connection.execute(_series_before(last).limit(at_once)).all()
        found.update(dict.fromkeys(StudyInstanceUID(row.study_instance_uid) for row in rows))
        if len(rows) < at_once or rows[-1].first_received == last:
            break
        last = rows[-1].first_received
    return list(found)[:limit]


def _series_before(moment: datetime | None) -> Select[Any]:
    table = tables.series
    query = select(table.c.study_instance_uid, table.c.first_received)
    query = query.where(table.c.is_ours.is_(False)).order_by(table.c.first_received.desc())
    return query if moment is None else query.where(table.c.first_received < moment)


def _studies(
    connection: Connection, uids: Iterable[StudyInstanceUID]
) -> dict[StudyInstanceUID, StudySeen]:
    table, jobs = tables.series, tables.jobs
    wanted = list(uids)
    query = select(table).where(table.c.study_instance_uid.in_(wanted), table.c.is_ours.is_(False))
    query = query.order_by(table.c.first_received, table.c.series_instance_uid)
    series: dict[StudyInstanceUID, list[SeriesSeen]] = {}
    for row in connection.execute(query):
        series.setdefault(row.study_instance_uid, []).append(_series(row))
    counted = (
        select(jobs.c.study_instance_uid, jobs.c.stage, func.count())
        .where(jobs.c.study_instance_uid.in_(wanted), jobs.c.route != SIMILAR)
        .group_by(jobs.c.study_instance_uid, jobs.c.stage)
    )
    stages: dict[str, dict[Stage, int]] = {}
    for uid, stage, number in connection.execute(counted):
        stages.setdefault(uid, {})[Stage(stage)] = number
    return {
        uid: StudySeen(
            study_instance_uid=uid, series=tuple(found), stages=stages.get(uid, {})
        )
        for uid, found in series.items()
    }  # fmt: skip


def _series(row: Row[Any]) -> SeriesSeen:
    return SeriesSeen(
        series_instance_uid=row.series_instance_uid,
        study_instance_uid=row.study_instance_uid,
        calling_ae_title=row.calling_ae_title,
        modality=row.attributes.get("Modality", ""),
        description=row.attributes.get("SeriesDescription", ""),
        instances=row.revision,
        first_received=row.first_received,
        last_received=row.last_received,
        is_open=row.is_open,
        is_ours=row.is_ours,
        waits_because=row.waits_because,
        complete_because=row.complete_because,
    )
