"""The third part of the ledger: jobs under a lease, and what became of each attempt."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    or_,
    select,
    update,
)

from dicom_ai_node.domain.errors import IllegalMove
from dicom_ai_node.domain.job import Job, Stage, check_move
from dicom_ai_node.domain.progress import HowFar
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.rows import job_event, load_jobs, moved, write_events
from dicom_ai_node.store.tables import jobs as table

_HELD_AS: Mapping[Stage, Stage] = {
    Stage.READY: Stage.INFERRING,
    Stage.INFERRED: Stage.ENCODING,
}
_BACK_TO: Mapping[Stage, Stage] = {held: free for free, held in _HELD_AS.items()}
_STARTS_AFRESH = frozenset({Stage.INFERRED, Stage.DELIVERING})
_CAN_BE_PARKED = (Stage.DELIVERING.value, Stage.DELIVERED.value)


def most_urgent_first() -> tuple[ColumnElement[Any], ...]:
    """Return the order of work: STAT, then by urgency, which grows with waiting.

    A routine job that has waited one hour stands where a high one begins. STAT is overtaken by
    nothing but older STAT: after an outage the morning's routine must not hold up the stroke.
    """
    return table.c.is_stat.desc(), table.c.urgent_at, table.c.number


def holds(job: Job) -> ColumnElement[bool]:
    """Return the condition under which `job` may still be finished: its fence and its stage."""
    return and_(
        table.c.key == job.key, table.c.fence == job.fence, table.c.stage == job.stage.value
    )


def _all_that_hold() -> ColumnElement[bool]:
    """Return the condition for many jobs at once, given by `the_key` and `the_fence`."""
    # Not IN: an expanding parameter cannot be used for several rows at once.
    is_held = or_(*(table.c.stage == held.value for held in _BACK_TO))
    return and_(
        table.c.key == bindparam("the_key"), table.c.fence == bindparam("the_fence"), is_held
    )


class JobsAtWork:
    """What the dispatcher reads and writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, stage: Stage, now: datetime, lease: timedelta, limit: int = 1) -> Sequence[Job]:
        """Hand out up to `limit` due jobs in `stage` (READY or INFERRED), most urgent first.

        Raises
        ------
        IllegalMove
            If jobs in `stage` are nobody's to claim.
        """
        if stage not in _HELD_AS:
            raise IllegalMove(f"nobody can claim a job that is {stage}")
        due = select(table.c.number).where(
            table.c.stage == stage.value, or_(table.c.due_at.is_(None), table.c.due_at <= now)
        )
        # Looking costs nobody a lock; an idle dispatcher must not be in the receivers' way.
        if not self._database.has_any(due):
            return []
        pick = (
            due.order_by(*most_urgent_first())
            .limit(limit)
            .with_for_update(skip_locked=True, key_share=True)
        )
        return self._database.transact(_claiming(pick, _HELD_AS[stage], now, now + lease))

    def renew(self, jobs: Sequence[Job], now: datetime, lease: timedelta) -> None:
        """Prolong the leases of jobs whose fence still holds."""
        if not jobs:
            return
        statement = update(table).where(_all_that_hold()).values(lease_until=now + lease)
        rows = [
            {"the_key": job.key, "the_fence": job.fence}
            for job in sorted(jobs, key=lambda job: job.key)
        ]
        self._database.transact(lambda connection: connection.execute(statement, rows))

    def note_progress(self, told: Sequence[HowFar]) -> None:
        """Note how far jobs at work are, of those whose fence still holds.

        In a transaction that waits for no disk and for hardly anybody: a crash may take it back.
        """
        if not told:
            return
        statement = (
            update(table)
            .where(_all_that_hold())
            .values(progress=bindparam("how_far"), doing=bindparam("the_phase"))
        )
        rows = [
            {
                "the_key": one.job,
                "the_fence": one.fence,
                "how_far": one.progress.part,
                "the_phase": one.progress.phase.value,
            }
            for one in sorted(told, key=lambda one: one.job)
        ]
        self._database.jot(lambda connection: connection.execute(statement, rows))

    def move(
        self,
        job: Job,
        to: Stage,
        now: datetime,
        *,
        note: str = "",
        who: Who | None = None,
        due_at: datetime | None = None,
    ) -> bool:
        """Move a claimed job on. Returns False, and does nothing, if its fence is stale.

        Raises
        ------
        IllegalMove
            If no leg leads there.
        """
        check_move(job.stage, to)
        changes: dict[str, Any] = {
            "stage": to.value,
            "note": note,
            "who": who,
            "due_at": due_at,
            "lease_until": None,
            "progress": 0.0,
            "doing": "",
        }
        if to in _STARTS_AFRESH:
            changes["attempts"] = 0

        def work(connection: Connection) -> bool:
            if connection.execute(update(table).where(holds(job)).values(changes)).rowcount == 0:
                return False
            write_events(connection, [job_event(job.key, moved(to, now, note))])
            return True

        return self._database.transact(work)

    def reap(self, now: datetime, attempts: int) -> Sequence[Job]:
        """Take back jobs whose lease has run out and return them as they now are."""
        overdue = (
            select(table)
            .where(table.c.stage.in_([held.value for held in _BACK_TO]), table.c.lease_until <= now)
            .order_by(table.c.number)
        )
        if not self._database.has_any(overdue):
            return []

        def work(connection: Connection) -> Sequence[Job]:
            rows = connection.execute(
                overdue.with_for_update(skip_locked=True, key_share=True)
            ).all()
            for row in rows:
                _take_back(connection, row, now, attempts)
            keys = [row.key for row in rows]
            query = select(table).where(table.c.key.in_(keys)).order_by(table.c.number)
            return load_jobs(connection, connection.execute(query).all())

        return self._database.transact(work)


