"""The journey's decisions, with the real ledger and real blobs and scripted workers."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_ai_node.complete.evidence import Patience
from dicom_ai_node.domain.errors import (
    Ended,
    ModelUnusable,
    NodeError,
    OutOfResources,
    PeerRejected,
    PeerUnavailable,
    Rejected,
    TaskFailed,
)
from dicom_ai_node.domain.job import DeliveryState, Job, Result, Stage
from dicom_ai_node.domain.limits import Limits
from dicom_ai_node.domain.model import Golden, Grid, Intensity, ModelFacts, Scaling, Sees
from dicom_ai_node.domain.orders import Attempt, Before, EncodingOrder, InferenceOrder
from dicom_ai_node.domain.reject import RejectCode, Who
from dicom_ai_node.domain.rule import Input, Route, one_of
from dicom_ai_node.domain.similar import Prior
from dicom_ai_node.domain.study import Arrival, Instance, Received, Series
from dicom_ai_node.domain.uids import (
    AETitle,
    JobKey,
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
    derive_uid,
)
from dicom_ai_node.orders import LABELMAP, OrderBook
from dicom_ai_node.pipeline import Dispatch, Reception, Work
from dicom_ai_node.store import tables
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import migrate
from tests.fakes import ScriptedExecutor, ScriptedSender

MODEL = ModelFacts(
    name="model",
    version="1",
    digest=Sha256("d" * 64),
    folder=Path(),
    kind="segment",
    title="Model",
    manufacturer="us",
    modality=("CT",),
    sees=Sees.SLICES,
    intensity=Intensity(scaling=Scaling.ZSCORE),
    grid=Grid(spacing_mm=(1, 1)),
    golden=Golden(file="", min_dice=1),
)
ROUTE = Route(
    name="route",
    inputs=(Input(name="image", when={"Modality": one_of("CT")}),),
    run="segment",
    model="model",
    write=("segmentation_labelmap", "structured_report"),
    to=("pacs", "archive"),
    revision="r",
)
PETCT = replace(
    ROUTE,
    name="petct",
    inputs=(
        Input(name="pet", when={"Modality": one_of("PT")}),
        Input(name="ct", when={"Modality": one_of("CT")}),
    ),
    model="petct",
    wait_seconds=600,
)
MODELS = {"model": MODEL, "petct": replace(MODEL, name="petct", modality=("PT", "CT"))}


@dataclass
class Hospital:
    """A node without processes: one moves its clock and its legs by hand."""

    folder: Path
    inference: ScriptedExecutor = field(default_factory=ScriptedExecutor)
    encoding: ScriptedExecutor = field(default_factory=ScriptedExecutor)
    pacs: ScriptedSender = field(default_factory=ScriptedSender)
    archive: ScriptedSender = field(default_factory=ScriptedSender)
    routes: Sequence[Route] = (ROUTE,)
    past: Sequence[Prior] = ()
    placed: list[tuple[Job, Path]] = field(default_factory=list)
    earlier: dict[str, Sequence[Sha256]] = field(default_factory=dict)
    woken: list[datetime] = field(default_factory=list)
    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.database = open_database(f"sqlite:///{self.folder / 'node.db'}")
        migrate(self.database)
        self.ledger, self.blobs = SqlLedger(self.database), FolderBlobs(self.folder)
        self.encoding.on_ok = self._encode
        senders = {"pacs": self.pacs, "archive": self.archive}
        patience = Patience(
            quiet=timedelta(seconds=30),
            released_quiet=timedelta(seconds=5),
            longest=timedelta(seconds=300),
        )
        self.reception = Reception(
            blobs=self.blobs, ledger=self.ledger, quiet=lambda _: patience.quiet,
            released_quiet=patience.released_quiet, keep_free_bytes=0, now=self.now,
            wake=lambda: self.woken.append(self.time),
        )  # fmt: skip
        self.work = Work(
            blobs=self.blobs, ledger=self.ledger, folder=self.folder / "work", routes=self.routes,
            models=MODELS, inference=self.inference, encoding=self.encoding,
            orders=OrderBook(
                blobs=self.blobs, ledger=self.ledger, folder=self.folder / "work",
                routes=self.routes, accepts=lambda name, uid: senders[name].accepts(uid),
                limit_seconds=60, before=self._before, priors=lambda *_: self.past,
            ),
            objects_in=self._objects, place=self._place, patience=lambda _: patience,
            limits=Limits(), now=self.now,
        )  # fmt: skip
        self.dispatch = Dispatch(
            blobs=self.blobs, ledger=self.ledger, senders=senders, limits=Limits(), now=self.now,
            jitter=lambda: 0.5,
        )  # fmt: skip

    def now(self) -> datetime:
        return self.time

    def _before(self, job: Job) -> Before:
        return Before(tuple(self.earlier.get(job.route, ())))

    def arrive(self, *contents: bytes, series: str = "1.2", modality: str = "CT") -> list[Received]:
        """Store instances, one per content, and record them."""
        arrivals = []
        for content in contents:
            spooled = self.blobs.spool()
            spooled.write_bytes(content)
            instance = Instance(
                sop_instance_uid=SOPInstanceUID(derive_uid(series, content.decode())),
                sop_class_uid=SOPClassUID("1.2.840.10008.5.1.4.1.1.2"),
                series_instance_uid=SeriesInstanceUID(series),
                study_instance_uid=StudyInstanceUID("1.1"),
                transfer_syntax_uid="1.2.840.10008.1.2.1",
                sha256=self.blobs.keep(spooled),
                size_bytes=len(content),
                attributes={"Modality": modality},
            )
            arrivals.append(
                Arrival(
                    instance=instance,
                    calling_ae_title=AETitle("CT1"),
                    called_ae_title=AETitle("NODE"),
                    address="127.0.0.1",
                )
            )
        return list(self.reception.record(arrivals))

    def later(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def settled(self, *contents: bytes) -> Job:
        """Take a series in, let it settle, and return its newest job."""
        self.arrive(*(contents or (b"a", b"b")))
        self.later(31)
        self.work.settle()
        return self.job()

    def infer(self) -> None:
        self.work.infer()
        self.work.collect(self.inference, 0)

    def encode(self) -> None:
        self.work.encode()
        self.work.collect(self.encoding, 0)

    def job(self) -> Job:
        newest = self.ledger.jobs(limit=1)[0]
        found = self.ledger.job(newest.key)
        assert found
        return found

    def _place(self, job: Job, findings: Path, now: datetime) -> None:
        assert self.job().stage is Stage.INFERRING
        self.placed.append((job, findings))

    def _encode(self, attempt: Attempt) -> None:
        assert isinstance(attempt.order, EncodingOrder)
        for kind in attempt.order.write:
            (attempt.folder / f"{kind}.dcm").write_text(f"{attempt.job} {kind}")

    def _objects(self, folder: Path, job: JobKey) -> list[tuple[Path, Result]]:
        return [
            (
                path,
                Result(
                    job=job,
                    kind=path.stem,
                    sop_instance_uid=SOPInstanceUID(derive_uid(job, path.stem)),
                    sop_class_uid=SOPClassUID("1.2.3"),
                    series_instance_uid=SeriesInstanceUID(derive_uid(job, path.stem, "series")),
                    transfer_syntax_uid="1.2.840.10008.1.2.1",
                    sha256=Sha256(""),
                ),
            )
            for path in sorted(folder.glob("*.dcm"))
        ]


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    """Open a hospital for one test."""
    opened = Hospital(tmp_path)
    yield opened
    opened.database.close()


def test_a_study_travels_from_the_door_to_both_destinations(hospital: Hospital) -> None:
    """Received, complete, routed, inferred, encoded, delivered: in this order, each once."""
    assert hospital.settled().stage is Stage.READY
    hospital.infer()
    assert hospital.job().stage is Stage.INFERRED
    hospital.encode()
    assert hospital.job().stage is Stage.DELIVERING
    assert hospital.dispatch.deliver("pacs") == 2
    assert hospital.job().stage is Stage.DELIVERING
    assert hospital.dispatch.deliver("archive") == 2
    assert hospital.job().stage is Stage.DELIVERED
    assert not (hospital.folder / "work" / hospital.job().key).exists()


def test_a_job_that_writes_nothing_is_done_with_its_findings(tmp_path: Path) -> None:
    """They are entered in the ledger before the job moves; no encoder is asked, nothing is left."""
    hospital = Hospital(tmp_path, routes=(replace(ROUTE, write=(), to=()),))
    hospital.settled()
    hospital.infer()
    job = hospital.job()
    assert job.stage is Stage.DELIVERED
    ((placed, findings),) = hospital.placed
    assert (placed.key, findings) == (job.key, hospital.inference.started[0].folder)
    hospital.encode()
    assert not hospital.encoding.started
    assert not (hospital.folder / "work" / job.key).exists()
    hospital.database.close()


def test_an_open_series_is_not_routed(hospital: Hospital) -> None:
    """What is still arriving waits."""
    hospital.arrive(b"a")
    hospital.later(10)
    hospital.work.settle()
    assert not hospital.ledger.jobs()


def test_a_series_that_the_node_was_down_for_is_waited_for(hospital: Hospital) -> None:
    """One half came before the outage, the other after it: they are one job."""
    hospital.arrive(b"a")
    hospital.later(3600)
    ready = hospital.now()
    hospital.later(5)
    hospital.work.settle(ready)
    assert not hospital.ledger.jobs()
    hospital.arrive(b"b")
    hospital.later(31)
    hospital.work.settle(ready)
    assert len(hospital.job().inputs) == 2
    assert len(hospital.ledger.jobs()) == 1


def test_the_same_bytes_again_start_nothing(hospital: Hospital) -> None:
    """A re-send reopens nothing and makes no second job."""
    first = hospital.settled()
    assert hospital.arrive(b"a", b"b") == [Received.DUPLICATE, Received.DUPLICATE]
    hospital.later(60)
    hospital.work.settle()
    assert [job.key for job in hospital.ledger.jobs()] == [first.key]


@pytest.mark.parametrize(
    ("error", "stage", "who", "waits"),
    [
        pytest.param(
            Rejected(RejectCode.GEO_MISSING_SLICE, "at 3 mm"),
            Stage.REJECTED, Who.SENDER, False, id="a refusal by the model is an answer",
        ),
        pytest.param(
            OutOfResources("no memory"), Stage.READY, Who.NOBODY_YET, True,
            id="what may pass is tried again",
        ),
        pytest.param(
            ModelUnusable("weights changed"), Stage.READY, Who.OPERATOR, True,
            id="jobs of a broken model wait for the operator",
        ),
        pytest.param(
            TaskFailed("bug"), Stage.PARKED, Who.PERSON, False,
            id="a bug is parked for a person",
        ),
    ],
)  # fmt: skip
def test_a_failure_says_who_has_to_act(
    hospital: Hospital, error: NodeError, stage: Stage, who: Who, waits: bool
) -> None:
    """Every way to fail leads to one stage, one person and, if it waits, a due time."""
    hospital.settled()
    hospital.inference.script = [error]
    hospital.infer()
    job = hospital.job()
    assert (job.stage, job.who) == (stage, who)
    assert str(error) in job.note
    hospital.work.infer()
    assert not hospital.inference.running()
    if waits:
        hospital.later(601)
        hospital.infer()
        assert hospital.job().stage is Stage.INFERRED


def test_a_study_that_kills_its_worker_is_quarantined_and_others_go_on(hospital: Hospital) -> None:
    """Three lost workers are enough; the next study is not affected."""
    hospital.settled()
    hospital.inference.script = [Ended.LOST, Ended.TIMEOUT, Ended.LOST]
    for _attempt in range(3):
        hospital.infer()
        hospital.later(601)
    assert hospital.job().stage is Stage.QUARANTINED
    assert len(hospital.inference.started) == 3
    hospital.arrive(b"c", series="1.3")
    hospital.later(31)
    hospital.work.settle()
    hospital.infer()
    assert {job.stage for job in hospital.ledger.jobs()} == {Stage.QUARANTINED, Stage.INFERRED}


def test_an_encoder_that_dies_is_tried_again_from_the_findings(hospital: Hospital) -> None:
    """The inference is not repeated, and the second attempt writes into a folder of its own."""
    hospital.settled()
    hospital.infer()
    hospital.encoding.script = [Ended.LOST]
    hospital.encode()
    hospital.later(601)
    hospital.encode()
    first, second = hospital.encoding.started
    assert first.folder != second.folder
    assert isinstance(first.order, EncodingOrder)
    assert isinstance(second.order, EncodingOrder)
    assert first.order.findings == second.order.findings
    assert len(hospital.inference.started) == 1
    assert hospital.job().stage is Stage.DELIVERING


def test_a_worker_that_was_given_up_cannot_finish(hospital: Hospital) -> None:
    """After its lease a job belongs to somebody else; the late outcome changes nothing."""
    hospital.settled()
    hospital.work.infer()
    hospital.later(61)
    (taken_back,) = hospital.ledger.reap(hospital.now(), 3)
    assert taken_back.stage is Stage.READY
    hospital.work.collect(hospital.inference, 0)
    assert hospital.job().stage is Stage.READY


def test_power_cuts_are_not_held_against_a_job_at_once(hospital: Hospital) -> None:
    """A job that was at work during three power cuts is done after the fourth start; not the tenth."""
    hospital.settled()
    for cut in range(1, 10):
        hospital.work.infer()
        hospital.work._at_work.clear()
        hospital.inference.poll(0)
        hospital.later(61)
        hospital.work.keep_alive()
        assert hospital.job().stage is (Stage.QUARANTINED if cut == 9 else Stage.READY)


def test_a_lease_is_kept_while_the_work_goes_on(hospital: Hospital) -> None:
    """A long inference is not taken away from a worker that is alive."""
    hospital.settled()
    hospital.work.infer()
    for _minute in range(5):
        hospital.later(45)
        hospital.work.keep_alive()
    hospital.work.collect(hospital.inference, 0)
    assert hospital.job().stage is Stage.INFERRED


def test_a_stop_gives_work_back_at_once(hospital: Hospital) -> None:
    """After a restart nothing waits for a lease to run out."""
    hospital.settled()
    hospital.work.infer()
    hospital.work.give_back()
    hospital.inference.poll(0)
    assert hospital.job().stage is Stage.READY
    hospital.infer()
    assert hospital.job().stage is Stage.INFERRED


@pytest.mark.parametrize(
    ("takers", "kind"),
    [
        pytest.param(("pacs", "archive"), "segmentation_labelmap", id="both take label maps"),
        pytest.param(("pacs",), "segmentation", id="one does not, so all get a binary one"),
    ],
)
def test_a_label_map_is_written_only_for_destinations_that_take_it(
    hospital: Hospital, takers: tuple[str, ...], kind: str
) -> None:
    """One report can refer to one segmentation only, so it is the one that all can have."""
    for name in takers:
        getattr(hospital, name).takes = frozenset({LABELMAP})
    hospital.settled()
    hospital.infer()
    hospital.encode()
    kinds = {result.kind for result in hospital.ledger.results(hospital.job().key)}
    assert kinds == {kind, "structured_report"}


def test_a_late_instance_supersedes_and_names_its_predecessor(hospital: Hospital) -> None:
    """The new report is told which one it replaces."""
    first = hospital.settled()
    hospital.infer()
    hospital.encode()
    second = hospital.settled(b"late")
    assert second.supersedes == first.key
    hospital.infer()
    hospital.encode()
    order = hospital.encoding.started[-1].order
    assert isinstance(order, EncodingOrder)
    (report,) = [r for r in hospital.ledger.results(first.key) if r.kind == "structured_report"]
    assert order.predecessors == (hospital.blobs.path(report.sha256),)


@pytest.mark.parametrize("is_known", [True, False])
def test_key_objects_are_told_the_past_of_the_patient(tmp_path: Path, is_known: bool) -> None:
    """Where there is none nothing is written, and the time line says why."""
    hospital = Hospital(tmp_path, routes=(replace(ROUTE, write=("key_objects",), to=("pacs",)),))
    prior = Prior(
        study_instance_uid=StudyInstanceUID("1.1"),
        series_instance_uid=SeriesInstanceUID("1.1.1"),
        score=0.9,
        sha256=Sha256("ab" * 32),
    )
    hospital.past = [prior] if is_known else []
    if not is_known:
        hospital.encoding.on_ok = lambda _: None
    hospital.settled()
    hospital.infer()
    hospital.encode()
    (attempt,) = hospital.encoding.started
    assert isinstance(attempt.order, EncodingOrder)
    told = ((hospital.blobs.path(prior.sha256), 0.9),) if is_known else ()
    assert attempt.order.priors == told
    job = hospital.job()
    assert job.stage is (Stage.DELIVERING if is_known else Stage.DELIVERED)
    last = hospital.ledger.time_line(job.key)[-1].detail
    assert ("no earlier study of this patient" in last) is not is_known
    hospital.database.close()


def test_one_destination_down_does_not_delay_another(hospital: Hospital) -> None:
    """Each object has its own line for each destination."""
    hospital.settled()
    hospital.infer()
    hospital.encode()
    hospital.pacs.script = [PeerUnavailable("down"), PeerUnavailable("down")]
    hospital.dispatch.deliver("pacs")
    assert hospital.dispatch.deliver("archive") == 2
    assert hospital.dispatch.deliver("pacs") == 0
    hospital.later(60)
    assert hospital.dispatch.deliver("pacs") == 2
    assert hospital.job().stage is Stage.DELIVERED


def test_a_destination_that_refuses_parks_the_job_until_it_is_retried(hospital: Hospital) -> None:
    """What was taken stays taken; only what was refused is sent again."""
    hospital.settled()
    hospital.infer()
    hospital.encode()
    hospital.pacs.script = ["", PeerRejected("no such SOP class")]
    hospital.dispatch.deliver("pacs")
    hospital.dispatch.deliver("archive")
    job = hospital.job()
    assert job.stage is Stage.PARKED
    states = [it.state for it in hospital.ledger.deliveries(job.key) if it.destination == "pacs"]
    assert sorted(states) == [DeliveryState.DONE, DeliveryState.PARKED]
    hospital.ledger.retry(job, hospital.now())
    assert hospital.dispatch.deliver("pacs") == 1
    assert hospital.job().stage is Stage.DELIVERED


def test_whoever_closes_series_need_not_look_for_them_all_the_time(hospital: Hospital) -> None:
    """It rests until the first is due, and is woken when an association has ended earlier."""
    assert hospital.work.until_due(60) == 60
    hospital.arrive(b"a")
    assert hospital.work.until_due(60) == 30
    assert hospital.work.until_due(1) == 1
    hospital.later(2)
    hospital.reception.released([SeriesInstanceUID("1.2")])
    assert hospital.woken == [hospital.time]
    assert hospital.work.until_due(60) == 5
    hospital.later(9)
    assert hospital.work.until_due(60) == 0


def test_nothing_is_taken_when_the_disk_is_about_to_be_full(hospital: Hospital) -> None:
    """The sender hears of it before the bytes travel."""
    full = Reception(
        blobs=hospital.blobs,
        ledger=hospital.ledger,
        quiet=lambda _: timedelta(0),
        released_quiet=timedelta(0),
        keep_free_bytes=1 << 60,
        now=hospital.now,
        wake=lambda: None,
    )
    with pytest.raises(OutOfResources):
        full.room()
    hospital.reception.room()


# a route with several inputs


@pytest.fixture
def pairs(hospital: Hospital) -> Iterator[Hospital]:
    """Open a hospital that analyses PET with CT, and let a PET arrive and be complete."""
    paired = replace(hospital, routes=(PETCT,))
    paired.arrive(b"pet", series="1.2", modality="PT")
    paired.later(31)
    paired.work.settle()
    yield paired
    paired.database.close()


def restarted(hospital: Hospital) -> Hospital:
    """Return the same hospital after its node was stopped and started again."""
    hospital.database.close()
    return replace(hospital)


def ct_comes(hospital: Hospital) -> None:
    """Let the other half of the pair arrive and be complete."""
    hospital.arrive(b"ct", series="1.3", modality="CT")
    hospital.later(31)
    hospital.work.settle()


def gave_up(hospital: Hospital) -> list[str]:
    """Return what the time lines of all series say about inputs that did not come."""
    query = select(tables.events).where(tables.events.c.what == "input_missing")
    with hospital.database.reading() as connection:
        return [row.detail for row in connection.execute(query)]


def test_an_input_that_does_not_come_is_reported(
    pairs: Hospital, capsys: pytest.CaptureFixture[str]
) -> None:
    """After `wait_seconds`, restart or not, time line and log say what is missing; once."""
    pairs.later(599)
    pairs.work.settle()
    assert gave_up(pairs) == []
    again = restarted(pairs)
    again.later(1)
    again.work.settle()
    sentence = "IN_MISSING_INPUT: petct waited 600 seconds for ct in vain"
    assert gave_up(again) == [sentence]
    again.later(3600)
    again.work.settle()
    assert gave_up(again) == [sentence]
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "input_missing" in each]
    said = json.loads(line)
    assert (said["level"], said["route"], said["code"]) == ("warning", "petct", "IN_MISSING_INPUT")
    again.database.close()


def test_an_input_that_comes_too_late_still_makes_a_job(pairs: Hospital) -> None:
    """Giving up is a message, not an end; the job's time line tells both."""
    pairs.later(600)
    pairs.work.settle()
    again = restarted(pairs)
    ct_comes(again)
    job = again.job()
    assert [one.name for one in job.inputs] == ["pet", "ct"]
    told = [event.what for event in again.ledger.time_line(job.key)]
    assert told.index("input_missing") < told.index("job_created")
    again.infer()
    assert again.job().stage is Stage.INFERRED
    again.database.close()


