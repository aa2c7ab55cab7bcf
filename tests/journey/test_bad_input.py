"""One node and everything that goes wrong around it: each time it says so, and goes on."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, SegmentationStorage

from dicom_ai_node.domain.job import ENDED, DeliveryState, Job, Stage
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.domain.uids import Sha256, derive_uid
from dicom_ai_node.store.blobs import FolderBlobs
from tests import phantoms
from tests.journey.node import ROOT, Node, running, until
from tests.journey.senders import REJECTED, Sender
from tests.model_folders import threshold_model
from tests.peers.archive import archive
from tests.peers.tools import free_port, listens
from tests.receive.rawpeer import CT, EXPLICIT, RawPeer, encoded

ROUTES = """\
  - name: volume
    when: {Modality: CT, SeriesDescription: CT}
    run: segment
    model: bright_ct
    write: [segmentation]
    to: [results]
  - name: refused
    when: {SeriesDescription: for an archive that refuses}
    run: segment
    model: bright_ct
    write: [segmentation]
    to: [results, refuses]
  - name: away
    when: {SeriesDescription: for an archive that is away}
    run: segment
    model: bright_ct
    write: [segmentation]
    to: [away]
  - name: x-ray
    when: {Modality: CR}
    run: segment
    model: bright_cr
    write: [segmentation, structured_report]
    to: [results]
  - name: flipped
    when: {Modality: MR}
    run: segment
    model: bright_mr
    write: [segmentation]
    to: [results]
"""
MR = "1.2.840.10008.5.1.4.1.1.4"
TAKES = [(str(SegmentationStorage), [EXPLICIT])]
WEIGHTS = "models/model.safetensors"
ASSOCIATION_REJECTED_FOR_GOOD = 1


@dataclass
class Ward:
    """A node, who sends to it, and two archives that are not what they should be."""

    node: Node
    away_port: int
    mood: dict[str, int] = field(default_factory=lambda: {"status": 0x0000})

    @property
    def scanner(self) -> Sender:
        """The sender that the node knows."""
        return Sender(self.node.port)

    @property
    def results(self) -> Path:
        """The folder that takes results."""
        return self.node.folder / "results"

    def job(self, study: str, *stages: Stage, seconds: float = 60) -> Job:
        """Wait until the newest job of a study has come to one of these stages, with its inputs."""

        def found() -> Job | None:
            of_it = [job for job in self.node.jobs() if job.study_instance_uid == study]
            return of_it[0] if of_it and of_it[0].stage in (stages or ENDED) else None

        job: Job = until(found, seconds, f"the job has come to {stages or 'an end'}")
        whole = self.node.ledger.job(job.key)
        assert whole is not None
        return whole

    def settled(self) -> None:
        """Wait until no series is open any more."""
        counts = self.node.ledger.counts
        until(lambda: counts()["series.open"] == 0, 30, "all series have settled")

    def stored(self, digest: Sha256) -> bytes:
        """Return what the node has kept under a digest."""
        return FolderBlobs(self.node.folder / "store").path(digest).read_bytes()

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line as the operator does."""
        return run(*arguments, "--config", str(self.node.config))


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `dicom-ai-node` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "dicom_ai_node", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "300"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Start one node with small models for all tests; the weights of one have a wrong bit."""
    folder = tmp_path_factory.mktemp("mischief")
    threshold_model(folder / "models")
    threshold_model(
        folder / "models", name="bright_cr", modality=["CR", "DX"], sees="frames",
        intensity={"scaling": "window", "low": 0, "high": 255}, grid={"size_px": [96, 80]},
        measure=["area"],
    )  # fmt: skip
    flip(threshold_model(
        folder / "models", name="bright_mr", modality=["MR"], grid={"spacing_mm": [2.0, 1.0, 1.0]},
        measure=["volume"],
    ) / WEIGHTS)  # fmt: skip
    mood, away_port = {"status": 0x0000}, free_port()
    with archive(TAKES, lambda _: mood["status"]) as refuses:
        node = Node(
            folder / "node",
            ROUTES,
            f"  results: {{folder: {folder / 'node' / 'results'}}}\n"
            f"  refuses: {{ae_title: PACS, host: 127.0.0.1, port: {refuses.port}}}\n"
            f"  away: {{ae_title: PACS, host: 127.0.0.1, port: {away_port}}}\n",
            complete=", patience_seconds: 4",
            infer=f", models: [{folder / 'models'}]",
        )
        with running(node):
            yield Ward(node, away_port, mood)


@pytest.fixture(autouse=True)
def it_goes_on(ward: Ward) -> Iterator[None]:
    """Ask after every test whether the node still answers, and whether no part of it has died."""
    yield
    assert ward.scanner.echo() == 0x0000
    log = ward.node.log.read_text()
    assert [word for word in ("role_ended", "worker_lost", "role_hung") if word in log] == []


def flip(path: Path) -> None:
    """Turn the last bit of a file around."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def of(name: str) -> dict[str, object]:
    """Return the UIDs of a study of its own."""
    return {
        "StudyInstanceUID": derive_uid("mischief", name),
        "SeriesInstanceUID": derive_uid("mischief", name, "series"),
    }


