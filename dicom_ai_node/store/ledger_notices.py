"""The part of the ledger that tells: what has happened becomes notices, one per target."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.notice import About, Fact, Notice
from dicom_ai_node.domain.rule import Priority
from dicom_ai_node.store import tables
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.notice_tables import notice_targets, notices
from dicom_ai_node.store.proof_heard import DOUBTED_FIRST

SETTLED = timedelta(seconds=10)
"""A fact is looked at when it is this old: by then no earlier number can appear any more."""
KEPT = timedelta(days=7)
"""How long a notice stays after it was told."""
_AT_ONCE = 500
_FAILED = (f"job_{Stage.PARKED}", f"job_{Stage.QUARANTINED}")
_FINISHED = f"job_{Stage.DELIVERED}"


class Telling:
    """What the watch reads and writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def gather(self, wanted: Sequence[tuple[str, frozenset[About]]], now: datetime) -> int:
        """Turn what has happened since the last call into notices; return how many.

        A target that is new is told nothing of what was before.
        """

        def work(connection: Connection) -> int:
            return sum(_gather(connection, target, about, now) for target, about in wanted)

        return self._database.transact(work)

    def claim_notices(
        self, target: str, now: datetime, lease: timedelta, limit: int = 50
    ) -> Sequence[Notice]:
        """Hand out due notices of one target, oldest first, each with one more attempt."""
        due = (
            select(notices)
            .where(
                notices.c.target == target,
                notices.c.told_at.is_(None),
                or_(notices.c.due_at.is_(None), notices.c.due_at <= now),
            )
            .order_by(notices.c.number)
            .limit(limit)
        )
        if not self._database.has_any(due):
            return ()

        def work(connection: Connection) -> Sequence[Notice]:
            rows = connection.execute(due.with_for_update(skip_locked=True)).all()
            for row in rows:
                change = update(notices).where(notices.c.number == row.number)
                connection.execute(
                    change.values(
                        fence=row.fence + 1, attempts=row.attempts + 1, due_at=now + lease
                    )
                )
            return [_notice(row) for row in rows]

        return self._database.transact(work)

    def told(self, notice: Notice, now: datetime) -> bool:
        """Note that the target knows; False if somebody else has claimed the notice since."""
        return self._change(notice, told_at=now, note="")

    def not_told(self, notice: Notice, note: str, due_at: datetime) -> bool:
        """Set a notice due again."""
        return self._change(notice, due_at=due_at, note=note)

    def _change(self, notice: Notice, **values: object) -> bool:
        change = update(notices).where(
            notices.c.number == notice.number, notices.c.fence == notice.fence
        )
        return self._database.transact(
            lambda connection: connection.execute(change.values(values)).rowcount > 0
        )


def _gather(connection: Connection, target: str, about: frozenset[About], now: datetime) -> int:
    seen = connection.execute(
        select(notice_targets).where(notice_targets.c.target == target).with_for_update()
    ).first()
    if seen is None:
        connection.execute(
            insert(notice_targets).values(
                target=target,
                event=_newest(connection, tables.events.c.number),
                quarantine=_newest(connection, tables.quarantine.c.number),
            )
        )
        return 0
    events = _settled(connection, tables.events, seen.event, now)
    entries = _settled(connection, tables.quarantine, seen.quarantine, now)
    facts = [*_of_jobs(connection, events), *_of_destinations(events), *map(_of_entry, entries)]
    rows = [_row(target, fact) for fact in facts if fact.about in about]
    if rows:
        connection.execute(insert(notices), rows)
    if events or entries:
        change = update(notice_targets).where(notice_targets.c.target == target)
        connection.execute(
            change.values(
                event=events[-1].number if events else seen.event,
                quarantine=entries[-1].number if entries else seen.quarantine,
            )
        )
    connection.execute(delete(notices).where(notices.c.told_at < now - KEPT))
    return len(rows)


def _newest(connection: Connection, number: Any) -> int:  # noqa: ANN401 - a column
    return int(connection.execute(select(func.coalesce(func.max(number), 0))).scalar_one())


def _settled(connection: Connection, table: Any, after: int, now: datetime) -> Sequence[Row[Any]]:  # noqa: ANN401 - a table
    query = select(table).where(table.c.number > after).order_by(table.c.number).limit(_AT_ONCE)
    rows = connection.execute(query).all()
    young = next((n for n, row in enumerate(rows) if row.at > now - SETTLED), len(rows))
    return rows[:young]


def _of_jobs(connection: Connection, events: Sequence[Row[Any]]) -> list[Fact]:
    table = tables.jobs
    told = [event for event in events if event.what in (*_FAILED, _FINISHED)]
    query = select(table).where(table.c.key.in_({event.job for event in told}))
    jobs = {row.key: row for row in connection.execute(query)} if told else {}
    facts: list[Fact] = []
    for event in told:
        job = jobs.get(event.job)
        is_stat = job is not None and job.priority == int(Priority.STAT)
        if job is None or (event.what == _FINISHED and not is_stat):
            continue
        facts.append(
            Fact(
                about=About.STAT_FINISHED if event.what == _FINISHED else About.FAILED,
                at=event.at,
                job=job.key[:12],
                route=job.route,
                model=job.model,
                stage=event.what.removeprefix("job_"),
                who=job.who or "",
            )
        )
    return facts


def _of_destinations(events: Sequence[Row[Any]]) -> list[Fact]:
    # One for all jobs that were asked about at once.
    told = {
        (event.fields["destination"], event.at) for event in events if event.what == DOUBTED_FIRST
    }
    return [Fact(about=About.UNPROVEN, at=at, destination=name) for name, at in sorted(told)]


def _of_entry(entry: Row[Any]) -> Fact:
    return Fact(about=About.QUARANTINED, at=entry.at, quarantine=entry.number)


def _row(target: str, fact: Fact) -> dict[str, Any]:
    told = {key: value for key, value in asdict(fact).items() if key != "at"}
    return {
        "target": target,
        "at": fact.at,
        "fact": told,
        "attempts": 0,
        "fence": 0,
        "note": "",
    }


def _notice(row: Row[Any]) -> Notice:
    told = {**row.fact, "about": About(row.fact["about"])}
    return Notice(
        number=row.number,
        target=row.target,
        fact=Fact(at=row.at, **told),
        attempts=row.attempts + 1,
        fence=row.fence + 1,
    )