def test_an_input_that_comes_in_time_ends_the_wait(pairs: Hospital) -> None:
    """A pair that was served is not reported, however long ago it was."""
    ct_comes(pairs)
    assert pairs.job().stage is Stage.READY
    pairs.later(3600)
    pairs.work.settle()
    assert gave_up(pairs) == []
    assert not pairs.ledger.due_waits(pairs.now())


def test_nobody_gives_up_while_the_other_input_arrives(pairs: Hospital) -> None:
    """A CT that is still being sent when the time is over is not missing."""
    pairs.later(600 - 20)
    pairs.arrive(b"ct", series="1.3", modality="CT")
    pairs.later(25)
    pairs.work.settle()
    assert gave_up(pairs) == []
    pairs.later(6)
    pairs.work.settle()
    assert pairs.job().stage is Stage.READY
    assert gave_up(pairs) == []


def test_the_wait_goes_on_after_a_series_that_was_not_the_missing_one(pairs: Hospital) -> None:
    """An open series holds the message back, and lets it go when it turns out to be another."""
    pairs.later(600 - 20)
    pairs.arrive(b"mr", series="1.4", modality="MR")
    pairs.later(25)
    pairs.work.settle()
    assert gave_up(pairs) == []
    pairs.later(6)
    pairs.work.settle()
    assert len(gave_up(pairs)) == 1


