"""What the node needs from the world, as narrow as the pipeline uses it.

Each port has one real implementation per backend and one test suite in `tests/contracts/` that
every implementation must pass.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Image
from dicom_ai_node.domain.job import Delivery, Event, Job, Result, Stage
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.similar import LookedAlike
from dicom_ai_node.domain.study import Arrival, Forgotten, Quarantined, Received, Series, Study
from dicom_ai_node.domain.uids import JobKey, SeriesInstanceUID, Sha256, StudyInstanceUID

PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")


class Blobs(Protocol):
    """Bytes by their sha256. A method that has returned has its bytes on the disk."""

    def spool(self) -> Path:
        """Return the path of a new, empty file on the same file system, to be written to."""

    def keep(self, spooled: Path, digest: Sha256 | None = None) -> Sha256:
        """Make a spooled file durable under its digest, and return it; see `keep_all`."""

    def keep_all(self, spooled: Mapping[Path, Sha256]) -> None:
        """Make spooled files durable under their digests: fsync, rename, fsync of the folders.

        The same bytes twice are one blob. The spooled files are gone afterwards, too if it raises
        `OutOfResources` because the disk is full or an fsync fails.
        """

    def path(self, digest: Sha256) -> Path:
        """Return where the blob lies, whether or not it is there."""

    def discard(self, digest: Sha256) -> None:
        """Remove a blob; absent is fine."""

    def free_bytes(self) -> int:
        """Return how much room the file system has left."""


class Ledger(Protocol):
    """Who has arrived and which job is where. Every method is one transaction.

    Every method raises `OutOfResources` if the database cannot answer now. `now` is passed in,
    so that a test can move the clock; all times are UTC and timezone-aware.
    """

    # receive

    def record(
        self, arrivals: Sequence[Arrival], now: datetime, quiet: timedelta
    ) -> Sequence[Received]:
        """Record arrivals, in one transaction, and return what each turned out to be.

        NEW reopens its series, raises its revision and sets its due time to `now + quiet`.
        CONFLICT leaves the first instance as it is and opens a quarantine entry. OURS (its SOP
        Instance UID is one of `results`, or its series is one that we created) is stored in a
        series that is never due.
        """

    def quarantine(self, digest: Sha256, reason: str, sender: str, now: datetime) -> int:
        """Open a quarantine entry for a blob and return its number."""

    def release(self, series: Sequence[SeriesInstanceUID], now: datetime, due: datetime) -> None:
        """Note that the association that brought these series ended in good order.

        Pulls the due time of each forward to `due` if that is earlier.
        """

    # complete and route

    def due_series(self, now: datetime, limit: int = 100) -> Sequence[Series]:
        """Return series that are open and due, longest due first."""

    def next_due(self) -> datetime | None:
        """Return when the first of the series that are open is due."""

    def wait_for(self, series: Series, until: datetime, why: str) -> None:
        """Push the due time of an open series to `until`; `why` goes into its time line."""

    def study(self, study_instance_uid: StudyInstanceUID) -> Study:
        """Return a study with all its series that did not come from us."""

    def complete(
        self, series: Series, because: str, jobs: Sequence[Job], notes: Sequence[str],
        now: datetime, waits: Mapping[str, datetime] | None = None,
    ) -> bool:  # fmt: skip
        """Close a series, list its jobs and `waits` (until when each route waits): all or nothing.

        Returns False, and does nothing, if an instance has arrived since `series` was read. A
        job whose key exists already is left out. A job replaces an earlier one of the same
        route whose inputs have the same names and series: the new one gets `supersedes`, the
        old one, unless it is DELIVERED, DELIVERING or SUPERSEDED, becomes SUPERSEDED. `notes`
        (which routes took it, which wait for what) go into the time line of the series.
        """

    def due_waits(self, now: datetime, limit: int = 100) -> Sequence[tuple[Study, str]]:
        """Return studies without open series, each with a route whose wait for it is over."""

    def end_wait(
        self, study: Study, route: str, notes: Mapping[SeriesInstanceUID, str], now: datetime
    ) -> bool:
        """Remove a wait and tell the series; False, and nothing, if it is not due any more."""

    # infer and encode

    def claim(self, stage: Stage, now: datetime, lease: timedelta, limit: int = 1) -> Sequence[Job]:
        """Hand out up to `limit` due jobs in `stage` (READY or INFERRED), most urgent first.

        Each moves to INFERRING or ENCODING under a lease, with a new fence and one more attempt.
        Two callers never get the same job.
        """

    def renew(self, jobs: Sequence[Job], now: datetime, lease: timedelta) -> None:
        """Prolong the leases of jobs whose fence still holds."""

    def move(
        self, job: Job, to: Stage, now: datetime, *, note: str = "", who: Who | None = None,
        due_at: datetime | None = None,
    ) -> bool:  # fmt: skip
        """Move a claimed job on. Returns False, and does nothing, if its fence is stale.

        A move to INFERRED or DELIVERING sets `attempts` to 0.
        """

    def commit_results(
        self, job: Job, results: Sequence[Result], destinations: Sequence[str], now: datetime,
        note: str = "",
    ) -> bool:  # fmt: skip
        """List the objects of an ENCODING job and one delivery per object and destination.

        `note` goes into the time line. The job becomes DELIVERING, or DELIVERED where there is
        nothing to send. Returns False, and does nothing, if the fence is stale.
        """

    def reap(self, now: datetime, attempts: int) -> Sequence[Job]:
        """Take back jobs whose lease has run out and return them as they now are.

        They go to READY or INFERRED, or to QUARANTINED after `attempts` attempts.
        """

    # deliver

    def claim_deliveries(
        self, destination: str, now: datetime, lease: timedelta, limit: int = 100
    ) -> Sequence[Delivery]:
        """Hand out due deliveries of the one most urgent job for this destination.

        A delivery whose lease has run out counts as due. Each gets a new fence and one more
        attempt.
        """

    def delivered(self, delivery: Delivery, now: datetime, note: str = "") -> bool:
        """Mark one delivery as done; with the last one of a job the job becomes DELIVERED."""

    def not_delivered(
        self, delivery: Delivery, now: datetime, note: str, due_at: datetime | None
    ) -> bool:
        """Set a delivery due again at `due_at`, or park it and its job where that is `None`."""

    # people

    def jobs(self, stages: Sequence[Stage] = (), limit: int = 100) -> Sequence[Job]:
        """Return jobs, newest first; of all stages if none is named. Inputs are left out."""

    def job(self, name: str) -> Job | None:
        """Return the one job whose key starts with `name`, with its inputs."""

    def results(self, key: JobKey) -> Sequence[Result]:
        """Return the objects of a job in the order in which they were made."""

    def deliveries(self, key: JobKey) -> Sequence[Delivery]:
        """Return the deliveries of a job."""

    def time_line(self, key: JobKey) -> Sequence[Event]:
        """Return everything that happened to a job and, before it, to its series."""

    def retry(self, job: Job, now: datetime) -> None:
        """Put a job that has stopped, or its parked deliveries, back to work.

        A job that waits, or whose deliveries do, is due at once. Raises `IllegalMove` if the job
        is at work or has nothing left to do.
        """

    def cancel(self, job: Job, why: str, now: datetime) -> None:
        """End a job of which nothing is on its way yet; raise `IllegalMove` for any other."""

    def quarantined(self) -> Sequence[Quarantined]:
        """Return the open quarantine entries, newest first."""

    def close_quarantine(self, number: int) -> None:
        """Close an entry; its blob goes with the next retention."""

    def counts(self) -> Mapping[str, int]:
        """Return how many there are of what, e.g. `instances`, `series.open`, `jobs.ready`."""

    def pending(self) -> Mapping[str, int]:
        """Return of `counts` what is not over; it takes as long however much is."""

    # retention

    def forget(
        self, older_than: datetime, limit: int, proving: Collection[str], now: datetime
    ) -> Forgotten:
        """Remove studies whose last instance came before `older_than`, oldest first.

        Only where nothing is open, needs a person, is promised, or is unproven at `proving`.
        """


class Sender(Protocol):
    """A way to one destination."""

    def send(self, objects: Sequence[Path]) -> Sequence[NodeError | str]:
        """Send Part 10 files in order over one association or request.

        Returns one entry per object: a note (empty, or the warning that the destination gave)
        if the destination has it, or the error. Never raises for what a peer does.
        """

    def accepts(self, sop_class_uid: str) -> bool:
        """Return whether the destination takes this SOP class now; False if it is silent."""


class Task(Protocol):
    """An AI task: built once per worker and model, then called once per job."""

    def __call__(self, inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        """Say what is in `inputs`, on the grid of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who made a result and from what, so that an encoder need not ask anyone.

    Attributes
    ----------
    sources
        The headers of all input instances, normalised (UTF-8, Type 2 filled, no pixel data), by
        SOP Instance UID in the order in which they were given.
    encoded
        What the encoders before this one in `write` have made, by kind: a report refers to the
        segmentation, never the other way round.
    priors
        What looks like the sources in earlier studies of the same patient, best first.
    equipment_purpose
        What the model did, for its item of Contributing Equipment Sequence, PS3.16 CID 7005.
    """

    job: JobKey
    model: ModelFacts
    sources: Sequence[Dataset]
    created_at: datetime
    node_version: str
    node_serial: str
    content_qualification: str = "RESEARCH"
    predecessors: Sequence[Dataset] = ()
    priors: Sequence[LookedAlike] = ()
    encoded: Mapping[str, Sequence[Dataset]]
    equipment_purpose: Code = PROCESSING_EQUIPMENT


class Encoder(Protocol):
    """Turns findings into DICOM objects of one kind, or into none if they hold nothing for it."""

    def __call__(self, findings: Findings, origin: Origin) -> Sequence[Dataset]:
        """Return the objects, each with its file meta information, ready to be written."""
