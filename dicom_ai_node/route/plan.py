"""Which jobs does a complete series give rise to, and what do the other routes say?"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dicom_ai_node.domain.job import Job, JobInput
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Route
from dicom_ai_node.domain.study import Series, Study
from dicom_ai_node.domain.uids import JobKey, Sha256
from dicom_ai_node.route.decide import Answer, decide
from dicom_ai_node.route.inputs import Described, candidates, choose, describe, shared


@dataclass(frozen=True, slots=True)
class Plan:
    """The jobs, and one sentence per route: which took it, which not and why, which waits."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A route that has waited long enough for an input; `since` is when its time was over."""

    route: str
    missing: tuple[str, ...]
    since: datetime
    code: RejectCode
    note: str


def plan(
    study: Study,
    completed: Series,
    routes: Sequence[Route],
    models: Mapping[str, ModelFacts],
    now: datetime,
) -> Plan:
    """Return what follows from `completed`, the series of `study` that has just arrived in full.

    A route with one input makes one job of every series that fits. A route with several inputs
    makes one job when all series of the study that fit one of them are complete: the last one
    brings it about. Where several series fit one input, the one with most instances is taken,
    then the newest. A job that was planned before has the same key; the ledger leaves it out.
    """
    it = describe(replace(completed, is_complete=True))
    others = _others(study, completed) if any(len(route.inputs) > 1 for route in routes) else []
    decisions = [decide(route, it, others, models) for route in routes]
    return Plan(
        jobs=tuple(
            _job(one.route, models[one.route.model], one.chosen, now)
            for one in decisions
            if one.answer is Answer.TAKES
        ),
        notes=tuple(map(str, decisions)),
    )


def job_key(route: Route, model_digest: Sha256, inputs: Sequence[JobInput]) -> JobKey:
    """Return what was asked of what: equal for a re-send, another one for any change.

    Sha256 over the canonical JSON of the route's revision, the model's digest, the options and
    the sorted (input, SOP Instance UID, sha256) of all instances.
    """
    asked = {
        "route": route.revision,
        "model": model_digest,
        "options": dict(route.options),
        "inputs": sorted([one.name, one.sop_instance_uid, one.sha256] for one in inputs),
    }
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return JobKey(hashlib.sha256(canonical.encode()).hexdigest())


def overdue(study: Study, routes: Sequence[Route], now: datetime) -> tuple[Overdue, ...]:
    """Return the routes whose inputs came in part and whose time to wait for the rest is over.

    The time counts from the last arrival of what is there. A route does not give up while a
    series that fits is still arriving, nor once it could be served with what is there.
    """
    described = [describe(series) for series in study.series]
    several = (route for route in routes if len(route.inputs) > 1)
    found = (_overdue(route, described, now) for route in several)
    return tuple(one for one in found if one is not None)


def _others(study: Study, completed: Series) -> list[Described]:
    return [
        describe(series)
        for series in study.series
        if series.series_instance_uid != completed.series_instance_uid
    ]


def _overdue(route: Route, described: Sequence[Described], now: datetime) -> Overdue | None:
    groups: dict[tuple[str, ...], list[Described]] = {}
    for one in described:
        same = shared(route, one)
        if same is not None:
            groups.setdefault(same, []).append(one)
    fittings = [candidates(route, group) for group in groups.values()]
    here = [one for fitting in fittings for series in fitting.values() for one in series]
    if not all(one.series.is_complete for one in here) or any(map(choose, fittings)):
        return None
    if not here:
        return None
    since = max(one.series.last_received for one in here) + timedelta(seconds=route.wait_seconds)
    if now < since:
        return None
    fullest = max(fittings, key=lambda fitting: sum(map(bool, fitting.values())))
    missing = tuple(name for name, series in fullest.items() if not series)
    what = " and ".join(missing) or "a series of its own for every input"
    code = RejectCode.IN_MISSING_INPUT
    note = f"{code.name}: {route.name} waited {route.wait_seconds:g} seconds for {what} in vain"
    return Overdue(route=route.name, missing=missing, since=since, code=code, note=note)


def _job(route: Route, model: ModelFacts, chosen: Mapping[str, Series], now: datetime) -> Job:
    inputs = tuple(
        JobInput(
            name=name,
            series_instance_uid=series.series_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            sha256=instance.sha256,
        )
        for name, series in chosen.items()
        for instance in series.instances
    )
    return Job(
        key=job_key(route, model.digest, inputs),
        route=route.name,
        model=model.name,
        model_digest=model.digest,
        study_instance_uid=next(iter(chosen.values())).study_instance_uid,
        inputs=inputs,
        priority=route.priority,
        created_at=now,
    )
