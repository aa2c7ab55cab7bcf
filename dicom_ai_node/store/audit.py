"""The audit trail in SQL: notes are sealed into a chain, each record over the one before it."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, text, update

from dicom_ai_node.domain.audit import (
    AuditFilter,
    AuditRecord,
    Backlog,
    Happening,
    Kind,
    Message,
    Noted,
    Outcome,
    Verdict,
)
from dicom_ai_node.store.audit_notes import noted, write_happenings
from dicom_ai_node.store.audit_tables import (
    audit_anchors,
    audit_notes,
    audit_records,
    audit_settled,
)
from dicom_ai_node.store.engines import Database

NOTHING = "0" * 64
"""What the first record of all has for the one before it."""
_AT_ONCE = 500


class SealedByOther(Exception):
    """Another process has sealed the same notes first."""


class SqlTrail:
    """The audit trail; implements `domain.audit.Trail`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def note(self, *happenings: Happening) -> None:
        """Keep what has happened; raise `OutOfResources` if the ledger cannot answer now."""
        self._database.transact(lambda connection: write_happenings(connection, happenings))

    def noted(self, limit: int = 500) -> Sequence[Noted]:
        """Return what waits to be sealed, oldest first."""
        query = select(audit_notes).order_by(audit_notes.c.number).limit(limit)
        with self._database.reading() as connection:
            return [noted(row) for row in connection.execute(query)]

    def seal(self, messages: Sequence[Message], of: Sequence[int]) -> int:
        """Add messages to the chain and forget the notes that they were made of: all or nothing.

        Does nothing, and returns 0, if somebody else has sealed one of these notes.
        """

        def work(connection: Connection) -> int:
            number, previous = _anchor(connection, "last", is_to_change=True)
            gone = connection.execute(delete(audit_notes).where(audit_notes.c.number.in_(of)))
            if gone.rowcount != len(of):
                raise SealedByOther
            rows = []
            for number, message in enumerate(messages, number + 1):  # noqa: B020 - counts on
                row = _row(number, message, previous)
                rows.append(row)
                previous = row["sha256"]
            if rows:
                connection.execute(insert(audit_records), rows)
                _move(connection, "last", number, previous)
            return len(rows)

        with suppress(SealedByOther):
            return self._database.transact(work)
        return 0

    def records(self, which: AuditFilter) -> Sequence[AuditRecord]:
        """Return records, newest first."""
        query = _filtered(which).order_by(audit_records.c.number.desc()).limit(which.limit)
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def oldest_first(self, which: AuditFilter) -> Iterator[AuditRecord]:
        """Yield all records that match, whatever the limit."""
        after = 0
        while True:
            query = _filtered(which).where(audit_records.c.number > after)
            query = query.order_by(audit_records.c.number).limit(_AT_ONCE)
            with self._database.reading() as connection:
                some = [_record(row) for row in connection.execute(query)]
            yield from some
            if len(some) < _AT_ONCE:
                return
            after = some[-1].number

    def record(self, number: int) -> AuditRecord | None:
        """Return one record."""
        query = select(audit_records).where(audit_records.c.number == number)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            return None if row is None else _record(row)

    def unsent(self, limit: int = 200) -> Sequence[AuditRecord]:
        """Return the records that the repository does not have, oldest first."""
        table = audit_records
        query = select(table).where(table.c.sent_at.is_(None)).order_by(table.c.number)
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(query.limit(limit))]

    def sent(self, numbers: Sequence[int], now: datetime) -> None:
        """Note that the repository has these records."""
        change = update(audit_records).where(audit_records.c.number.in_(numbers))
        self._database.transact(lambda connection: connection.execute(change.values(sent_at=now)))

    def backlog(self) -> Backlog:
        """Return how much the repository does not have."""
        table = audit_records
        query = select(func.count(), func.min(table.c.at)).where(table.c.sent_at.is_(None))
        with self._database.reading() as connection:
            count, since = connection.execute(query).one()
        return Backlog(records=count, since=since)

    def verify(self) -> Verdict:
        """Look at every record, from where the chain is anchored to its end."""
        with self._database.reading() as connection:
            if connection.dialect.name == "postgresql":
                # Or it would see the anchors of one moment and the records of another.
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            return _verdict(connection)

    def expire(self, before: datetime, *, only_sent: bool) -> int:
        """Remove records of a time before from the beginning of the chain, and anchor the rest."""
        table = audit_records
        stays = table.c.at >= before
        if only_sent:
            stays |= table.c.sent_at.is_(None)
        first = select(func.min(table.c.number)).where(stays)

        def work(connection: Connection) -> int:
            last, _ = _anchor(connection, "last", is_to_change=True)
            until = connection.scalar(first) or last + 1
            query = select(table.c.number, table.c.sha256).where(table.c.number < until)
            newest = connection.execute(query.order_by(table.c.number.desc()).limit(1)).first()
            if newest is None:
                return 0
            _anchor(connection, "first", is_to_change=True)
            _move(connection, "first", newest.number, newest.sha256)
            return connection.execute(delete(table).where(table.c.number < until)).rowcount

        return self._database.transact(work)

    def settle(self, name: str, value: str) -> str | None:
        """Keep a value under a name and return the one before, `None` where there was none."""
        table = audit_settled

        def work(connection: Connection) -> str | None:
            mine = table.c.name == name
            before = connection.scalar(select(table.c.value).where(mine).with_for_update())
            if before is None:
                connection.execute(insert(table).values(name=name, value=value))
            elif before != value:
                connection.execute(update(table).where(mine).values(value=value))
            return None if before is None else str(before)

        return self._database.transact(work)


