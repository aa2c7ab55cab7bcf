"""Rows of the ledger as values of the domain, and back."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from dicom_ai_node.domain.job import Delivery, DeliveryState, Event, Job, JobInput, Result, Stage
from dicom_ai_node.domain.progress import Phase
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.domain.rule import Priority
from dicom_ai_node.domain.study import Instance, Series
from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.store import tables

_PHASES = frozenset(Phase)
AGEING = timedelta(hours=1)
"""A job that has waited this long stands where one of the next higher priority began."""


def differences(attributes: Mapping[str, str], first: Mapping[str, str]) -> dict[str, str | None]:
    """Return what must be changed in `first` to get `attributes`; `None` is absent."""
    changed: dict[str, str | None] = {
        keyword: value for keyword, value in attributes.items() if first.get(keyword) != value
    }
    changed.update(dict.fromkeys(first.keys() - attributes.keys()))
    return changed


def applied(changed: Mapping[str, str | None], first: Mapping[str, str]) -> dict[str, str]:
    """Undo `differences`."""
    return {keyword: value for keyword, value in {**first, **changed}.items() if value is not None}


def load_series(connection: Connection, rows: Iterable[Row[Any]]) -> list[Series]:
    """Return the series of these rows, each with its instances in the order of arrival."""
    return [_series(row, _instances(connection, row)) for row in rows]


def _series(row: Row[Any], instances: tuple[Instance, ...]) -> Series:
    return Series(
        series_instance_uid=row.series_instance_uid,
        study_instance_uid=row.study_instance_uid,
        calling_ae_title=row.calling_ae_title,
        attributes=row.attributes,
        instances=instances,
        first_received=row.first_received,
        last_received=row.last_received,
        revision=row.revision,
        is_complete=not row.is_open,
        is_released=row.is_released,
        complete_because=row.complete_because,
    )


def _instances(connection: Connection, series: Row[Any]) -> tuple[Instance, ...]:
    table = tables.instances
    query = (
        select(table)
        .where(table.c.series_instance_uid == series.series_instance_uid, ~table.c.is_ours)
        .order_by(table.c.number)
    )
    return tuple(
        Instance(
            sop_instance_uid=row.sop_instance_uid,
            sop_class_uid=row.sop_class_uid,
            series_instance_uid=row.series_instance_uid,
            study_instance_uid=row.study_instance_uid,
            transfer_syntax_uid=row.transfer_syntax_uid,
            sha256=row.sha256,
            data_set_sha256=row.data_set_sha256,
            size_bytes=row.size_bytes,
            attributes=applied(row.differs, series.first_attributes),
        )
        for row in connection.execute(query)
    )


def insert_job(connection: Connection, job: Job, signature: str, supersedes: JobKey | None) -> None:
    """Write a new job and its inputs."""
    row = {
        "key": job.key,
        "route": job.route,
        "model": job.model,
        "model_digest": job.model_digest,
        "study_instance_uid": job.study_instance_uid,
        "priority": int(job.priority),
        "created_at": job.created_at,
        "urgent_at": job.created_at + AGEING * int(job.priority),
        "is_stat": job.priority is Priority.STAT,
        "signature": signature,
        "stage": job.stage.value,
        "attempts": job.attempts,
        "fence": job.fence,
        "due_at": job.due_at,
        "note": job.note,
        "who": job.who,
        "supersedes": supersedes,
        "progress": job.progress,
        "doing": job.doing or "",
    }
    connection.execute(insert(tables.jobs), row)
    inputs = [
        {
            "job": job.key,
            "position": position,
            "name": each.name,
            "series_instance_uid": each.series_instance_uid,
            "sop_instance_uid": each.sop_instance_uid,
            "sha256": each.sha256,
        }
        for position, each in enumerate(job.inputs)
    ]
    if inputs:
        connection.execute(insert(tables.job_inputs), inputs)


def signature_of(job: Job) -> str:
    """Return what two jobs have in common if the later one replaces the earlier one."""
    named = sorted({(each.name, each.series_instance_uid) for each in job.inputs})
    return hashlib.sha256(json.dumps([job.route, named]).encode()).hexdigest()


def load_jobs(connection: Connection, rows: Sequence[Row[Any]]) -> list[Job]:
    """Return the jobs of these rows with their inputs."""
    table = tables.job_inputs
    inputs: dict[str, list[JobInput]] = defaultdict(list)
    query = (
        select(table)
        .where(table.c.job.in_([row.key for row in rows]))
        .order_by(table.c.job, table.c.position)
    )
    for row in connection.execute(query) if rows else ():
        inputs[row.job].append(
            JobInput(row.name, row.series_instance_uid, row.sop_instance_uid, row.sha256)
        )
    return [job_of(row, tuple(inputs[row.key])) for row in rows]


def job_of(row: Row[Any], inputs: tuple[JobInput, ...] = ()) -> Job:
    """Return the job of one row."""
    return Job(
        key=row.key,
        route=row.route,
        model=row.model,
        model_digest=row.model_digest,
        study_instance_uid=row.study_instance_uid,
        inputs=inputs,
        priority=Priority(row.priority),
        created_at=row.created_at,
        stage=Stage(row.stage),
        attempts=row.attempts,
        fence=row.fence,
        due_at=row.due_at,
        note=row.note,
        who=None if row.who is None else Who(row.who),
        supersedes=row.supersedes,
        progress=row.progress,
        doing=Phase(row.doing) if row.doing in _PHASES else None,
    )


def result_of(row: Row[Any]) -> Result:
    """Return the result of one row of `results`, or of a join that has all its columns."""
    return Result(
        job=row.job,
        kind=row.kind,
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        series_instance_uid=row.series_instance_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        sha256=row.sha256,
    )


def delivery_of(row: Row[Any], result: Result) -> Delivery:
    """Return the delivery of one row."""
    return Delivery(
        result=result,
        destination=row.destination,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        fence=row.fence,
        due_at=row.due_at,
        note=row.note,
        done_at=row.done_at,
    )


def series_event(series_instance_uid: str, event: Event) -> dict[str, Any]:
    """Return the row of one line in the time line of a series."""
    return _event(event, job=None, series=series_instance_uid)


def job_event(key: str, event: Event) -> dict[str, Any]:
    """Return the row of one line in the time line of a job."""
    return _event(event, job=key, series=None)


def _event(event: Event, *, job: str | None, series: str | None) -> dict[str, Any]:
    return {
        "at": event.at,
        "what": event.what,
        "detail": event.detail,
        "fields": dict(event.fields),
        "job": job,
        "series_instance_uid": series,
    }


def write_events(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write lines of time lines; none is fine."""
    if rows:
        connection.execute(insert(tables.events), rows)


def event_of(row: Row[Any]) -> Event:
    """Return the line of one row."""
    return Event(at=row.at, what=row.what, detail=row.detail, fields=row.fields)


def moved(to: Stage, at: datetime, detail: str = "") -> Event:
    """Return the line that says that a job has come to `to`."""
    return Event(at=at, what=f"job_{to}", detail=detail)
