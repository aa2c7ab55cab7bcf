"""The journey of a study. Read this file first.

    receive -> store -> complete -> route -> infer -> encode -> deliver

Three desks stand along the way, each in a process of its own: `Reception` takes instances in,
`Work` turns complete series into findings and findings into DICOM objects, `Dispatch` brings the
objects to their destinations. They share nothing but the ledger and the blobs. A leg reads what
the leg before it left there, writes its own outcome, and only then moves the job on. If the power
goes in between, the leg runs again and writes the same thing again, because every UID that it
makes is derived from the job.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from dicom_ai_node.complete.evidence import Complete, Patience, Wait, verdict
from dicom_ai_node.deliver.backoff import next_try
from dicom_ai_node.domain.errors import Ended, NodeError, OutOfResources, TaskFailed, TryAgain
from dicom_ai_node.domain.executor import Executor
from dicom_ai_node.domain.job import OVER, Delivery, Job, Result, Stage
from dicom_ai_node.domain.limits import Limits
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.moves import Move, after_error, after_loss, claimed_from
from dicom_ai_node.domain.orders import Attempt, InferenceOrder, Outcome
from dicom_ai_node.domain.ports import Blobs, Ledger, Sender
from dicom_ai_node.domain.rule import Route
from dicom_ai_node.domain.study import Arrival, Received, Series, Study
from dicom_ai_node.domain.uids import JobKey, SeriesInstanceUID
from dicom_ai_node.orders import OrderBook
from dicom_ai_node.route.plan import overdue, plan

log = structlog.get_logger()


# receive -> store: in every receiver process


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """Takes instances in. Returning is the promise on which a sender may delete its copy."""

    blobs: Blobs
    ledger: Ledger
    quiet: Callable[[Arrival], timedelta]
    released_quiet: timedelta
    keep_free_bytes: int
    now: Callable[[], datetime]
    wake: Callable[[], None]

    def room(self) -> None:
        """Raise `OutOfResources` if the disk is about to be full; asked before bytes are taken."""
        if self.blobs.free_bytes() < self.keep_free_bytes:
            raise OutOfResources("the disk has less room than store.min_free_gb")

    def record(self, arrivals: Sequence[Arrival]) -> Sequence[Received]:
        """List instances whose bytes are on the disk, all in one transaction."""
        outcomes = self.ledger.record(arrivals, self.now(), max(map(self.quiet, arrivals)))
        for what in sorted(set(outcomes)):
            level = log.warning if what is Received.CONFLICT else log.debug
            level("instances_recorded", what=what, instances=outcomes.count(what))
        return outcomes

    def released(self, series: Sequence[SeriesInstanceUID]) -> None:
        """Note that the association which brought `series` ended in good order."""
        now = self.now()
        self.ledger.release(series, now, now + self.released_quiet)
        self.wake()

    def refused(self, spooled: Path, reason: str, sender: str) -> None:
        """Keep the bytes of an instance that we could not let in, for a person to look at."""
        number = self.ledger.quarantine(self.blobs.keep(spooled), reason, sender, self.now())
        log.warning("instance_quarantined", quarantine=number, peer=sender)


# complete -> route -> infer -> encode: in the work process


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Turns complete series into findings, and findings into DICOM objects."""

    blobs: Blobs
    ledger: Ledger
    folder: Path
    routes: Sequence[Route]
    models: Mapping[str, ModelFacts]
    inference: Executor
    encoding: Executor
    orders: OrderBook
    objects_in: Callable[[Path, JobKey], Sequence[tuple[Path, Result]]]
    place: Callable[[Job, Path, datetime], None]
    patience: Callable[[Series], Patience]
    limits: Limits
    now: Callable[[], datetime]
    _at_work: dict[tuple[JobKey, int], Job] = field(default_factory=dict)

    def settle(self, heard_since: datetime | None = None) -> int:
        """Close what is complete, list the jobs that follow, and say what waited in vain.

        `heard_since` is when the node was ready to hear its senders: silence before is none.
        """
        due = self.ledger.due_series(self.now())
        for series in due:
            try:
                self._judge(series, heard_since)
            except TryAgain:
                raise
            except Exception:  # one odd series must not keep the others from being routed
                log.exception("bug")
                until = self.now() + self.limits.longest_retry
                self.ledger.wait_for(series, until, "bug in the node; its log says where")
        for study, route in self.ledger.due_waits(self.now()):
            self._give_up(study, route)
        return len(due)

    def until_due(self, longest_seconds: float) -> float:
        """Return in how many seconds, `longest_seconds` at most, a series may be complete."""
        due = self.ledger.next_due()
        left = longest_seconds if due is None else (due - self.now()).total_seconds()
        return min(max(left, 0.0), longest_seconds)

    def _judge(self, series: Series, heard_since: datetime | None) -> None:
        match verdict(series, self.now(), self.patience(series), heard_since):
            case Wait(until, why):
                self.ledger.wait_for(series, until, why)
            case Complete(because):
                self._route(series, because)

    def _route(self, series: Series, because: str) -> None:
        study, now = self.ledger.study(series.study_instance_uid), self.now()
        planned = plan(study, series, self.routes, self.models, now)
        if self.ledger.complete(series, because, planned.jobs, planned.notes, now, planned.waits):
            log.info("series_complete", instances=len(series.instances), jobs=len(planned.jobs))

    def _give_up(self, study: Study, route: str) -> None:
        late = overdue(study, [one for one in self.routes if one.name == route], self.models)
        notes = {series: one.note for one in late for series in one.series}
        if self.ledger.end_wait(study, route, notes, self.now()):
            for one in late:
                log.warning("input_missing", route=one.route, code=one.code.name)

    def infer(self) -> int:
        """Hand due jobs to free workers."""
        return self._hand_out(Stage.READY, self.inference, self.orders.inference)

    def encode(self) -> int:
        """Hand jobs whose findings are on the disk to free encoders."""
        return self._hand_out(Stage.INFERRED, self.encoding, self.orders.encoding)

    def collect(self, executor: Executor, timeout_seconds: float) -> int:
        """Enter in the ledger what workers have finished."""
        outcomes = executor.poll(timeout_seconds)
        for outcome in outcomes:
            job = self._at_work.pop((outcome.attempt.job, outcome.attempt.fence))
            with structlog.contextvars.bound_contextvars(job=job.name, route=job.route):
                self._enter(job, outcome)
        return len(outcomes)

    def keep_alive(self) -> None:
        """Prolong the leases of everything at work, and take back what nobody works on."""
        self.ledger.renew(list(self._at_work.values()), self.now(), self.limits.lease)
        # Whose lease ran out was lost with the whole node, by a power cut more likely than by the
        # job: only one that is there every time is taken for the cause.
        for job in self.ledger.reap(self.now(), 3 * self.limits.lost_attempts):
            log.warning("lease_expired", job=job.name, after=job.stage)

    def tidy(self) -> None:
        """Remove what workers have left behind of jobs that need it no more."""
        for folder in self.folder.glob("*"):
            job = self.ledger.job(folder.name)
            if job is None or job.stage in OVER:
                self._remove(folder)

    def give_back(self) -> None:
        """Put everything at work back to where it was claimed, to be done again at once."""
        for job in list(self._at_work.values()):
            self.ledger.move(job, claimed_from(job), self.now(), note="the node was stopped")
        self._at_work.clear()

    def _hand_out(self, stage: Stage, executor: Executor, attempt: Callable[[Job], Attempt]) -> int:
        free = executor.free()
        jobs = self.ledger.claim(stage, self.now(), self.limits.lease, free) if free else ()
        for job in jobs:
            self._at_work[job.key, job.fence] = job
            with self._wall(job):
                executor.start(attempt(job))
        return len(jobs)

    @contextmanager
    def _wall(self, job: Job) -> Iterator[None]:
        """Let a leg fail without taking the node along: the job goes where its error says."""
        error: NodeError | None = None
        try:
            yield
        except NodeError as trouble:
            error = trouble
        except Exception as bug:  # the last wall: one bad job must not stop the others
            log.exception("bug", job=job.name)
            error = TaskFailed(f"bug in the node: {type(bug).__name__}")
        if error is not None:
            self._at_work.pop((job.key, job.fence), None)
            self._move(job, after_error(job, error, self.limits, self.now()))

    def _enter(self, job: Job, outcome: Outcome) -> None:
        after: Stage | None = None
        with self._wall(job):
            match outcome:
                case Outcome(ended=Ended.OK):
                    after = self._done(job, outcome.attempt)
                case Outcome(ended=Ended.ERROR, error=NodeError() as error):
                    order = outcome.attempt.order
                    is_reported = isinstance(order, InferenceOrder) and order.reports_declined
                    move = after_error(job, error, self.limits, self.now(), is_reported=is_reported)
                    after = self._move(job, move)
                case _:
                    how = f"the worker was {outcome.ended} ({outcome.detail})"
                    after = self._move(job, after_loss(job, how, self.limits, self.now()))
        took = round(outcome.seconds, 3)
        log.info("leg_done", before=job.stage, after=after, attempts=job.attempts, seconds=took)

    def _done(self, job: Job, attempt: Attempt) -> Stage:
        order = attempt.order
        if isinstance(order, InferenceOrder):
            return self._inferred(job, attempt.folder)
        results = [self._kept(*made) for made in self.objects_in(attempt.folder, job.key)]
        to = self.orders.route(job).to
        if self.ledger.commit_results(job, results, to, self.now(), order.remark):
            self._remove(self.folder / job.key)
        return Stage.DELIVERING

    def _inferred(self, job: Job, folder: Path) -> Stage:
        """Enter findings: where the image lies among others at once, the rest for the encoder."""
        self.place(job, folder, self.now())
        after = Stage.INFERRED if self.orders.route(job).write else Stage.DELIVERED
        if self.ledger.move(job, after, self.now()) and after is Stage.DELIVERED:
            self._remove(self.folder / job.key)
        return after

    @staticmethod
    def _remove(folder: Path) -> None:
        # Two threads may remove the same folder; what one leaves behind goes with the next tidying.
        shutil.rmtree(folder, ignore_errors=True)

    def _kept(self, path: Path, result: Result) -> Result:
        spooled = Path(shutil.move(path, self.blobs.spool()))
        return replace(result, sha256=self.blobs.keep(spooled))

    def _move(self, job: Job, move: Move) -> Stage:
        self.ledger.move(job, move.to, self.now(), note=move.note, who=move.who, due_at=move.due_at)
        return move.to


