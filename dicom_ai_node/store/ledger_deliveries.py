"""The fourth part of the ledger: what a job has made, and its way to each destination."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from dicom_ai_node.domain.audit import Outcome, Way
from dicom_ai_node.domain.errors import IllegalMove
from dicom_ai_node.domain.job import Delivery, DeliveryState, Event, Job, Result, Stage, check_move
from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.store import tables
from dicom_ai_node.store.audit_notes import write_sent
from dicom_ai_node.store.deliveries_due import GOING_OUT, JOBS_TO_SEND, to_be_sent
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger_jobs import holds, most_urgent_first, park_jobs
from dicom_ai_node.store.rows import delivery_of, job_event, moved, result_of, write_events
from dicom_ai_node.store.tables import deliveries as sent

_THERE = (DeliveryState.DONE.value, DeliveryState.COMMITTED.value)


class ResultsUnderWay:
    """What the encoder hands over and the senders read and write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def commit_results(
        self, job: Job, results: Sequence[Result], destinations: Sequence[str], now: datetime,
        note: str = "",
    ) -> bool:  # fmt: skip
        """List the objects of an ENCODING job and one delivery per object and destination.

        Raises
        ------
        IllegalMove
            If the job was not claimed for encoding.
        """
        planned = [
            Delivery(result=result, destination=destination)
            for result in results
            for destination in dict.fromkeys(destinations)
        ]
        to = Stage.DELIVERING if planned else Stage.DELIVERED
        if job.stage is not Stage.ENCODING:
            raise IllegalMove(f"a job that is {job.stage} has no results to commit")

        def work(connection: Connection) -> bool:
            done = connection.execute(
                update(tables.jobs)
                .where(holds(job))
                .values(
                    stage=to.value, attempts=0, note="", lease_until=None, progress=1.0, doing=""
                )
            )
            if done.rowcount == 0:
                return False
            _list_results(connection, results, planned, now)
            detail = f"{len(results)} objects" + (f"; {note}" if note else "")
            write_events(connection, [job_event(job.key, moved(to, now, detail))])
            return True

        return self._database.transact(work)

    def claim_deliveries(
        self, destination: str, now: datetime, lease: timedelta, limit: int = 100
    ) -> Sequence[Delivery]:
        """Hand out due deliveries of the one most urgent job for this destination."""
        if not self._database.has_any(JOBS_TO_SEND, {"destination": destination, "now": now}):
            return []
        due, jobs = to_be_sent(destination, now), tables.jobs
        out = jobs.c.stage.in_(GOING_OUT)
        waiting = select(sent.c.job).join(jobs, jobs.c.key == sent.c.job).where(due, out)

        def work(connection: Connection) -> Sequence[Delivery]:
            most_urgent = connection.scalar(
                waiting.order_by(*most_urgent_first())
                .limit(1)
                .with_for_update(of=sent, skip_locked=True, key_share=True)
            )
            if most_urgent is None:
                return []
            rows = connection.execute(
                select(sent.c.sop_instance_uid)
                .join(tables.results, tables.results.c.sop_instance_uid == sent.c.sop_instance_uid)
                .where(due, sent.c.job == most_urgent)
                .order_by(tables.results.c.position)
                .limit(limit)
                .with_for_update(of=sent, skip_locked=True, key_share=True)
            )
            uids = rows.scalars().all()
            mine = and_(sent.c.destination == destination, sent.c.sop_instance_uid.in_(uids))
            connection.execute(
                update(sent)
                .where(mine)
                .values(
                    state=DeliveryState.SENDING.value,
                    fence=sent.c.fence + 1,
                    attempts=sent.c.attempts + 1,
                    due_at=None,
                    lease_until=now + lease,
                )
            )
            claimed = load_deliveries(connection, mine)
            write_sent(connection, Way.BEGIN, claimed, now)
            return claimed

        return self._database.transact(work)

    def delivered(self, delivery: Delivery, now: datetime, note: str = "") -> bool:
        """Mark one delivery as done; with the last one of a job the job becomes DELIVERED."""
        event = _told("delivery_done", delivery, now, note)
        changes = {"state": DeliveryState.DONE.value, "done_at": now}

        def after(connection: Connection, stage: Stage) -> None:
            still_open = connection.scalar(
                select(sent.c.job)
                .where(sent.c.job == delivery.result.job, sent.c.state.not_in(_THERE))
                .limit(1)
            )
            if still_open is None and stage is Stage.DELIVERING:
                _set_stage(connection, delivery.result.job, Stage.DELIVERED, now)

        return self._database.transact(_settling(delivery, changes, note, event, after))

    def not_delivered(
        self, delivery: Delivery, now: datetime, note: str, due_at: datetime | None
    ) -> bool:
        """Set a delivery due again at `due_at`, or park it and its job where that is `None`."""
        is_parked = due_at is None
        state = DeliveryState.PARKED if is_parked else DeliveryState.DUE
        what = "delivery_parked" if is_parked else "delivery_postponed"
        event = _told(what, delivery, now, note)

        def after(connection: Connection, _stage: Stage) -> None:
            if is_parked:
                why = f"{delivery.destination}: {note}"
                park_jobs(connection, [delivery.result.job], now, why)

        changes = {"state": state.value, "due_at": due_at}
        return self._database.transact(_settling(delivery, changes, note, event, after))

    def results(self, key: JobKey) -> Sequence[Result]:
        """Return the objects of a job in the order in which they were made."""
        table = tables.results
        query = select(table).where(table.c.job == key).order_by(table.c.position)
        with self._database.reading() as connection:
            return [result_of(row) for row in connection.execute(query)]

    def deliveries(self, key: JobKey) -> Sequence[Delivery]:
        """Return the deliveries of a job, in the order of its results, then by destination."""
        with self._database.reading() as connection:
            return load_deliveries(connection, sent.c.job == key)