def ct(name: str, slices: int = 6, **changes: object) -> list[Dataset]:
    """Return a small CT in a study of its own."""
    return list(phantoms.ct(slices=slices, **{**of(name), **changes}))  # type: ignore[arg-type]


# receive


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        pytest.param({"calling": b"STRANGER"}, 3, id="a calling AE title that it does not know"),
        pytest.param({"called": b"OTHER_NODE"}, 7, id="a called AE title that is not its own"),
    ],
)
def test_a_stranger_is_turned_away_at_the_door(
    ward: Ward, who: dict[str, bytes], reason: int
) -> None:
    """The association is rejected for good, and the reason says what to correct, PS3.8 9.3.4."""
    before = ward.node.ledger.counts()
    kind, body = Sender(ward.node.port, **who).knock()
    assert kind == REJECTED
    assert tuple(body[1:4]) == (ASSOCIATION_REJECTED_FOR_GOOD, 1, reason)
    assert ward.node.ledger.counts() == before


@pytest.mark.parametrize(
    ("sop_class", "syntax", "result"),
    [
        pytest.param("1.2.840.10008.5.1.4.31", EXPLICIT, 3, id="an SOP class that is no storage"),
        pytest.param(CT, "1.2.840.10008.1.2.1.99", 4, id="a deflated data set"),
        pytest.param(CT, EXPLICIT, 0, id="but an image is welcome on the same association"),
    ],
)
def test_what_it_does_not_take_is_refused_before_it_is_sent(
    ward: Ward, sop_class: str, syntax: str, result: int
) -> None:
    """A presentation context that we cannot serve is refused by itself, PS3.8 Table 9-18."""
    kind, body = ward.scanner.knock([(1, CT, (EXPLICIT,)), (5, sop_class, (syntax,))])
    assert kind == 2
    context = body.index(b"\x21\0", body.index(b"\x21\0") + 1)
    assert (body[context + 4], body[context + 6]) == (5, result)


@pytest.mark.parametrize(
    ("announced", "status"),
    [
        pytest.param(CT, 0xA900, id="than its command announced"),
        pytest.param(MR, 0x0122, id="than its association agreed upon"),
    ],
)
def test_a_data_set_of_another_class_is_refused(ward: Ward, announced: str, status: int) -> None:
    """The status says what does not fit; the sender keeps its copy and corrects itself."""
    (image,) = ct("another class", slices=1, SOPClassUID=MR)
    uid = str(image.SOPInstanceUID).encode()
    before = ward.node.ledger.counts()
    with ward.scanner.enter(RawPeer(ward.node.port)) as peer:
        assert (
            peer.store(encoded(image), uid + b"\0" * (len(uid) % 2), announced.encode()) == status
        )
        peer.release()
    assert ward.node.ledger.counts() == before


def test_a_truncated_data_set_is_refused_and_kept_for_a_person(ward: Ward) -> None:
    """C000 tells the sender; the quarantine holds every byte that came, and from whom."""
    good, cut = ct("truncated", slices=2)
    content = encoded(cut)[:-100]
    assert ward.scanner.send_bytes([content, encoded(good)], [cut, good]) == [0xC000, 0x0000]
    entry = ward.node.ledger.quarantined()[0]
    assert entry.sender == "SENDER"
    assert ward.stored(entry.sha256).endswith(content)
    shown = ward.command("quarantine")
    assert entry.reason in shown.stdout
    ward.settled()


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
@pytest.mark.parametrize(
    "uid",
    [
        pytest.param("../../../../tmp/out", id="that lead out of the folder"),
        pytest.param("1." + "2" * 63, id="of 65 characters"),
        pytest.param("1.2.03", id="with a leading zero"),
    ],
)
@pytest.mark.parametrize(
    ("keyword", "status"),
    [("SOPInstanceUID", 0x0117), ("SeriesInstanceUID", 0xA900), ("StudyInstanceUID", 0xA900)],
)
def test_uids_that_are_none_are_refused(
    ward: Ward, keyword: str, status: int, uid: str, tmp_path: Path
) -> None:
    """The status names the sender as the one to act, and no file appears under such a name."""
    (image,) = ct("wrong uids", slices=1, **{keyword: uid})
    before = ward.node.ledger.counts()
    assert ward.scanner.send([image]) == [status]
    assert ward.node.ledger.counts() == before
    assert not [path for path in ward.node.folder.rglob("*") if uid[-20:] in path.name]
    assert not Path("/tmp/out").exists()  # noqa: S108 - asked, not made


