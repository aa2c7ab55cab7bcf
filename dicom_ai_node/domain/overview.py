"""What a person asks the ledger to see how the node is doing: bounded questions, plain answers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from dicom_ai_node.domain.devices import DeviceUse
from dicom_ai_node.domain.job import Event, Job, Stage
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.domain.study import Quarantined
from dicom_ai_node.domain.uids import JobKey, SeriesInstanceUID, StudyInstanceUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """Numbers that grow when something happens; two equal ones mean that nothing has.

    Attributes
    ----------
    arrived
        Grows with every instance.
    moved
        Grows with every event of a series or a job.
    put_aside
        Grows with every entry of the quarantine.
    at_work
        Another number whenever what workers hold is another, or another part of it is done.
    """

    arrived: int = 0
    moved: int = 0
    put_aside: int = 0
    at_work: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSeen:
    """One series as the console lists it; `attributes` name no patient."""

    series_instance_uid: SeriesInstanceUID
    study_instance_uid: StudyInstanceUID
    calling_ae_title: str
    modality: str
    description: str
    instances: int
    first_received: datetime
    last_received: datetime
    is_open: bool
    is_ours: bool
    waits_because: str = ""
    complete_because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySeen:
    """A study by what has arrived of it and what becomes of it.

    `stages` counts its jobs; the node's own placing among similar images is left out.
    """

    study_instance_uid: StudyInstanceUID
    series: tuple[SeriesSeen, ...]
    stages: Mapping[Stage, int] = field(default_factory=dict)

    @property
    def first_received(self) -> datetime:
        """When the first instance of its newest series came: the order of the list."""
        return max(one.first_received for one in self.series)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of what was received."""
        return tuple(sorted({one.modality for one in self.series if one.modality}))

    @property
    def senders(self) -> tuple[str, ...]:
        """Who sent it."""
        return tuple(sorted({one.calling_ae_title for one in self.series}))

    @property
    def instances(self) -> int:
        """How many instances have arrived."""
        return sum(one.instances for one in self.series)

    @property
    def is_open(self) -> bool:
        """Whether a series of it is still arriving."""
        return any(one.is_open for one in self.series)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are listed; what is empty or `None` lets every job pass."""

    stages: tuple[Stage, ...] = ()
    route: str = ""
    who: Who | None = None
    before: int | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A job with its number in the ledger, by which the next page is asked for."""

    number: int
    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """A job that a worker holds, since when, and until when its lease runs."""

    job: Job
    since: datetime | None
    lease_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One event with what it happened to."""

    number: int
    event: Event
    job: JobKey | None
    series_instance_uid: SeriesInstanceUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are listed; what is empty or `None` lets every event pass."""

    what: str = ""
    job: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationSeen:
    """How one destination has done: by state how many objects, and the last word from it.

    Attributes
    ----------
    unproven
        About how many objects it was asked in vain whether it keeps them.
    unproven_since
        Since when the first of these has been there.
    unproven_because
        What it has said to that, and what to do.
    """

    states: Mapping[str, int]
    last_done: datetime | None
    last_trouble: str
    next_try: datetime | None
    unproven: int = 0
    unproven_since: datetime | None = None
    unproven_because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """A study that retention removes next, once `last_received` is `keep_days` ago."""

    study_instance_uid: StudyInstanceUID
    last_received: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """Studies that stay only because others were told that they are kept.

    `first_until` is when the first of them may go, `None` if there is none.
    """

    studies: int
    first_until: datetime | None


class Overview(Protocol):
    """What the console reads. Every question is bounded and answered from an index.

    Raises `OutOfResources` if the database cannot answer now.
    """

    def pulse(self) -> Pulse:
        """Return what has grown; cheap enough to be asked every second."""

    def studies(self, limit: int, before: datetime | None = None) -> Sequence[StudySeen]:
        """Return studies, that with the newest series first; only our own results are left out."""

    def studies_called(
        self, uids: Sequence[StudyInstanceUID]
    ) -> Mapping[StudyInstanceUID, StudySeen]:
        """Return those of these studies that have arrived here."""

    def hourly(self, since: datetime) -> Mapping[datetime, int]:
        """Return how many series began to arrive in each hour since, by the hour's beginning."""

    def study_events(self, uid: StudyInstanceUID) -> Sequence[Happened]:
        """Return everything that happened to the series and the jobs of a study, in order."""

    def study_jobs(self, uid: StudyInstanceUID) -> Sequence[Job]:
        """Return the jobs of a study in the order in which they were made, with their inputs."""

    def jobs_listed(self, which: JobFilter) -> Sequence[Numbered]:
        """Return jobs, newest first, without their inputs."""

    def at_work(self) -> Sequence[AtWork]:
        """Return what workers hold now."""

    def device_use(self, since: datetime) -> Sequence[DeviceUse]:
        """Return how busy devices were in every minute since, by machine and device."""

    def leg_seconds(self, jobs: int) -> Mapping[str, Sequence[float]]:
        """Return how long each leg of the newest finished jobs took.

        By name: `waiting`, `inferring`, `encoding`, `delivering`.
        """

    def by_route(self) -> Mapping[str, Mapping[Stage, int]]:
        """Return how many jobs of each route are in each stage."""

    def last_of_route(self, route: str) -> datetime | None:
        """Return when the newest job of a route was made."""

    def destination(self, name: str, *, is_brief: bool = False) -> DestinationSeen:
        """Return how a destination does; briefly, without counting all that it has taken."""

    def parked_for(self, destination: str, limit: int = 1000) -> Sequence[JobKey]:
        """Return jobs with objects that this destination has refused."""

    def events_listed(self, which: EventFilter) -> Sequence[Happened]:
        """Return events, newest first."""

    def put_aside(self, limit: int, before: int | None = None) -> Sequence[Quarantined]:
        """Return open quarantine entries, newest first."""

    def put_aside_as(self, number: int) -> Quarantined | None:
        """Return one quarantine entry, open or closed."""

    def going_next(
        self, now: datetime, limit: int, proving: Collection[str] = ()
    ) -> Sequence[Going]:
        """Return what retention may remove when its time has come, oldest first.

        `proving` are the destinations that have to show that they keep what they were sent.
        """

    def promised(self, now: datetime, proving: Collection[str] = ()) -> Promised:
        """Return which studies wait for nothing but the end of a promise."""

    def held_bytes(self) -> int:
        """Return how many bytes all received instances have together. Asked seldom: it adds up."""
