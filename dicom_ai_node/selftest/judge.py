"""The one judge of every fault: what a node has promised, compared with what is there.

The self-test on a hospital's machine and the fault matrix of the tests both ask it. It believes
nobody: not the node, not who did it harm. It reads the ledger and the blobs as another process
does, counts what has arrived at the destinations, and looks for what was left behind.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig, routes
from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.domain.job import ENDED, Job, Result, Stage
from dicom_ai_node.domain.study import Instance
from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.ledger import SqlLedger  # noqa: TC001 - one way to import

MARK = "DICOM_AI_NODE_RUN"
"""An environment variable that every process of a node under test inherits."""
SLACK = 24
"""Descriptors that a node may have opened for good since it was first counted: connections of its
pools to the ledger. A leak per fault is far more, because every row repeats its fault."""
_DIGITS = 64  # of a sha256
FORGOTTEN = frozenset({Stage.SUPERSEDED, Stage.CANCELLED})


@dataclass(frozen=True, slots=True)
class Sent:
    """One instance that was answered with success: where it belongs and what its bytes are."""

    study_instance_uid: str
    data_set_sha256: str


@dataclass(frozen=True, slots=True)
class Came:
    """One object that a destination has taken."""

    sop_instance_uid: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What somebody has seen who did harm to a node, after the node has settled and was stopped.

    Attributes
    ----------
    name
        Of the patient, which no log may have.
    answered
        Every instance that any success has ever been answered for, by SOP Instance UID.
    destinations
        What each destination has taken, in order, by the name of the destination.
    was_cut
        Whether the node was killed or a line was cut: then an object may arrive twice, under the
        same UID with the same bytes, and a temporary file may wait for the next sweep.
    jobs
        How many jobs there have to be, if that is known.
    stages
        In which stages jobs may have ended.
    open_files
        How many descriptors the node had open before and after what was done to it.
    """

    config: Path
    mark: str
    logs: Sequence[Path]
    name: bytes
    answered: Mapping[str, Sent] = field(default_factory=dict)
    destinations: Mapping[str, Sequence[Came]] = field(default_factory=dict)
    was_cut: bool = False
    jobs: int | None = None
    stages: frozenset[Stage] = frozenset({Stage.DELIVERED})
    open_files: tuple[int, int] | None = None


def objections(evidence: Evidence) -> list[str]:
    """Return one sentence for each promise that was not kept; none means that all were."""
    scene = _Scene(evidence)
    try:
        return [
            f"{promise.__name__.lstrip('_')}: {why}"
            for promise in PROMISES
            for why in promise(scene)
        ]
    finally:
        scene.ledger.database.close()