# deliver: in the dispatch process, one thread per destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """Brings objects to their destinations, each destination at its own pace."""

    blobs: Blobs
    ledger: Ledger
    senders: Mapping[str, Sender]
    limits: Limits
    now: Callable[[], datetime]
    jitter: Callable[[], float]

    def deliver(self, destination: str) -> int:
        """Send what is due to one destination; return how many objects that were."""
        due = self.ledger.claim_deliveries(
            destination, self.now(), self.limits.lease * 4, self.limits.delivery_batch
        )
        if due:
            paths = [self.blobs.path(delivery.result.sha256) for delivery in due]
            answers = self.senders[destination].send(paths)
            jitter = self.jitter()  # one for all: what was sent together is sent together again
            for delivery, answer in zip(due, answers, strict=True):
                self._enter(delivery, answer, jitter)
        return len(due)

    def _enter(self, delivery: Delivery, answer: NodeError | str, jitter: float) -> None:
        job, destination = delivery.result.job[:12], delivery.destination
        match answer:
            case str(note):
                self.ledger.delivered(delivery, self.now(), note)
                log.info("delivered", job=job, destination=destination)
            case TryAgain() as hitch:
                due = next_try(delivery.attempts, self.now(), jitter, hitch.after_seconds)
                self.ledger.not_delivered(delivery, self.now(), str(answer), due)
                log.warning("not_delivered", job=job, destination=destination)
            case _:
                self.ledger.not_delivered(delivery, self.now(), str(answer), None)
                log.error("delivery_parked", job=job, destination=destination)
