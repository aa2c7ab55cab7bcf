"""Which jobs does a complete series give rise to, and what do the other routes say?"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dicom_ai_node.domain.job import Job, JobInput
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Route
from dicom_ai_node.domain.study import Series, Study
from dicom_ai_node.domain.uids import JobKey, SeriesInstanceUID, Sha256
from dicom_ai_node.route.decide import Answer, decide, declines, fitting_inputs, is_document
from dicom_ai_node.route.inputs import Described, choose, describe, shared


@dataclass(frozen=True, slots=True)
class Plan:
    """The jobs, and one sentence per route: which took it, which not and why, which waits.

    `waits` says until when each route that waits does so.
    """

    jobs: tuple[Job, ...]
    notes: tuple[str, ...]
    waits: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A route that lacks an input when its time is over; `series` are the inputs that came."""

    route: str
    missing: tuple[str, ...]
    series: tuple[SeriesInstanceUID, ...]
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
        waits={
            one.route.name: now + timedelta(seconds=one.route.wait_seconds)
            for one in decisions
            if one.answer is Answer.WAITS
        },
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


def overdue(
    study: Study, routes: Sequence[Route], models: Mapping[str, ModelFacts]
) -> tuple[Overdue, ...]:
    """Return those of `routes`, whose time to wait is over, whose inputs came in part.

    A route does not give up while a series that fits is still arriving, nor once it could be
    served with what is there.
    """
    described = [describe(series) for series in study.series]
    several = (route for route in routes if len(route.inputs) > 1 and route.model in models)
    found = (_overdue(route, described, models[route.model]) for route in several)
    return tuple(one for one in found if one is not None)


def _others(study: Study, completed: Series) -> list[Described]:
    return [
        describe(series)
        for series in study.series
        if series.series_instance_uid != completed.series_instance_uid
    ]


def _overdue(route: Route, described: Sequence[Described], model: ModelFacts) -> Overdue | None:
    groups: dict[tuple[str, ...], list[Described]] = {}
    for one in described:
        same = shared(route, one)
        if same is not None and not declines(route, model, one) and not is_document(model, one):
            groups.setdefault(same, []).append(one)
    fittings = [fitting_inputs(route, group, model) for group in groups.values()]
    here = [one.series for fitting in fittings for fit in fitting.values() for one in fit]
    is_coming = not all(series.is_complete for series in here)
    if not here or is_coming or any(map(choose, fittings)):
        return None
    fullest = max(fittings, key=lambda fitting: sum(map(bool, fitting.values())))
    missing = tuple(name for name, series in fullest.items() if not series)
    what = " and ".join(missing) or "a series of its own for every input"
    code = RejectCode.IN_MISSING_INPUT
    note = f"{code.name}: {route.name} waited {route.wait_seconds:g} seconds for {what} in vain"
    # A series that fits two inputs is told once.
    told = tuple(dict.fromkeys(series.series_instance_uid for series in here))
    return Overdue(route=route.name, missing=missing, series=told, code=code, note=note)


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
    images = [one for one in inputs if one.name not in model.documents]
    # What was said before a report came, perhaps; the ledger looks whether it was.
    before = job_key(route, model.digest, images) if len(images) < len(inputs) else None
    return Job(
        key=job_key(route, model.digest, inputs),
        supersedes=before,
        route=route.name,
        model=model.name,
        model_digest=model.digest,
        study_instance_uid=next(iter(chosen.values())).study_instance_uid,
        inputs=inputs,
        priority=route.priority,
        created_at=now,
    )
