"""The third part of the overview: events, quarantine, and what goes next."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import func, select

from dicom_ai_node.domain.overview import EventFilter, Going, Happened, Promised
from dicom_ai_node.domain.study import Quarantined
from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.store import tables
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger_forget import done_with, forgettable
from dicom_ai_node.store.overview_studies import happened
from dicom_ai_node.store.promises import promised_studies

MOST_OF_A_NAME = 5
"""Jobs that may begin with what was typed; a longer name is asked for beyond."""


class UpkeepSeen:
    """What operators look after."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def events_listed(self, which: EventFilter) -> Sequence[Happened]:
        """Return events, newest first."""
        table, jobs = tables.events, tables.jobs
        query = select(table).order_by(table.c.number.desc()).limit(which.limit)
        if which.what:
            query = query.where(table.c.what == which.what)
        if which.since is not None:
            query = query.where(table.c.at >= which.since)
        if which.until is not None:
            query = query.where(table.c.at < which.until)
        if which.before is not None:
            query = query.where(table.c.number < which.before)
        with self._database.reading() as connection:
            if which.job:
                named = select(jobs.c.key).where(jobs.c.key.startswith(which.job, autoescape=True))
                keys = connection.scalars(named.limit(MOST_OF_A_NAME)).all()
                query = query.where(table.c.job.in_(keys))
            return [happened(row) for row in connection.execute(query)]

    def put_aside(self, limit: int, before: int | None = None) -> Sequence[Quarantined]:
        """Return open quarantine entries, newest first."""
        table = tables.quarantine
        query = select(table).where(table.c.is_open).order_by(table.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(table.c.number < before)
        with self._database.reading() as connection:
            return [Quarantined(**row) for row in connection.execute(query).mappings()]

    def put_aside_as(self, number: int) -> Quarantined | None:
        """Return one quarantine entry, open or closed."""
        table = tables.quarantine
        with self._database.reading() as connection:
            row = connection.execute(select(table).where(table.c.number == number)).mappings()
            found = row.first()
        return None if found is None else Quarantined(**found)

    def going_next(
        self, now: datetime, limit: int, proving: Collection[str] = ()
    ) -> Sequence[Going]:
        """Return what retention may remove when its time has come, oldest first."""
        last = func.max(tables.series.c.last_received)
        query = forgettable(now, now, proving).add_columns(last).limit(limit)
        with self._database.reading() as connection:
            return [
                Going(study_instance_uid=StudyInstanceUID(uid), last_received=last)
                for uid, last in connection.execute(query)
            ]

    def promised(self, now: datetime, proving: Collection[str] = ()) -> Promised:
        """Return which studies wait for nothing but the end of a promise."""
        held = done_with(now, proving).order_by(None).subquery()
        table = promised_studies
        query = (
            select(func.count(), func.min(table.c.until))
            .where(table.c.until > now)
            .where(table.c.study_instance_uid.in_(select(held.c.study_instance_uid)))
        )
        with self._database.reading() as connection:
            studies, until = connection.execute(query).one()
        return Promised(studies=studies, first_until=until)

    def held_bytes(self) -> int:
        """Return how many bytes all received instances have together."""
        with self._database.reading() as connection:
            return int(connection.scalar(select(func.sum(tables.instances.c.size_bytes))) or 0)
