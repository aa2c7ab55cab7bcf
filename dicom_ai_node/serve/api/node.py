"""The node itself: how it is doing, what runs now, what has happened, how full it is."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from dicom_ai_node.domain.overview import AtWork, EventFilter, Happened
from dicom_ai_node.serve.api.jobs import EventTold, JobTold, event_told, job_told
from dicom_ai_node.serve.api.shape import Shape, next_page
from dicom_ai_node.serve.console.asked import Before, Moment
from dicom_ai_node.serve.console.audit import AT_ONCE
from dicom_ai_node.serve.console.charts import day_of, legs
from dicom_ai_node.serve.console.desk import Desk, Remembered
from dicom_ai_node.serve.console.home import CHART_SECONDS, LEGS, TIMED_JOBS
from dicom_ai_node.serve.console.storage import ADDED_UP_SECONDS, added_up, total_bytes
from dicom_ai_node.serve.console.use import first_minute


class LegTold(Shape):
    """How long one leg of a job's journey takes."""

    name: str
    """Arriving, waiting, inferring, encoding or delivering."""
    typical_seconds: float
    """Half of the jobs take at most so long."""
    slow_seconds: float
    """19 of 20 take at most so long."""
    jobs: int
    """How many of the newest finished jobs this was measured on."""


class OverviewTold(Shape):
    """How the node is doing."""

    version: str
    """Of this program."""
    ae_title: str
    """What the node is called by DICOM."""
    counts: dict[str, int]
    """How many there are of what, e.g. `instances`, `series.open`, `jobs.parked`."""
    needs_a_person: int
    """Jobs that somebody has to look at."""
    put_aside: int
    """Open entries of the quarantine."""
    free_bytes: int
    """Room on the disk."""
    is_short_of_room: bool
    """Whether there is so little that nothing is taken in."""
    hourly: dict[datetime, int]
    """How many series began to arrive in each hour of the last day, without empty hours."""
    legs: list[LegTold]
    """How long the legs of a job take."""


class WorkTold(Shape):
    """A job that a worker holds."""

    job: JobTold
    """The job."""
    since: datetime | None
    """Since when."""
    lease_until: datetime | None
    """When somebody else may take it, if the worker does not say that it lives."""


class UseTold(Shape):
    """How busy one device was in one minute."""

    at: datetime
    """When the minute began."""
    machine: str
    """The machine."""
    device: str
    """Its device; `encoder` is where objects are made."""
    slots: int
    """How many workers there are on it."""
    busy: float
    """Which part of their time they worked, 0 to 1."""
    gpu: float | None
    """Which part of the time the GPU computed, 0 to 1; null if nobody knows."""
    gpu_used_bytes: int | None
    """How much of its memory anybody held; null without a GPU."""
    gpu_bytes: int | None
    """How much memory it has."""


class WorkersTold(Shape):
    """The devices of this node, and what runs now."""

    devices: list[str]
    """Where models run."""
    at_work: list[WorkTold]
    """What runs."""
    use: list[UseTold]
    """How busy the devices were, minute by minute for an hour, by machine and device."""


class HappenedTold(EventTold):
    """Something that happened to a job or to a series."""

    number: int
    """What comes later has a greater one."""
    job: str | None
    """The key of the job that it happened to."""
    series_instance_uid: str | None
    """The series that it happened to."""


class EventsTold(Shape):
    """Events, newest first."""

    events: list[HappenedTold]
    """A page of them."""
    next: str | None
    """Where the next page is; null on the last."""


class GoingTold(Shape):
    """A study that retention removes next."""

    study_instance_uid: str
    """The study."""
    last_received: datetime
    """When its last instance came."""
    goes_at: datetime
    """From when on it may go."""


class StorageTold(Shape):
    """How full the disk is, how long studies stay, and which go next."""

    free_bytes: int
    """Room on the disk."""
    total_bytes: int
    """How large it is."""
    min_free_bytes: int
    """With less room than that nothing is taken in."""
    held_bytes: int
    """How much all received instances have together; up to a minute old."""
    keep_days: float
    """How long a study stays after its last instance."""
    database: str
    """SQLite or PostgreSQL."""
    going_next: list[GoingTold]
    """What goes next, oldest first; up to a minute old."""
    promised_studies: int
    """How many studies stay only because others were promised that they are kept."""
    promised_until: datetime | None
    """When the first of these may go; null if there is none."""