def test_a_route_that_is_gone_waits_no_more(pairs: Hospital) -> None:
    """An operator who removes a route hears nothing of it after the restart."""
    without = replace(pairs, routes=(ROUTE,))
    without.later(600)
    without.work.settle()
    assert gave_up(without) == []
    assert not without.ledger.due_waits(without.now())
    without.database.close()


def test_lost_findings_park_the_job_until_the_model_runs_again(hospital: Hospital) -> None:
    """Somebody has cleaned the wrong folder: the node says so and goes on."""
    hospital.settled()
    hospital.infer()
    shutil.rmtree(hospital.folder / "work")
    hospital.encode()
    job = hospital.job()
    assert job.stage is Stage.PARKED
    assert "findings are gone" in job.note
    hospital.ledger.retry(job, hospital.now())
    hospital.infer()
    hospital.encode()
    assert hospital.job().stage is Stage.DELIVERING


def test_a_job_whose_route_was_removed_is_parked(hospital: Hospital) -> None:
    """Pending work of a route that is gone is shown, not dropped and not looped over."""
    hospital.settled()
    object.__setattr__(hospital.work.orders, "routes", [])
    hospital.infer()
    assert hospital.job().stage is Stage.PARKED
    assert "no route" in hospital.job().note


def test_a_bug_in_one_leg_does_not_stop_the_others(hospital: Hospital) -> None:
    """The job is parked with the type of the bug; the worker's slot is free again."""
    hospital.settled()

    def broken(_attempt: Attempt) -> None:
        raise ZeroDivisionError

    hospital.infer()
    hospital.encoding.start = broken  # type: ignore[method-assign]
    hospital.encode()
    assert hospital.job().stage is Stage.PARKED
    assert hospital.job().note == "bug in the node: ZeroDivisionError"