def test_a_sender_that_vanishes_can_send_again(ward: Ward) -> None:
    """Half an instance is none; what was acknowledged stays, and the rest completes the series."""
    series = ct("vanishes")
    study = str(series[0].StudyInstanceUID)
    assert ward.scanner.send(series[:3]) == [0x0000] * 3
    ward.scanner.break_off(series[3])
    assert ward.scanner.send(series[3:]) == [0x0000] * 3
    job = ward.job(study)
    assert (job.stage, len(job.inputs)) == (Stage.DELIVERED, 6)


def test_the_same_uid_with_other_bytes_is_set_aside(ward: Ward) -> None:
    """B000 warns the sender, the first instance stays, the second is kept for a person."""
    series = ct("conflict")
    study = str(series[0].StudyInstanceUID)
    assert set(ward.scanner.send(series)) == {0x0000}
    first = ward.job(study)
    other = deepcopy(series[0])
    other.SeriesDescription = "CT, corrected at the console"
    assert ward.scanner.send([other]) == [0xB000]
    entry = ward.node.ledger.quarantined()[0]
    assert entry.sender == "SENDER"
    assert ward.stored(entry.sha256).endswith(encoded(other))
    ward.settled()
    assert ward.job(study).key == first.key
    digests = {one.sop_instance_uid: one.sha256 for one in first.inputs}
    assert ward.stored(digests[series[0].SOPInstanceUID]).endswith(encoded(series[0]))


# complete and route


def test_a_series_of_two_modalities_is_stored_and_no_route_takes_it(ward: Ward) -> None:
    """No rule can rely on what differs within a series, so nothing is guessed."""
    images = ct("two modalities", slices=2)
    strays = phantoms.mr(slices=4, **of("two modalities"), InstanceNumber=9)  # type: ignore[arg-type]
    for index, stray in enumerate(strays):
        stray.SOPInstanceUID = derive_uid("mischief", "stray", str(index))
        stray.SeriesDescription = "CT"
    before = ward.node.ledger.counts()["instances"]
    assert set(ward.scanner.send(images) + ward.scanner.send(strays)) == {0x0000}
    ward.settled()
    study = ward.node.ledger.study(images[0].StudyInstanceUID)
    assert [len(series.instances) for series in study.series] == [6]
    assert ward.node.ledger.counts()["instances"] == before + 6
    assert images[0].StudyInstanceUID not in {job.study_instance_uid for job in ward.node.jobs()}


# infer


def _uneven(series: list[Dataset]) -> list[Dataset]:
    for gap, image in zip((0, 2.5, 5.8, 7.1, 11, 12.5), series, strict=True):
        image.ImagePositionPatient[2] = gap
    return series


def _with_a_gap(series: list[Dataset]) -> list[Dataset]:
    return series[:3] + series[4:]


def _tilted(series: list[Dataset]) -> list[Dataset]:
    for index, image in enumerate(series):
        image.ImagePositionPatient[1] = index * 1.0
        image.GantryDetectorTilt = 21.8
    return series


def _mixed(series: list[Dataset]) -> list[Dataset]:
    for image in series[3:]:
        image.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    return series


def _without_rescale(series: list[Dataset]) -> list[Dataset]:
    for image in series:
        del image.RescaleIntercept, image.RescaleSlope
    return series


def _with_too_few_bytes(series: list[Dataset]) -> list[Dataset]:
    series[2].PixelData = series[2].PixelData[:-1000]
    return series


def _with_a_broken_codestream(series: list[Dataset]) -> list[Dataset]:
    # An item of garbage after an empty offset table, PS3.5 A.4.
    garbage = b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\x00\xe0\x40\0\0\0" + bytes(range(64))
    for image in series:
        image.file_meta.TransferSyntaxUID = JPEG2000Lossless
        image.PixelData = garbage
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
    return series


