"""How busy devices are, remembered for an hour; implements `domain.devices.Used`."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, delete, insert, or_, select, tuple_

from dicom_ai_node.domain.devices import REMEMBERED, DeviceUse
from dicom_ai_node.store.device_tables import device_use as table
from dicom_ai_node.store.engines import Database


class DevicesUsed:
    """What the sampler writes and the charts read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note_use(self, minute: Sequence[DeviceUse]) -> None:
        """Remember a minute of this machine in place of what was known of it; forget old ones."""
        if not minute:
            return
        same = tuple_(table.c.machine, table.c.device, table.c.at).in_([
            (one.machine, one.device, one.at) for one in minute
        ])  # fmt: skip
        old = table.c.at < max(one.at for one in minute) - REMEMBERED

        def work(connection: Connection) -> None:
            connection.execute(delete(table).where(or_(same, old)))
            connection.execute(insert(table), [asdict(one) for one in minute])

        self._database.jot(work)

    def device_use(self, since: datetime) -> Sequence[DeviceUse]:
        """Return every minute since, by machine and device, oldest first."""
        query = select(table).where(table.c.at >= since)
        query = query.order_by(table.c.machine, table.c.device, table.c.at)
        with self._database.reading() as connection:
            return [DeviceUse(**row) for row in connection.execute(query).mappings()]
