"""What is done to the private node, in this order, and what is expected of it each time."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_ai_node import compose
from dicom_ai_node.domain.errors import NodeError, OutOfResources, PeerRejected
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.samples.volumes import mr_hippocampus
from dicom_ai_node.selftest.judge import SLACK, Evidence, objections
from dicom_ai_node.selftest.private_node import NotAsPromised, PrivateNode, expect, until
from dicom_ai_node.selftest.receiver import Receiver

STUDIES = 4
BROKEN_OFF = 100
_AT_ONCE = 5
_FULL_AT_BYTES = 4096
_ENDED = (Stage.DELIVERING, Stage.DELIVERED, Stage.SUPERSEDED)
_CAME_FAR = (Stage.DELIVERED, Stage.SUPERSEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The private node, the receiver behind it, and what there is to be sent.

    Attributes
    ----------
    name
        Of the patient of all studies, who must be in no log.
    """

    node: PrivateNode
    receiver: Receiver
    studies: Sequence[Sequence[Path]]
    name: str

    @property
    def files(self) -> list[Path]:
        """Return all instances."""
        return [path for study in self.studies for path in study]

    def objections(self) -> list[str]:
        """Return what the judge has to say now."""
        evidence = Evidence(
            config=self.node.config,
            mark=self.node.mark,
            logs=[self.node.log],
            name=self.name.encode(),
            answered=self.node.answered,
            destinations={"receiver": self.receiver.came},
            was_cut=True,
        )
        return objections(evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that is done: what, what has to come of it, and who does it."""

    what: str
    expected: str
    play: Callable[[Scene], str]


def studies(folder: Path, name: str) -> Iterator[list[Path]]:
    """Write the MR sample as several studies of one patient, each with UIDs of its own."""
    for number in range(STUDIES):
        paths = []
        for index, dataset in enumerate(mr_hippocampus()):
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                setattr(
                    dataset, keyword, derive_uid(name, str(number), str(getattr(dataset, keyword)))
                )
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.PatientName = dataset.PatientID = name
            path = folder / f"{number}-{index:03}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
        yield paths


def _stranger(scene: Scene) -> str:
    [answer] = scene.node.send(scene.files[:1], calling="STRANGER")
    expect(isinstance(answer, PeerRejected), f"it was answered: {answer}")
    return f"{answer}"


def _truncated(scene: Scene) -> str:
    whole = scene.files[0].read_bytes()
    cut = scene.node.folder / "cut.dcm"
    cut.write_bytes(whole[: -len(whole) // 3])
    before = scene.node.counts().get("quarantine.open", 0)
    [answer] = scene.node.send([cut])
    expect(isinstance(answer, NodeError) and "C000" in str(answer).upper(), f"answered: {answer}")
    kept = scene.node.counts().get("quarantine.open", 0) - before
    expect(kept == 1, f"{answer}; {kept} in quarantine")
    return f"{answer}; in quarantine, for a person to look at"


def _broken_off(scene: Scene) -> str:
    before = scene.node.open_files()
    for _ in range(BROKEN_OFF):
        with socket.create_connection(("127.0.0.1", scene.node.port), timeout=10) as line:
            line.sendall(
                b"\x01\x00\x00\x00\x00\xcd\x00\x01"
            )  # an A-ASSOCIATE-RQ begins, PS3.8 9.3.2
    until(
        lambda: scene.node.open_files() <= before + SLACK,
        f"{scene.node.open_files()} descriptors are open, {before} were",
        20,
    )
    return f"{BROKEN_OFF} connections; {before} descriptors before, {scene.node.open_files()} after"


def _full(scene: Scene) -> str:
    some = scene.files[:2]
    with scene.node.full_disk(_FULL_AT_BYTES):
        refused = scene.node.send(some)
        said = "; ".join(sorted({str(one) for one in refused}))
        expect(all(isinstance(one, OutOfResources) for one in refused), f"answered: {said}")
        left = list((scene.node.store / "spool").iterdir())
        expect(not left, f"{len(left)} files were left in the spool")
    answers = scene.node.send(some)
    expect(all(isinstance(one, str) for one in answers), f"with room again: {answers[0]}")
    return f"{said}; with room again it was taken"


def _killed(scene: Scene) -> str:
    node, halted = scene.node, threading.Event()

    def modality() -> None:
        rest = scene.files
        while rest and not halted.is_set():
            answers = node.send(rest[:_AT_ONCE])
            # Whoever gets no answer any more stops: the node is gone.
            rest = rest[_AT_ONCE:] if all(isinstance(one, str) for one in answers) else []

    load = threading.Thread(target=modality)
    load.start()
    try:
        until(lambda: len(node.answered) > len(scene.files) // 3, "instances are acknowledged")
        node.kill()
    finally:
        halted.set()
        load.join()
    acknowledged = len(node.answered)
    node.start()
    lost = [one for one in scene.objections() if one.startswith("kept")]
    expect(not lost, f"{len(lost)} of {acknowledged} are lost: {'; '.join(lost[:2])}")
    return (
        f"{acknowledged} of {len(scene.files)} were acknowledged; after the restart all are there"
    )


def _twice(scene: Scene) -> str:
    node = scene.node
    for study in scene.studies:
        answers = node.send(study)
        refused = [one for one in answers if not isinstance(one, str)]
        expect(not refused, f"refused: {refused[:1]}")
    until(lambda: _is_worked_off(scene), "every study has a result", 90)
    rows, jobs = node.counts()["instances"], {job.key for job in node.jobs()}
    expect(rows == len(scene.files), f"{rows} rows for {len(scene.files)} instances")
    again = [one for study in scene.studies for one in node.send(study)]
    expect(all(isinstance(one, str) for one in again), "one that is there was refused")
    time.sleep(3)  # longer than it takes a series that is released to be routed
    now = node.counts()["instances"], {job.key for job in node.jobs()}
    expect(now == (rows, jobs), f"{now[0]} rows, {len(now[1])} jobs; before {rows}, {len(jobs)}")
    return f"{len(again)} sent again: success; still {rows} rows, {len(jobs)} jobs"


def _is_worked_off(scene: Scene) -> bool:
    jobs = scene.node.jobs()
    with scene.node.looking() as ledger:
        far = [ledger.job(job.key) for job in jobs if job.stage in _ENDED]
    whole = {
        job.study_instance_uid
        for job, study in ((job, study) for job in far for study in scene.studies)
        if job is not None and job.stage is not Stage.SUPERSEDED and len(job.inputs) == len(study)
    }
    return len(whole) == len(scene.studies) and len(far) == len(jobs)


def _absent(scene: Scene) -> str:
    # The receiver has not been there so far, and everything waits for it.
    waiting = [job for job in scene.node.jobs() if job.stage is Stage.DELIVERING]
    expect(waiting, "nothing waits for the receiver")
    with scene.receiver.up():
        with scene.node.looking() as ledger:
            for job in waiting:
                ledger.retry(job, compose.now())  # as an operator does who does not want to wait
        until(lambda: all(job.stage in _CAME_FAR for job in scene.node.jobs()), "all are delivered")
    times = Counter(one.sop_instance_uid for one in scene.receiver.came)
    with scene.node.looking() as ledger:
        made = {str(one.sop_instance_uid) for job in waiting for one in ledger.results(job.key)}
    expect(set(times) == made, f"{len(times)} UIDs came, {len(made)} were made")
    expect(max(times.values()) == 1, f"one came {max(times.values())} times")
    return f"{len(made)} results waited, each came once, under the UID that it had"


def _loop(scene: Scene) -> str:
    node, before = scene.node, {job.key for job in scene.node.jobs()}
    answers = node.offer(scene.receiver.files)
    expect(answers and all(isinstance(one, str) for one in answers), "a result was refused")
    time.sleep(3)
    more = {job.key for job in node.jobs()} - before
    expect(not more, f"{len(more)} jobs were made of our own results")
    return f"{len(answers)} of our own results came back: stored, no job"


def _stopped(scene: Scene) -> str:
    status = scene.node.stop()
    expect(status == 0, f"it ended with {status}")
    left = [one for one in scene.objections() if one.startswith(("tidy", "no_"))]
    expect(not left, "; ".join(left[:3]))
    return "exit status 0; no process, no temporary file"


def _silent(scene: Scene) -> str:
    said = [one for one in scene.objections() if one.startswith("silent")]
    expect(not said, "; ".join(said))
    size = scene.node.log.stat().st_size
    return f"{size // 1000} kB of log, and the name of the patient is not in it"


def _all_kept(scene: Scene) -> str:
    found = scene.objections()
    expect(not found, "; ".join(found[:3]))
    when = f"{len(scene.node.answered)} instances, {len(scene.receiver.came)} results"
    return f"{when}: all there, with the hash that was sent"


ROWS: tuple[Row, ...] = (
    Row(what="an unknown AE title asks for an association", expected="rejected", play=_stranger),
    Row(what="a data set is cut off", expected="0xC000, kept in quarantine", play=_truncated),
    Row(what="connections are broken off", expected="no descriptor leaks", play=_broken_off),
    Row(
        what="the disk is full (RLIMIT_FSIZE)",
        expected="0xA700, nothing left behind; then it goes on",
        play=_full,
    ),
    Row(
        what="kill -9 of all processes while instances arrive",
        expected="what was acknowledged is on the disk, with the same hash",
        play=_killed,
    ),
    Row(what="every instance is sent again", expected="success, no second job", play=_twice),
    Row(
        what="the receiver is away, and comes back",
        expected="every result comes once, under its UID",
        play=_absent,
    ),
    Row(what="our own results come back", expected="stored, never routed", play=_loop),
    Row(
        what="the node is stopped",
        expected="in good order; no process and no temporary file is left",
        play=_stopped,
    ),
    Row(what="the logs are searched", expected="no patient in them", play=_silent),
    Row(
        what="ledger, disk and receiver are compared with what was answered",
        expected="every promise was kept",
        play=_all_kept,
    ),
)

__all__ = ["ROWS", "NotAsPromised", "Row", "Scene", "studies"]