@pytest.mark.parametrize(
    ("spoil", "code", "who"),
    [
        pytest.param(_uneven, "GEO_VARIABLE_SPACING", Who.NOBODY, id="uneven slices"),
        pytest.param(_with_a_gap, "GEO_MISSING_SLICE", Who.SENDER, id="a slice that is missing"),
        pytest.param(_tilted, "GEO_GANTRY_TILT", Who.NOBODY, id="a tilted gantry"),
        pytest.param(_mixed, "GEO_MIXED", Who.NOBODY, id="two orientations in one series"),
        pytest.param(_without_rescale, "PIX_NO_RESCALE", Who.SENDER, id="no Hounsfield units"),
        pytest.param(_with_too_few_bytes, "PIX_CORRUPT", Who.SENDER, id="pixels that are cut off"),
        pytest.param(_with_a_broken_codestream, "PIX_CORRUPT", Who.SENDER, id="a broken codestream"),
    ],
)  # fmt: skip
def test_what_the_model_cannot_use_is_rejected_with_a_reason(
    ward: Ward, spoil: Callable[[list[Dataset]], list[Dataset]], code: str, who: Who
) -> None:
    """The job says which code, why and who acts; all bytes are stored as they came."""
    series = spoil(ct(spoil.__name__))
    assert set(ward.scanner.send(series)) == {0x0000}
    job = ward.job(str(series[0].StudyInstanceUID))
    assert (job.stage, job.who) == (Stage.REJECTED, who)
    assert job.note.startswith(f"{code}: ")
    sent = {one.SOPInstanceUID: encoded(one) for one in series if "PixelData" in one}
    assert {one.sop_instance_uid for one in job.inputs} == set(sent)
    assert all(ward.stored(one.sha256).endswith(sent[one.sop_instance_uid]) for one in job.inputs)
    shown = ward.command("job", job.name)
    assert code in shown.stdout
    assert who in shown.stdout


def test_without_calibration_there_is_a_result_without_millimetres(ward: Ward) -> None:
    """An X-ray of unknown scale is segmented, measured in pixels, and the report says so."""
    image = phantoms.cr(**of("uncalibrated"), ImagerPixelSpacing=None)
    assert ward.scanner.send([image]) == [0x0000]
    job = ward.job(str(image.StudyInstanceUID))
    assert job.stage is Stage.DELIVERED, job.note
    found = [dcmread(path) for path in (ward.results / image.StudyInstanceUID).rglob("*.dcm")]
    (report,) = [one for one in found if one.Modality == "SR"]
    said = [str(one.value) for one in report.iterall() if one.keyword in {"TextValue", "CodeValue"}]
    assert "the image has no calibration: lengths and areas are in pixels or left out" in said
    assert "{pixels}" in said
    assert not {"mm", "mm2"} & set(said)
    assert {one.Modality for one in found} == {"SEG", "SR"}


def test_a_model_with_a_wrong_bit_takes_no_work_until_it_is_mended(ward: Ward) -> None:
    """The job waits for the operator, who is told which file; once mended, retry delivers it."""
    series = phantoms.mr(slices=6, **of("flipped"))  # type: ignore[arg-type]
    study = str(series[0].StudyInstanceUID)
    assert set(ward.scanner.send(series)) == {0x0000}

    def waits() -> Job | None:
        job = ward.job(study, Stage.READY, Stage.INFERRING)
        return job if job.note and job.stage is Stage.READY else None

    job: Job = until(waits, 30, "the job waits for the operator")
    assert job.who is Who.OPERATOR
    assert job.due_at is not None
    assert f"bright_mr: {WEIGHTS} has changed" in job.note
    weights = ward.node.folder.parent / "models" / "bright_mr" / WEIGHTS
    listed = ward.command("models")
    said = " ".join(listed.stdout.split())  # a cell has several lines
    assert (listed.returncode, f"{WEIGHTS} has changed" in said) == (1, True)
    assert set(ward.scanner.send(others := ct("beside the wrong bit"))) == {0x0000}
    assert ward.job(str(others[0].StudyInstanceUID)).stage is Stage.DELIVERED
    flip(weights)
    assert ward.command("models").returncode == 0
    again = ward.command("retry", job.name)
    assert (again.returncode, again.stderr) == (0, "")
    assert ward.job(study).stage is Stage.DELIVERED


# deliver


