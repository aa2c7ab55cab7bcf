"""The first part of the ledger: what has arrived, and what each arrival turned out to be."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from dicom_ai_node.domain.job import Event
from dicom_ai_node.domain.study import Arrival, Received
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256
from dicom_ai_node.store.audit_notes import write_arrivals
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.intake import Intake, open_quarantine
from dicom_ai_node.store.rows import series_event, write_events
from dicom_ai_node.store.tables import series as table


class Arrivals:
    """What the receivers write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, arrivals: Sequence[Arrival], now: datetime, quiet: timedelta
    ) -> Sequence[Received]:
        """Record arrivals, in one transaction, and return what each turned out to be."""
        if not arrivals:
            return ()

        def work(connection: Connection) -> Sequence[Received]:
            intake = Intake.opened(connection, arrivals)
            received = [intake.take(arrival) for arrival in arrivals]
            intake.write(connection, now, now + quiet)
            write_arrivals(connection, arrivals, received, now)
            return received

        return self._database.transact(work)

    def quarantine(self, digest: Sha256, reason: str, sender: str, now: datetime) -> int:
        """Open a quarantine entry for a blob and return its number."""

        def work(connection: Connection) -> int:
            return open_quarantine(connection, digest, reason, sender, now)

        return self._database.transact(work)

    def release(self, series: Sequence[SeriesInstanceUID], now: datetime, due: datetime) -> None:
        """Note that the association that brought these series ended in good order."""
        self._database.transact(lambda connection: _release(connection, series, now, due))


def _release(
    connection: Connection, uids: Sequence[SeriesInstanceUID], now: datetime, due: datetime
) -> None:
    released = connection.execute(
        select(table.c.series_instance_uid, table.c.due_at)
        .where(table.c.series_instance_uid.in_(uids), table.c.is_open)
        .order_by(table.c.series_instance_uid)
        .with_for_update(key_share=True)
    ).all()
    for row in released:
        connection.execute(
            update(table)
            .where(table.c.series_instance_uid == row.series_instance_uid)
            .values(is_released=True, due_at=min(row.due_at, due))
        )
    event = Event(at=now, what="association_released")
    write_events(connection, [series_event(row.series_instance_uid, event) for row in released])
