"""Arrivals, jobs and results for the tests of the store."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.job import Job, JobInput, Result, Stage
from dicom_ai_node.domain.rule import Priority
from dicom_ai_node.domain.study import Arrival, Instance, Received, Series
from dicom_ai_node.domain.uids import (
    AETitle,
    JobKey,
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)
from dicom_ai_node.store.ledger import SqlLedger

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1),
)  # fmt: skip
QUIET = 30 * SECOND
LEASE = MINUTE


def sha(*parts: object) -> Sha256:
    """Return a digest that depends on `parts`."""
    return Sha256(hashlib.sha256(repr(parts).encode()).hexdigest())


def arrival(
    number: int,
    series: str = "1.2.1",
    study: str = "1.2",
    content: str = "",
    is_ours: bool = False,
    **attributes: str,
) -> Arrival:
    """Return the arrival of one CT slice."""
    uid = SOPInstanceUID(f"{series}.{number}")
    return Arrival(
        instance=Instance(
            sop_instance_uid=uid,
            sop_class_uid=SOPClassUID("1.2.840.10008.5.1.4.1.1.2"),
            series_instance_uid=SeriesInstanceUID(series),
            study_instance_uid=StudyInstanceUID(study),
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            sha256=sha(uid, content),
            size_bytes=1000,
            attributes={"Modality": "CT", "InstanceNumber": str(number), **attributes},
        ),
        calling_ae_title=AETitle("CT1"),
        called_ae_title=AETitle("AI_NODE"),
        address="192.0.2.1",
        is_ours=is_ours,
    )


def arrived(
    ledger: SqlLedger,
    *numbers: int,
    series: str = "1.2.1",
    study: str = "1.2",
    now: datetime = NOON,
    **attributes: str,
) -> Series:
    """Record slices of a series and return it as completeness sees it."""
    slices = [arrival(n, series, study, **attributes) for n in numbers]
    received = ledger.record(slices, now, QUIET)
    assert set(received) == {Received.NEW}
    (found,) = [
        each
        for each in ledger.study(StudyInstanceUID(study)).series
        if each.series_instance_uid == series
    ]
    return found


def job_for(
    *series: Series,
    route: str = "liver",
    priority: Priority = Priority.ROUTINE,
    created_at: datetime = NOON,
) -> Job:
    """Return the job of a route that takes these series as inputs `input0`, `input1` ..."""
    inputs = tuple(
        JobInput(f"input{number}", each.series_instance_uid, i.sop_instance_uid, i.sha256)
        for number, each in enumerate(series)
        for i in each.instances
    )
    return Job(
        key=JobKey(sha(route, inputs)),
        route=route,
        model="liver_ct",
        model_digest=sha("model"),
        study_instance_uid=series[0].study_instance_uid,
        inputs=inputs,
        priority=priority,
        created_at=created_at,
    )


def listed(ledger: SqlLedger, *, now: datetime = NOON, uid: str = "1.2.1", **job: object) -> Job:
    """Bring one series with three slices and its job into the ledger; return the job."""
    series = arrived(ledger, 1, 2, 3, series=uid, study=uid.rpartition(".")[0], now=now)
    made = job_for(series, created_at=now, **job)  # type: ignore[arg-type]
    assert ledger.complete(series, "quiet", [made], [], now)
    return made


def results_of(job: Job, kinds: Sequence[str] = ("seg", "sr")) -> list[Result]:
    """Return the objects that a job has made, in a new series each."""
    return [
        Result(
            job=job.key,
            kind=kind,
            sop_instance_uid=SOPInstanceUID(f"2.25.{int(job.key[:12], 16)}.{number}.1"),
            sop_class_uid=SOPClassUID("1.2.840.10008.5.1.4.1.1.66.4"),
            series_instance_uid=SeriesInstanceUID(f"2.25.{int(job.key[:12], 16)}.{number}"),
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            sha256=sha(job.key, kind),
        )
        for number, kind in enumerate(kinds, start=1)
    ]


def encoding(ledger: SqlLedger, now: datetime = NOON) -> Job:
    """Bring the most urgent ready job through inference and claim it for encoding."""
    (claimed,) = ledger.claim(Stage.READY, now, LEASE)
    assert ledger.move(claimed, Stage.INFERRED, now)
    (held,) = ledger.claim(Stage.INFERRED, now, LEASE)
    return held


def delivering(
    ledger: SqlLedger, *destinations: str, uid: str = "1.2.1", now: datetime = NOON, **job: object
) -> Job:
    """Bring a job so far that its results are on their way; return it as it was encoding."""
    listed(ledger, uid=uid, now=now, **job)
    held = encoding(ledger, now)
    assert ledger.commit_results(held, results_of(held), destinations, now)
    return held


def delivered(
    ledger: SqlLedger,
    uid: str = "1.2.1",
    now: datetime = NOON,
    destination: str = "pacs",
    **job: object,
) -> Job:
    """Bring a job to its end."""
    held = delivering(ledger, destination, uid=uid, now=now, **job)
    for delivery in ledger.claim_deliveries(destination, now, LEASE):
        assert ledger.delivered(delivery, now)
    return held


def stage_of(ledger: SqlLedger, job: Job) -> Stage:
    """Return the present stage of a job."""
    found = ledger.job(job.key)
    assert found is not None
    return found.stage


def towards(angle: float) -> NDArray[np.float32]:
    """Return a unit vector at this angle from the first axis, in degrees."""
    return np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle)), 0, 0], np.float32)


def placed(
    ledger: SqlLedger,
    uid: str,
    angle: float,
    patient: str = "",
    now: datetime = NOON,
    **attributes: str,
) -> Job:
    """Bring a series into the ledger, place it among others, and end its job."""
    study = uid.rpartition(".")[0]
    series = arrived(ledger, 1, 2, 3, series=uid, study=study, now=now, **attributes)
    assert ledger.complete(series, "quiet", [job_for(series, created_at=now)], [], now)
    (job,) = ledger.claim(Stage.READY, now, LEASE)
    assert ledger.place(job, towards(angle), patient, now)
    assert ledger.move(job, Stage.DELIVERED, now)
    return job