class _Scene:
    """The evidence, with the ledger and the blobs opened beside it."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.config: NodeConfig = compose.settings(evidence.config)
        self.ledger: SqlLedger = compose.ledger(self.config)
        self.blobs = FolderBlobs(self.config.store.folder)
        self.jobs: list[Job] = [
            found
            for each in self.ledger.jobs((), 100_000)
            if (found := self.ledger.job(each.key)) is not None
        ]

    def results(self) -> Iterator[tuple[Job, Result]]:
        """Yield every committed result with its job."""
        for job in self.jobs:
            for result in self.ledger.results(job.key):
                yield job, result

    def instances(self, study: str) -> dict[str, Instance]:
        """Return what the ledger lists of a study."""
        found = self.ledger.study(StudyInstanceUID(study)).series
        return {str(each.sop_instance_uid): each for one in found for each in one.instances}


def _kept(scene: _Scene) -> Iterator[str]:
    """Every success that was answered has a row, and its bytes are there with the same hash."""
    studies = {sent.study_instance_uid for sent in scene.evidence.answered.values()}
    listed = {uid: each for study in studies for uid, each in scene.instances(study).items()}
    for uid, sent in scene.evidence.answered.items():
        if uid not in listed:
            yield f"{uid} was answered with success and is not in the ledger"
        elif listed[uid].data_set_sha256 != sent.data_set_sha256:
            yield f"{uid} is in the ledger with another hash than was sent"
        elif why := _unreadable(scene, listed[uid], sent):
            yield f"{uid} was answered with success: {why}"


def _unreadable(scene: _Scene, instance: Instance, sent: Sent) -> str:
    try:
        scene.blobs.verify(instance.sha256)
    except NeedsAttention as trouble:
        return str(trouble)
    data = data_set(scene.blobs.path(instance.sha256).read_bytes())
    is_same = hashlib.sha256(data).hexdigest() == sent.data_set_sha256
    return "" if is_same else "what is stored is not what was sent"


def _ended(scene: _Scene) -> Iterator[str]:
    """Every job is in a final state, in one that is allowed, and none was forgotten."""
    evidence = scene.evidence
    for job in scene.jobs:
        if job.stage not in ENDED:
            yield f"job {job.name} is still {job.stage}: {job.note}"
        elif job.stage not in evidence.stages | FORGOTTEN:
            yield f"job {job.name} ended as {job.stage}: {job.note}"
    if evidence.jobs is not None and len(scene.jobs) != evidence.jobs:
        yield f"there are {len(scene.jobs)} jobs, not {evidence.jobs}"


def _once(scene: _Scene) -> Iterator[str]:
    """No two jobs of one route look at the same instances: a later one has others."""
    same = Counter(
        (job.route, job.model_digest, frozenset((each.name, each.sha256) for each in job.inputs))
        for job in scene.jobs
    )
    for (route, _, inputs), count in same.items():
        if count > 1:
            yield f"{count} jobs of {route} look at the same {len(inputs)} instances"


def _delivered(scene: _Scene) -> Iterator[str]:
    """Every committed result is at each destination of its route, under one UID and once."""
    to = {route.name: route.to for route in routes(scene.config)}
    results = list(scene.results())
    for job, result in results:
        for name in to[job.route]:
            came = scene.evidence.destinations.get(name)
            if came is not None and job.stage is Stage.DELIVERED:
                yield from _is_there(scene, result, name, came)
    known = {str(result.sop_instance_uid) for _, result in results}
    for name, came in scene.evidence.destinations.items():
        for uid in {each.sop_instance_uid for each in came} - known:
            yield f"{name} has {uid}, which is no result of any job"
    kinds = Counter((job.key, result.kind) for job, result in results)
    for (key, kind), count in kinds.items():
        if count > 1:
            yield f"job {key[:12]} has committed {count} objects of kind {kind}"


def _is_there(scene: _Scene, result: Result, name: str, came: Sequence[Came]) -> Iterator[str]:
    uid = str(result.sop_instance_uid)
    mine = [each.sha256 for each in came if each.sop_instance_uid == uid]
    bytes_here = hashlib.sha256(data_set(scene.blobs.path(result.sha256).read_bytes())).hexdigest()
    if not mine:
        yield f"{uid} was committed and is not at {name}"
    elif set(mine) != {bytes_here}:
        yield f"{uid} is at {name} with other bytes than were committed"
    elif len(mine) > 1 and not scene.evidence.was_cut:
        yield f"{uid} was sent to {name} {len(mine)} times, and nothing was cut"


def _tidy(scene: _Scene) -> Iterator[str]:
    """No temporary file is left; after a kill, the product's own sweep must find all of them."""
    if scene.evidence.was_cut:
        scene.blobs.sweep(stale_seconds=0)  # as an hour later
    folder = scene.config.store.folder
    for path in (folder / "spool").iterdir():
        yield f"a temporary file is left: spool/{path.name}"
    for path in (folder / "work").glob("*"):
        job = scene.ledger.job(path.name)
        if not scene.evidence.was_cut and (job is None or job.stage is Stage.DELIVERED):
            yield f"what a worker made is left: work/{path.name[:12]}"
    for path in (folder / "blobs").rglob("*"):
        if path.is_file() and len(path.name) != _DIGITS:
            yield f"what is no blob lies among the blobs: {path.name}"


def _no_orphan(scene: _Scene) -> Iterator[str]:
    """No process of the node has outlived it."""
    for pid in processes(scene.evidence.mark):
        yield f"process {pid} has outlived the node"


def _no_leak(scene: _Scene) -> Iterator[str]:
    """No descriptor was leaked."""
    if counted := scene.evidence.open_files:
        before, after = counted
        if after > before + SLACK:
            yield f"{after} descriptors are open, {before} were"


def _silent(scene: _Scene) -> Iterator[str]:
    """No log names the patient."""
    for path in scene.evidence.logs:
        if scene.evidence.name in path.read_bytes():
            yield f"the patient's name is in {path.name}"


PROMISES: tuple[Callable[[_Scene], Iterator[str]], ...] = (
    _kept, _ended, _once, _delivered, _tidy, _no_orphan, _no_leak, _silent,
)  # fmt: skip


def as_sent(path: Path) -> tuple[str, Sent]:
    """Return the SOP Instance UID of a file, and what is remembered of it once it is answered."""
    header = dcmread(path, stop_before_pixels=True)
    digest = hashlib.sha256(data_set(path.read_bytes())).hexdigest()
    return str(header.SOPInstanceUID), Sent(str(header.StudyInstanceUID), digest)


def data_set(content: bytes) -> bytes:
    """Return what follows the file meta information of a Part 10 file."""
    if content[128:132] != b"DICM":
        return content
    return content[144 + int.from_bytes(content[140:144], "little") :]


def processes(mark: str) -> list[int]:
    """Return the processes that bear a mark in their environment."""
    found = []
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