def load_deliveries(connection: Connection, which: ColumnElement[bool]) -> list[Delivery]:
    """Return deliveries with their results."""
    made = tables.results
    query = (
        select(sent, *(made.c[name] for name in _OF_THE_RESULT))
        .join(made, made.c.sop_instance_uid == sent.c.sop_instance_uid)
        .where(which)
        .order_by(made.c.job, made.c.position, sent.c.destination)
    )
    return [delivery_of(row, result_of(row)) for row in connection.execute(query)]


_OF_THE_RESULT = (
    "position", "kind", "sop_class_uid", "series_instance_uid", "transfer_syntax_uid", "sha256",
)  # fmt: skip


def _settling(
    delivery: Delivery,
    changes: dict[str, Any],
    note: str,
    event: Event,
    after: Callable[[Connection, Stage], None],
) -> Callable[[Connection], bool]:
    """Return the work that ends one claimed delivery, unless its fence is stale."""
    job = delivery.result.job

    def work(connection: Connection) -> bool:
        # The job is locked first: of two last deliveries that end at once, one must see the other.
        stage = connection.scalar(
            select(tables.jobs.c.stage)
            .where(tables.jobs.c.key == job)
            .with_for_update(key_share=True)
        )
        done = connection.execute(
            update(sent)
            .where(
                sent.c.sop_instance_uid == delivery.result.sop_instance_uid,
                sent.c.destination == delivery.destination,
                sent.c.fence == delivery.fence,
                sent.c.state == DeliveryState.SENDING.value,
            )
            .values(lease_until=None, note=note, **changes)
        )
        if stage is None or done.rowcount == 0:
            return False
        write_events(connection, [job_event(job, event)])
        is_done = changes["state"] == DeliveryState.DONE.value
        outcome = Outcome.SUCCESS if is_done else Outcome.MINOR_FAILURE
        write_sent(connection, Way.OUT, [delivery], event.at, outcome)
        after(connection, Stage(stage))
        return True

    return work


def _set_stage(connection: Connection, key: JobKey, to: Stage, now: datetime) -> None:
    check_move(Stage.DELIVERING, to)
    connection.execute(
        update(tables.jobs)
        .where(tables.jobs.c.key == key)
        .values(stage=to.value, note="", who=None)
    )
    write_events(connection, [job_event(key, moved(to, now))])


def _told(what: str, delivery: Delivery, now: datetime, note: str) -> Event:
    return Event(
        at=now,
        what=what,
        detail=note,
        fields={
            "destination": delivery.destination,
            "kind": delivery.result.kind,
            "attempt": str(delivery.attempts),
        },
    )


def _list_results(
    connection: Connection, made: Sequence[Result], planned: Sequence[Delivery], now: datetime
) -> None:
    rows = [
        {
            "sop_instance_uid": result.sop_instance_uid,
            "job": result.job,
            "position": position,
            "kind": result.kind,
            "sop_class_uid": result.sop_class_uid,
            "series_instance_uid": result.series_instance_uid,
            "transfer_syntax_uid": result.transfer_syntax_uid,
            "sha256": result.sha256,
        }
        for position, result in enumerate(made)
    ]
    sending = [
        {
            "sop_instance_uid": delivery.result.sop_instance_uid,
            "destination": delivery.destination,
            "job": delivery.result.job,
            "state": delivery.state.value,
            "attempts": delivery.attempts,
            "fence": delivery.fence,
            "due_at": delivery.due_at,
            "note": delivery.note,
        }
        for delivery in planned
    ]
    if rows:
        connection.execute(insert(tables.results), rows)
        _remember_own(connection, made, now)
    if sending:
        connection.execute(insert(sent), sending)


def _remember_own(connection: Connection, made: Sequence[Result], now: datetime) -> None:
    """Keep for ever that these UIDs are ours: no retention may reopen the loop."""
    uids = {each.sop_instance_uid for each in made} | {each.series_instance_uid for each in made}
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(tables.own_uids).on_conflict_do_nothing(index_elements=["uid"])
    connection.execute(statement, [{"uid": uid, "made_at": now} for uid in sorted(uids)])