def add_node(router: APIRouter, desk: Desk) -> None:
    """Add what is about the node as a whole."""
    _add_overview(router, desk)
    _add_events(router, desk)
    _add_storage(router, desk)

    @router.get("/workers")
    def workers() -> WorkersTold:
        """Return the devices, and what runs on them now."""
        found = desk.overview.at_work()
        use = desk.overview.device_use(first_minute(desk.now()))
        return WorkersTold(
            devices=list(desk.about.devices),
            at_work=[_work(one) for one in found],
            use=[UseTold(**asdict(one)) for one in use],
        )


def _add_overview(router: APIRouter, desk: Desk) -> None:
    overview = desk.overview
    hourly = Remembered(lambda: overview.hourly(day_of(desk.now())), CHART_SECONDS)
    seconds = Remembered(lambda: overview.leg_seconds(TIMED_JOBS), CHART_SECONDS)

    @router.get("/overview")
    def how_it_is_doing() -> OverviewTold:
        """Return how the node is doing."""
        counts, free = desk.ledger.counts(), desk.blobs.free_bytes()
        return OverviewTold(
            version=desk.about.version,
            ae_title=desk.about.ae_title,
            counts=dict(counts),
            needs_a_person=counts["jobs.parked"] + counts["jobs.quarantined"],
            put_aside=counts["quarantine.open"],
            free_bytes=free,
            is_short_of_room=free < desk.about.min_free_bytes,
            hourly=dict(hourly()),
            legs=[
                LegTold(
                    name=one.name,
                    typical_seconds=one.typical,
                    slow_seconds=one.slow,
                    jobs=one.jobs,
                )
                for one in legs(seconds(), LEGS)
            ],
        )


def _add_events(router: APIRouter, desk: Desk) -> None:
    @router.get("/events")
    def events(
        request: Request,
        what: Annotated[str, Query(pattern=r"^[a-z_]{0,40}$", description="only this kind")] = "",
        job: Annotated[
            str,
            Query(pattern=r"^[0-9a-f]{0,64}$", description="only of the job whose key begins so"),
        ] = "",
        since: Annotated[Moment | None, Query(description="from then on")] = None,
        until: Annotated[Moment | None, Query(description="until then")] = None,
        before: Before = None,
    ) -> EventsTold:
        """List what has happened, newest first."""
        which = EventFilter(
            what=what, job=job, since=since, until=until, before=before, limit=AT_ONCE
        )
        found = desk.overview.events_listed(which)
        more = len(found) == AT_ONCE
        return EventsTold(
            events=[_happened(one) for one in found],
            next=next_page(request, {"before": found[-1].number}) if more else None,
        )


def _add_storage(router: APIRouter, desk: Desk) -> None:
    sums = Remembered(lambda: added_up(desk), ADDED_UP_SECONDS)

    @router.get("/storage")
    def storage() -> StorageTold:
        """Return how full the disk is, and which studies go next."""
        found, keep = sums(), timedelta(days=desk.about.keep_days)
        return StorageTold(
            free_bytes=desk.blobs.free_bytes(),
            total_bytes=total_bytes(desk),
            min_free_bytes=desk.about.min_free_bytes,
            held_bytes=found.held_bytes,
            keep_days=desk.about.keep_days,
            database=desk.about.database,
            going_next=[
                GoingTold(
                    study_instance_uid=one.study_instance_uid,
                    last_received=one.last_received,
                    goes_at=one.last_received + keep,
                )
                for one in found.going
            ],
            promised_studies=found.promised.studies,
            promised_until=found.promised.first_until,
        )


def _work(one: AtWork) -> WorkTold:
    return WorkTold(job=job_told(one.job), since=one.since, lease_until=one.lease_until)


def _happened(one: Happened) -> HappenedTold:
    return HappenedTold(
        **dict(event_told(one.event)),
        number=one.number,
        job=one.job,
        series_instance_uid=one.series_instance_uid,
    )
