"""Jobs: the list by stage, route and who has to act; one job; retry and cancel."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request

from dicom_ai_node.domain.job import DeliveryState, Event, Job, Stage
from dicom_ai_node.domain.overview import JobFilter
from dicom_ai_node.domain.progress import Phase
from dicom_ai_node.domain.reject import RejectCode, Who
from dicom_ai_node.serve.api.shape import ACTING, Shape, next_page, refusals
from dicom_ai_node.serve.console.asked import Before
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.jobs import (
    AT_ONCE,
    CANCELLABLE,
    RETRIABLE,
    inputs_of,
    reject_code,
)

_NO_JOB = "there is no job whose key begins so, or more than one"
AJob = Annotated[
    str,
    Path(
        pattern=r"^[0-9a-f]{6,64}$",
        description="the key of a job, or at least its first six digits",
    ),
]


class JobTold(Shape):
    """A job: one route looking at one set of inputs."""

    name: str
    """The first twelve digits of its key."""
    key: str
    """What it is known by; the same inputs, route and model make the same key."""
    route: str
    """The route that made it."""
    model: str
    """The model that it runs."""
    study_instance_uid: str
    """The study that it is about."""
    stage: Stage
    """How far it has come."""
    who: Who | None
    """Who has to act so that it goes on; null if it needs nobody."""
    note: str
    """Why it is where it is."""
    priority: str
    """STAT, HIGH or ROUTINE."""
    attempts: int
    """How often its present leg was begun."""
    progress: float
    """How much of inference or encoding is done, 0 to 1, roughly; 1 when all objects are made."""
    doing: Phase | None
    """What its worker does now; null if none holds it, or that has not said so yet."""
    created_at: datetime
    """When it was made."""
    due_at: datetime | None
    """When its next attempt begins; null if it waits for no time."""


class JobsTold(Shape):
    """Jobs, newest first."""

    jobs: list[JobTold]
    """A page of them."""
    next: str | None
    """Where the next page is; null on the last."""


class EventTold(Shape):
    """Something that happened."""

    at: datetime
    """When."""
    what: str
    """What, in snake_case."""
    detail: str
    """Why, or how; names no patient."""
    fields: dict[str, str]
    """More of it, by name."""


class InputTold(Shape):
    """The instances of one series under one name."""

    name: str
    """What the route calls this input."""
    series_instance_uid: str
    """The series that they are of."""
    instances: int
    """How many they are."""


class ResultTold(Shape):
    """A DICOM object that a job made."""

    kind: str
    """What it is, as routes write it."""
    sop_instance_uid: str
    """The object."""
    sop_class_uid: str
    """Its class."""
    series_instance_uid: str
    """The series that it is in."""
    transfer_syntax_uid: str
    """How it is encoded."""


class DeliveryTold(Shape):
    """One object on its way to one destination."""

    sop_instance_uid: str
    """The object."""
    destination: str
    """Where it goes."""
    state: DeliveryState
    """How far it has come; parked: the destination said no; committed: it keeps the object."""
    attempts: int
    """How often it was sent."""
    due_at: datetime | None
    """When it is sent next or, where it is done, its destination is asked next about it."""
    done_at: datetime | None
    """When the destination confirmed."""
    note: str
    """What the destination said."""


class JobFull(JobTold):
    """A job with what went into it, what happened, what came of it and where that went."""

    supersedes: str | None
    """The key of the job of the same inputs before later instances arrived."""
    reject_meaning: str | None
    """What the code means with which the model declined its input; null if it has not."""
    can_retry: bool
    """Whether it stands where it can be put back to work."""
    can_cancel: bool
    """Whether it stands where it can be ended."""
    inputs: list[InputTold]
    """What it looks at."""
    time_line: list[EventTold]
    """Everything that happened to it and, before, to its series, in order."""
    results: list[ResultTold]
    """What it made."""
    deliveries: list[DeliveryTold]
    """Where that goes."""


def add_jobs(router: APIRouter, desk: Desk) -> None:
    """Add the jobs."""

    @router.get("/jobs")
    def jobs(
        request: Request,
        stage: Annotated[Stage | None, Query(description="only jobs in this stage")] = None,
        route: Annotated[
            str, Query(max_length=200, pattern=r"^[^\x00]*$", description="only jobs of this route")
        ] = "",
        who: Annotated[Who | None, Query(description="only what they have to act on")] = None,
        before: Before = None,
    ) -> JobsTold:
        """List jobs, newest first."""
        stages = () if stage is None else (stage,)
        which = JobFilter(stages=stages, route=route, who=who, before=before, limit=AT_ONCE)
        found = desk.overview.jobs_listed(which)
        more = len(found) == AT_ONCE
        return JobsTold(
            jobs=[job_told(one.job) for one in found],
            next=next_page(request, {"before": found[-1].number}) if more else None,
        )

    @router.get("/jobs/{name}", responses=refusals(s404=_NO_JOB))
    def job(name: AJob) -> JobFull:
        """Return one job with its time line, inputs, results and deliveries."""
        return _full(desk, _job(desk, name))

    @router.post(
        "/jobs/{name}/retry",
        dependencies=ACTING,
        responses=refusals(s404=_NO_JOB, s409="the job is at work, or has nothing left to do"),
    )
    def retry(name: AJob) -> JobFull:
        """Put a job that has stopped back to work; one that waits is due at once."""
        found = _job(desk, name)
        desk.ledger.retry(found, desk.now())
        return _full(desk, _job(desk, found.key))

    @router.post(
        "/jobs/{name}/cancel",
        dependencies=ACTING,
        responses=refusals(s404=_NO_JOB, s409="something of it is on its way, or it has ended"),
    )
    def cancel(name: AJob) -> JobFull:
        """End a job of which nothing has been sent."""
        found = _job(desk, name)
        desk.ledger.cancel(found, "cancelled by the API", desk.now())
        return _full(desk, _job(desk, found.key))


def job_told(job: Job) -> JobTold:
    """Return a job as lists tell it."""
    return JobTold(
        name=job.name,
        key=job.key,
        route=job.route,
        model=job.model,
        study_instance_uid=job.study_instance_uid,
        stage=job.stage,
        who=job.who,
        note=job.note,
        priority=job.priority.name,
        attempts=job.attempts,
        progress=job.progress,
        doing=job.doing,
        created_at=job.created_at,
        due_at=job.due_at,
    )


def event_told(event: Event) -> EventTold:
    """Return an event as time lines tell it."""
    return EventTold(
        at=event.at, what=event.what, detail=event.detail, fields=dict(event.fields)
    )  # fmt: skip


def _job(desk: Desk, name: str) -> Job:
    found = desk.ledger.job(name)
    if found is None:
        raise HTTPException(404, _NO_JOB)
    return found


def _full(desk: Desk, job: Job) -> JobFull:
    code, results = reject_code(job), desk.ledger.results(job.key)
    return JobFull(
        **dict(job_told(job)),
        supersedes=job.supersedes,
        reject_meaning=RejectCode[code].meaning if code else None,
        can_retry=job.stage in RETRIABLE,
        can_cancel=job.stage in CANCELLABLE and not results,
        inputs=[
            InputTold(name=name, series_instance_uid=series, instances=count)
            for (name, series), count in inputs_of(job).items()
        ],
        time_line=[event_told(one) for one in desk.ledger.time_line(job.key)],
        results=[
            ResultTold(
                kind=one.kind,
                sop_instance_uid=one.sop_instance_uid,
                sop_class_uid=one.sop_class_uid,
                series_instance_uid=one.series_instance_uid,
                transfer_syntax_uid=one.transfer_syntax_uid,
            )
            for one in results
        ],
        deliveries=[
            DeliveryTold(
                sop_instance_uid=one.result.sop_instance_uid,
                destination=one.destination,
                state=one.state,
                attempts=one.attempts,
                due_at=one.due_at,
                done_at=one.done_at,
                note=one.note,
            )
            for one in desk.ledger.deliveries(job.key)
        ],
    )
