"""A prepared statement does what SQLAlchemy does with it, in both databases."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError

from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.store.engines import Collision, Database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.prepared import Prepared, into
from dicom_ai_node.store.tables import events, instances, own_uids, series
from tests.store.made import NOON, QUIET, arrival

_COLUMNS = ("at", "what", "detail", "fields")
_INTO_EVENTS = into(events, *_COLUMNS)
_SERIES = Prepared(lambda uids: select(series).where(series.c.series_instance_uid.in_(uids)))


def _row(number: int) -> dict[str, Any]:
    """Return a row with all that a driver may take wrongly: moments, JSON, words of strangers."""
    return {
        "at": NOON + timedelta(microseconds=number),
        "what": "x",
        "detail": f"100 % \0 \udce9 ü 中 :a %(b)s ? {number}",
        "fields": {"none": None, "number": number, "words": "ü中"},
    }


def test_what_is_written_is_what_sqlalchemy_writes(database: Database) -> None:
    """Moments with their zone, JSON, and text without what PostgreSQL does not take."""
    rows = [_row(number) for number in range(5)]
    database.transact(lambda connection: _INTO_EVENTS.write(connection, rows))
    database.transact(lambda connection: connection.execute(insert(events), rows))
    query = select(*(events.c[name] for name in _COLUMNS)).order_by(events.c.number)
    with database.reading() as connection:
        found = [tuple(row) for row in connection.execute(query)]
    assert len(found) == 10
    assert found[:5] == found[5:]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9, 100])
def test_what_is_read_is_what_sqlalchemy_reads(
    database: Database, ledger: SqlLedger, count: int
) -> None:
    """For lists of any length, and no row twice."""
    arrivals = [arrival(number, series=f"1.2.{number}") for number in range(count + 3)]
    ledger.record(arrivals, NOON, QUIET)
    uids = [f"1.2.{number}" for number in range(count)]
    plain = select(series).where(series.c.series_instance_uid.in_(uids))
    with database.reading() as connection:
        found = _SERIES.rows(connection, uids=uids)
        expected = [dict(row._mapping) for row in connection.execute(plain)]
    assert len(found) == count
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_nothing_to_write_is_nothing_to_do(database: Database) -> None:
    """The database is not asked."""
    database.transact(lambda connection: _INTO_EVENTS.write(connection, []))
    with database.reading() as connection:
        assert connection.execute(select(events.c.number)).all() == []


def test_who_loses_a_race_begins_again(database: Database) -> None:
    """The error of the driver is the one that the ledger knows; it quotes no row."""
    own = into(own_uids, "uid", "made_at")
    row = {"uid": "1.2.3", "made_at": NOON}
    with pytest.raises(Collision) as caught, database.writing() as connection:
        own.write(connection, [row, row])
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert "1.2.3" not in str(caught.value)
    with database.reading() as connection:
        assert connection.execute(select(own_uids.c.uid)).all() == []


def test_a_connection_that_broke_is_not_used_again(database: Database) -> None:
    """PostgreSQL may go while a statement waits; the next transaction gets a new connection."""
    if database.write.dialect.name == "sqlite":
        pytest.skip("SQLite has no connections to break")
    broken = Prepared(lambda: select(instances.c.number))

    def work(connection: Connection) -> None:
        mine = connection.scalar(text("SELECT pg_backend_pid()"))
        with database.read.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:mine)"), {"mine": mine})
        broken.rows(connection)

    with pytest.raises(OutOfResources, match="cannot answer now"):
        database.transact(work)
    with database.writing() as connection:
        assert broken.rows(connection) == []