def _filtered(which: AuditFilter) -> Select[Any]:
    table = audit_records
    query = select(table)
    if which.kind is not None:
        query = query.where(table.c.kind == which.kind.value)
    if which.who:
        query = query.where(table.c.who.icontains(which.who, autoescape=True))
    if which.since is not None:
        query = query.where(table.c.at >= which.since)
    if which.until is not None:
        query = query.where(table.c.at < which.until)
    if which.before is not None:
        query = query.where(table.c.number < which.before)
    return query


def _row(number: int, message: Message, previous: str) -> dict[str, Any]:
    return {
        "number": number,
        "at": message.at,
        "kind": message.kind.value,
        "outcome": int(message.outcome),
        "who": message.who,
        "text": message.text,
        "previous": previous,
        "sha256": digest(number, message, previous),
    }


def digest(number: int, message: Message, previous: str) -> str:
    """Return the hash of a record: over all that it says, and the hash of the one before it."""
    said = [
        number,
        message.at.astimezone(UTC).isoformat(),
        message.kind,
        int(message.outcome),
        message.who,
        message.text,
        previous,
    ]
    return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()


def _record(row: Row[Any]) -> AuditRecord:
    message = Message(
        at=row.at, kind=Kind(row.kind), outcome=Outcome(row.outcome), who=row.who, text=row.text
    )
    return AuditRecord(
        number=row.number,
        message=message,
        previous=row.previous,
        sha256=row.sha256,
        sent_at=row.sent_at,
    )


def _anchor(connection: Connection, name: str, *, is_to_change: bool = False) -> tuple[int, str]:
    """Return where the chain is anchored; make the anchor where it is to be moved."""
    table = audit_anchors
    query = select(table).where(table.c.name == name)
    row = connection.execute(query.with_for_update() if is_to_change else query).first()
    if row is not None:
        return row.number, row.sha256
    if is_to_change:
        connection.execute(insert(table).values(name=name, number=0, sha256=NOTHING))
    return 0, NOTHING


def _move(connection: Connection, name: str, number: int, sha256: str) -> None:
    table = audit_anchors
    change = update(table).where(table.c.name == name).values(number=number, sha256=sha256)
    connection.execute(change)


def _verdict(connection: Connection) -> Verdict:
    before, previous = _anchor(connection, "first")
    last = _anchor(connection, "last")
    count = 0
    for row in _pages(connection):
        expected = before + 1
        if row.number != expected:
            why = "it was removed" if row.number > expected else "it is one too many"
            return Verdict(records=count, broken=min(row.number, expected), why=why)
        if row.previous != previous:
            why = "it does not follow the record before it"
            return Verdict(records=count, broken=row.number, why=why)
        if not _is_true(row):
            return Verdict(records=count, broken=row.number, why="it was changed")
        before, previous, count = row.number, row.sha256, count + 1
    if (before, previous) == last:
        return Verdict(records=count)
    if before < last[0]:
        return Verdict(records=count, broken=before + 1, why="it was removed")
    return Verdict(records=count, broken=before, why="the chain ended before it")


def _pages(connection: Connection) -> Iterator[Row[Any]]:
    table = audit_records
    query = select(table).order_by(table.c.number).limit(_AT_ONCE)
    some = connection.execute(query).all()
    while some:
        yield from some
        after = some[-1].number
        some = connection.execute(query.where(table.c.number > after)).all()


def _is_true(row: Row[Any]) -> bool:
    try:
        record = _record(row)
    except ValueError:
        return False  # no kind or outcome that we have ever written
    return bool(digest(record.number, record.message, record.previous) == row.sha256)