def test_a_series_that_trips_the_node_waits_and_others_are_routed(hospital: Hospital) -> None:
    """One odd series must not keep a whole hospital from being settled."""
    hospital.arrive(b"odd", series="1.2.1")
    hospital.arrive(b"fine", series="1.2.2")
    hospital.later(31)
    usual = hospital.work.patience

    def trips(series: Series) -> Patience:
        if series.series_instance_uid == "1.2.1":
            raise ZeroDivisionError
        return usual(series)

    object.__setattr__(hospital.work, "patience", trips)
    hospital.work.settle()
    assert [job.inputs[0].series_instance_uid for job in [hospital.job()]] == ["1.2.2"]
    assert not hospital.ledger.due_series(hospital.now())


def test_what_is_left_of_finished_jobs_is_removed(hospital: Hospital) -> None:
    """Findings stay only as long as somebody may need them."""
    hospital.settled()
    hospital.infer()
    hospital.work.tidy()
    folder = hospital.folder / "work" / hospital.job().key
    assert folder.exists()
    hospital.settled(b"late")
    hospital.work.tidy()
    assert not folder.exists()


@pytest.mark.parametrize("compares", [True, False])
def test_a_route_that_compares_is_given_the_earlier_reports(
    hospital: Hospital, compares: bool
) -> None:
    """Their files; a route that does not ask is not given what is none of its business."""
    hospital.routes = [replace(ROUTE, options={"compare_earlier": compares})]
    hospital.earlier[ROUTE.name] = [Sha256("e" * 64)]
    hospital.__post_init__()
    hospital.settled()
    hospital.infer()
    (attempt,) = hospital.inference.started
    assert isinstance(attempt.order, InferenceOrder)
    assert attempt.order.compares is compares
    assert attempt.order.earlier == (hospital.blobs.path(Sha256("e" * 64)),) * compares


def test_a_declined_job_can_become_a_report(hospital: Hospital) -> None:
    """Where the route asks for it, the job goes on to the encoder, and its time line says why."""
    hospital.routes = [replace(ROUTE, options={"report_declined": True})]
    hospital.__post_init__()
    hospital.settled()
    hospital.inference.script = [Rejected(RejectCode.GEO_MISSING_SLICE, "at 3 mm")]
    hospital.infer()
    job = hospital.job()
    assert job.stage is Stage.INFERRED
    assert job.who is Who.SENDER
    said = [event.detail for event in hospital.ledger.time_line(job.key)]
    assert "GEO_MISSING_SLICE: at 3 mm" in said