def _claiming(
    pick: Select[Any], to: Stage, now: datetime, until: datetime
) -> Callable[[Connection], Sequence[Job]]:
    # MATERIALIZED, or PostgreSQL may evaluate the picking more than once and lock more rows.
    picked = pick.cte("pick").prefix_with("MATERIALIZED", dialect="postgresql")
    claiming = (
        update(table)
        .where(table.c.number.in_(select(picked.c.number)))
        .values(
            stage=to.value,
            fence=table.c.fence + 1,
            attempts=table.c.attempts + 1,
            due_at=None,
            lease_until=until,
            progress=0.0,
            doing="",
        )
        .returning(table)
    )

    def work(connection: Connection) -> Sequence[Job]:
        rows = connection.execute(claiming).all()
        ordered = sorted(rows, key=lambda row: (not row.is_stat, row.urgent_at, row.number))
        write_events(
            connection,
            [job_event(row.key, moved(to, now, f"attempt {row.attempts}")) for row in ordered],
        )
        return load_jobs(connection, ordered)

    return work


def _take_back(connection: Connection, row: Row[Any], now: datetime, attempts: int) -> None:
    held = Stage(row.stage)
    is_poison = row.attempts >= attempts
    to = Stage.QUARANTINED if is_poison else _BACK_TO[held]
    check_move(held, to)
    note = f"attempt {row.attempts}: its worker was lost while {held}"
    connection.execute(
        update(table)
        .where(table.c.key == row.key)
        .values(
            stage=to.value,
            fence=row.fence + 1,
            note=note,
            who=Who.PERSON if is_poison else None,
            due_at=None,
            lease_until=None,
            progress=0.0,
            doing="",
        )
    )
    write_events(connection, [job_event(row.key, moved(to, now, note))])


def park_jobs(connection: Connection, keys: Iterable[JobKey], now: datetime, note: str) -> None:
    """Let a person look at jobs of which a destination has refused something."""
    stopped = (
        update(table)
        .where(table.c.key.in_(set(keys)), table.c.stage.in_(_CAN_BE_PARKED))
        .values(stage=Stage.PARKED.value, note=note, who=Who.PERSON)
        .returning(table.c.key)
    )
    told = moved(Stage.PARKED, now, note)
    parked = connection.scalars(stopped).all()
    write_events(connection, [job_event(key, told) for key in sorted(parked)])