@pytest.mark.parametrize("status", [0x0122, 0xC000, 0xA900, 0x0124])
def test_an_archive_that_refuses_stops_nobody_else(ward: Ward, status: int) -> None:
    """The delivery is parked with the answer, the folder has its copy, and retry sends again."""
    ward.mood["status"] = status
    series = ct(f"refused {status}", SeriesDescription="for an archive that refuses")
    other = ct(f"beside {status}")
    for one in (series, other):
        assert set(ward.scanner.send(one)) == {0x0000}
    job = ward.job(str(series[0].StudyInstanceUID))
    assert (job.stage, job.who) == (Stage.PARKED, Who.PERSON)
    assert f"refuses: PACS answered 0x{status:04X}" in job.note
    until(lambda: _sent(ward, job)["results"] is DeliveryState.DONE, 20, "the folder has it")
    assert _sent(ward, job)["refuses"] is DeliveryState.PARKED
    assert ward.job(str(other[0].StudyInstanceUID)).stage is Stage.DELIVERED
    ward.mood["status"] = 0x0000
    assert ward.command("retry", job.name).returncode == 0
    assert ward.job(str(series[0].StudyInstanceUID), Stage.DELIVERED).key == job.key


def _sent(ward: Ward, job: Job) -> dict[str, DeliveryState]:
    return {one.destination: one.state for one in ward.node.ledger.deliveries(job.key)}


def test_an_archive_that_was_away_gets_everything_when_it_is_back(ward: Ward) -> None:
    """Nobody has to act: the delivery is tried until the archive answers, and sent once."""
    series = ct("away", SeriesDescription="for an archive that is away")
    study = str(series[0].StudyInstanceUID)
    assert not listens(ward.away_port)
    assert set(ward.scanner.send(series)) == {0x0000}
    job = ward.job(study, Stage.DELIVERING)
    until(lambda: ward.node.ledger.deliveries(job.key)[0].note, 20, "the archive was asked")
    (delivery,) = ward.node.ledger.deliveries(job.key)
    assert delivery.state in {DeliveryState.DUE, DeliveryState.SENDING}
    with archive(TAKES, port=ward.away_port) as back:
        assert ward.job(study, seconds=60).stage is Stage.DELIVERED
        assert back.uids == [delivery.result.sop_instance_uid]


def test_a_result_that_comes_back_is_stored_and_starts_nothing(ward: Ward) -> None:
    """An archive that forwards everything cannot make the node run in circles."""
    series = ct("comes back")
    assert set(ward.scanner.send(series)) == {0x0000}
    job = ward.job(str(series[0].StudyInstanceUID))
    assert job.stage is Stage.DELIVERED, job.note
    (path,) = (ward.results / job.study_instance_uid).rglob("*.dcm")
    before, jobs = ward.node.ledger.counts(), {one.key for one in ward.node.jobs()}
    assert Sender(ward.node.port, calling=b"PACS").send([dcmread(path)]) == [0x0000]
    counts = ward.node.ledger.counts()
    assert counts["series.ours"] == before["series.ours"] + 1
    assert counts["series.open"] == 0
    assert {one.key for one in ward.node.jobs()} == jobs


# the operator


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_route_that_names_no_model_is_said_before_anything_starts(
    tmp_path: Path, command: str
) -> None:
    """Exit 78 with the line, the name and what may have been meant; no process, no folder."""
    routes = ROUTES.replace("bright_ct", "hippocampus_nr").replace("bright_cr", "ct_tissue")
    node = Node(tmp_path, routes.replace("bright_mr", "ct_tissue"), "  results: {folder: r}\n")
    ended = run(command, str(node.config))
    assert ended.returncode == 78
    assert "hippocampus_nr is not a model of this node" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "store").exists()


def test_a_full_disk_rejects_for_now_and_takes_nothing(tmp_path: Path) -> None:
    """A sender hears that the trouble will pass, before it has sent a byte, PS3.8 Table 9-21."""
    destinations = f"  results: {{folder: {tmp_path / 'results'}}}\n"
    route = "  - {name: x, when: {}, run: segment, model: ct_tissue, write: segmentation, to: [results]}\n"
    node = Node(tmp_path, route, destinations)
    node.config.write_text(node.config.read_text().replace("0.01", "1.0e+9"))
    receiver = subprocess.Popen(
        [sys.executable, "-m", "dicom_ai_node", "serve", str(node.config), "--role", "receive"],
        cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: listens(node.port), 30, "the receiver listens")
        for _ in range(2):
            kind, body = Sender(node.port).knock()
            assert (kind, tuple(body[1:4])) == (REJECTED, (2, 3, 1))
        assert node.ledger.counts()["instances"] == 0
    finally:
        receiver.terminate()
        assert receiver.wait(20) == 0


def test_after_all_this_a_good_series_is_delivered(ward: Ward) -> None:
    """Nothing that was wrong has left anything behind that stands in the way of others."""
    series = ct("good", slices=12)
    assert set(ward.scanner.send(series)) == {0x0000}
    job = ward.job(str(series[0].StudyInstanceUID))
    assert job.stage is Stage.DELIVERED, job.note
    assert [one for one in ward.node.jobs() if one.stage not in ENDED] == []
