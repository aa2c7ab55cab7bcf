"""Jobs under random claims, crashes and answers never leave the paths that the domain allows."""

import tempfile
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from dicom_ai_node.domain.job import DeliveryState, Job, JobKey, Stage
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import migrate
from tests.store.made import LEASE, NOON, listed, results_of

_ATTEMPTS = 3
_HELD = {Stage.READY: Stage.INFERRING, Stage.INFERRED: Stage.ENCODING}
_FREE = {held: free for free, held in _HELD.items()}


@dataclass(frozen=True)
class Model:
    """What one job should look like."""

    stage: Stage = Stage.READY
    attempts: int = 0
    fence: int = 0
    lease: int = 0  # the minute at which it runs out


class JobStates(RuleBasedStateMachine):
    """Drives the ledger and a dictionary side by side."""

    claims = Bundle("claims")  # every claim that was ever made, most of them stale

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = open_database(f"sqlite:///{Path(self.folder.name)}/ledger.db")
        migrate(self.database)
        self.ledger = SqlLedger(self.database)
        self.model: dict[JobKey, Model] = {}
        self.minute = 0

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.database.close()
        self.folder.cleanup()

    def now(self) -> object:
        """Return the time of the model."""
        return NOON + timedelta(minutes=self.minute)

    def holds(self, job: Job) -> bool:
        """Return whether this claim is the present one."""
        model = self.model[job.key]
        return (model.fence, model.stage) == (job.fence, job.stage)

    @rule()
    def list_a_job(self) -> None:
        """Complete a series."""
        if len(self.model) < 4:
            job = listed(self.ledger, uid=f"1.{len(self.model) + 3}.1", now=self.now())
            self.model[job.key] = Model()

    @rule(target=claims, free=st.sampled_from(sorted(_HELD)))
    def claim(self, free: Stage) -> object:
        """Claim for a free slot."""
        claimed = self.ledger.claim(free, self.now(), LEASE)
        expected = [key for key, model in self.model.items() if model.stage is free]
        assert [job.key for job in claimed] == expected[:1], "the oldest first"
        for job in claimed:
            model = self.model[job.key]
            self.model[job.key] = Model(
                _HELD[free], model.attempts + 1, model.fence + 1, self.minute + 1
            )
        return claimed[0] if claimed else None

    @rule(job=claims, wait=st.integers(0, 2))
    def renew(self, job: Job | None, wait: int) -> None:
        """Say that a worker lives, perhaps too late."""
        self.minute += wait
        if job is None:
            return
        self.ledger.renew([job], self.now(), LEASE)
        model = self.model[job.key]
        if model.fence == job.fence and model.stage in _FREE:
            self.model[job.key] = replace(model, lease=self.minute + 1)

    @rule(job=claims, to=st.sampled_from([Stage.PARKED, Stage.REJECTED, Stage.READY]))
    def give_up(self, job: Job | None, to: Stage) -> None:
        """Give up inference."""
        if job is None or job.stage is not Stage.INFERRING:
            return
        holds = self.holds(job)
        assert self.ledger.move(job, to, self.now()) is holds
        if holds:
            self.model[job.key] = replace(self.model[job.key], stage=to)

    @rule(job=claims)
    def finish(self, job: Job | None) -> None:
        """Finish a leg."""
        if job is None:
            return
        holds = self.holds(job)
        if job.stage is Stage.INFERRING:
            to = Stage.INFERRED
            assert self.ledger.move(job, to, self.now()) is holds
        else:
            to = Stage.DELIVERING
            done = self.ledger.commit_results(job, results_of(job), ["pacs"], self.now())
            assert done is holds
        if holds:
            self.model[job.key] = replace(self.model[job.key], stage=to, attempts=0)

    @rule(wait=st.integers(0, 3))
    def reap(self, wait: int) -> None:
        """Time passes, and the leader takes back what was lost."""
        self.minute += wait
        overdue = {
            key: model
            for key, model in self.model.items()
            if model.stage in _FREE and model.lease <= self.minute
        }
        reaped = self.ledger.reap(self.now(), _ATTEMPTS)
        assert {job.key for job in reaped} == overdue.keys()
        for key, model in overdue.items():
            to = Stage.QUARANTINED if model.attempts >= _ATTEMPTS else _FREE[model.stage]
            self.model[key] = replace(model, stage=to, fence=model.fence + 1)

    @rule(is_refused=st.booleans())
    def send(self, is_refused: bool) -> None:
        """Send one batch, or have it refused."""
        batch = self.ledger.claim_deliveries("pacs", self.now(), LEASE)
        for delivery in batch:
            if is_refused:
                assert self.ledger.not_delivered(delivery, self.now(), "no", None)
            else:
                assert self.ledger.delivered(delivery, self.now())
        if batch:
            key = batch[0].result.job
            to = Stage.PARKED if is_refused else Stage.DELIVERED
            self.model[key] = replace(self.model[key], stage=to)

    @rule()
    def retry(self) -> None:
        """Send everything that stopped to work again."""
        stages = [Stage.PARKED, Stage.REJECTED, Stage.QUARANTINED]
        for job in self.ledger.jobs(stages):
            self.ledger.retry(job, self.now())
            has_results = bool(self.ledger.results(job.key))
            to = Stage.DELIVERING if has_results else Stage.READY
            self.model[job.key] = Model(to, fence=self.model[job.key].fence + 1)

    @invariant()
    def agrees(self) -> None:
        """Compare the ledger with the dictionary."""
        found = {job.key: (job.stage, job.attempts, job.fence) for job in self.ledger.jobs()}
        assert found == {
            key: (model.stage, model.attempts, model.fence) for key, model in self.model.items()
        }

    @invariant()
    def is_delivered_for_a_reason(self) -> None:
        """Count no job as delivered before every one of its objects has arrived."""
        for job in self.ledger.jobs([Stage.DELIVERED]):
            states = {each.state for each in self.ledger.deliveries(job.key)}
            assert states == {DeliveryState.DONE}


class TestJobStates(JobStates.TestCase):  # type: ignore[misc,name-defined]
    """Random histories of up to four jobs."""

    settings = settings(
        max_examples=15,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
