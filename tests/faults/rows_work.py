"""Rows about work: the node dies between two legs, workers die, clocks jump, models are broken."""

import contextlib
import subprocess
import sys
from pathlib import Path

import httpx
from pydicom import dcmread

from dicom_ai_node.domain.job import Stage
from tests.faults.kills import ROUTES, studies
from tests.faults.rows import Scene, proven_by, row
from tests.faults.small_node import NAME, ROOT, Pacs, SmallNode, series, until
from tests.faults.workers import DEEDS
from tests.journey.node import Node, running, storescu
from tests.peers.tools import free_port
from tests.phantoms import CANARY

LEGS = {
    "after complete": "after the series was settled",
    "after claim": "after the claim",
    "before move": "after the inference, before the ledger",
    "before commit_results": "after the objects were kept, before the commit",
    "after commit_results": "after the commit of the results",
    "after claim_deliveries": "before C-STORE",
    "before delivered": "after C-STORE-RSP, before the ledger",
    "after delivered": "after the delivery was noted",
}
"""Where the node dies between two legs of a job."""


@row(8, "kill -9 between any two legs of a job", "delivered, one UID, at least once")
def _legs(scene: Scene) -> str:
    pacs = Pacs()
    points = dict(list(LEGS.items())[-2:-1]) if scene.is_short else LEGS
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        waiting: list[Path] = []
        for number, point in enumerate(points):
            node.start(crash=point)
            # It may die of what waited for it before this comes: a modality sends again.
            waiting = _left(node, [*waiting, *series(scene.folder, f"leg{number}")])
            node.died()
        node.start()
        assert not _left(node, waiting)
        until(lambda: len(node.jobs()) >= len(points), "every series has its job")
        node.ended(len(points))
        node.judged({"pacs": pacs}, jobs=len(points))
    came = pacs.came()
    return f"killed at {len(points)} points: {len(set(came))} results, each there; {len(came)} sent"


def _left(node: SmallNode, files: list[Path]) -> list[Path]:
    """Send files and return those that were not taken."""
    answers = node.send(files) if files else []
    return [file for file, said in zip(files, answers, strict=True) if not isinstance(said, str)]


@row(40, "the clock jumps a day ahead and an hour back", "no job is lost, none runs twice")
def _clock(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        node.start()
        for number, ahead in enumerate((86_400.0, -3600.0, 0.0), 1):
            node.send(series(scene.folder, f"clock{number}", description="SLOW"))
            until(lambda: any(job.stage is Stage.INFERRING for job in node.jobs()), "it runs")
            node.ahead(ahead)
            node.ended(number)
        log = node.log.read_text()
        node.judged({"pacs": pacs}, jobs=3)
    expired = log.count('"lease_expired"')
    assert not expired, f"{expired} leases expired"
    return "+1 day, -1 hour and back while a job runs: no lease expired, 3 delivered once"


@row(41, "weights missing, cut, one bit flipped, unsigned", "the model is unusable and named")
def _weights(scene: Scene) -> str:
    return proven_by(
        scene,
        "tests/infer/formats/test_weights.py",
        "tests/infer/test_trust.py",
        "tests/infer/test_catalog.py",
        "tests/contracts/test_executor.py::test_a_model_that_fails_at_start_is_named",
    )


ENDS = {
    "SEGFAULT": Stage.QUARANTINED,
    "KILL": Stage.QUARANTINED,
    "EXIT": Stage.QUARANTINED,
    "HANG": Stage.QUARANTINED,
    "RAISE": Stage.PARKED,
    "QUOTE": Stage.PARKED,
    "FLOOD": Stage.DELIVERED,
    "": Stage.DELIVERED,
}
"""How a job ends by what its series does to the worker."""


@row(
    43,
    "workers segfault, are killed, exit, hang, raise, flood",
    "3 attempts, quarantine; others go on",
)
def _workers(scene: Scene) -> str:
    assert set(ENDS) >= set(DEEDS) - {"SLOW", "POISON"}
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}, infer=", limit_seconds: 15") as node:
        node.start()
        for deed in ENDS:
            node.send(series(scene.folder, deed.lower() or "good", description=deed))
        until(lambda: len(node.jobs()) >= len(ENDS), "every series has its job")
        node.ended(len(ENDS))
        told = _stages(node)
        assert told == sorted(ENDS.values()), told
        stages = frozenset({Stage.DELIVERED, Stage.PARKED, Stage.QUARANTINED})
        node.judged({"pacs": pacs}, jobs=len(ENDS), stages=stages)
    return "4 quarantined, 2 parked, 2 delivered; no log names the patient, no process is left"


@row(
    46, "a study that kills every worker; then the cause is mended", "quarantine; requeue delivers"
)
def _poison(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        node.start()
        poison = series(scene.folder, "poison", description="POISON")
        node.send(poison)
        node.ended(1)
        node.send(series(scene.folder, "neighbour"))
        node.ended(2)
        assert _stages(node) == sorted((Stage.QUARANTINED, Stage.DELIVERED)), _stages(node)
        (dead,) = (job for job in node.jobs() if job.stage is Stage.QUARANTINED)
        node.clock.with_name("mended").touch()
        asked = subprocess.run(
            [sys.executable, "-m", "dicom_ai_node", "retry", dead.key,
             "--config", str(node.config)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert asked.returncode == 0, asked.stderr
        until(lambda: _stages(node) == [Stage.DELIVERED] * 2, "it is delivered")
        node.judged({"pacs": pacs}, jobs=2)
    return "3 attempts, quarantined, its neighbour delivered; asked for again: delivered once"


def _stages(node: SmallNode) -> list[Stage]:
    return sorted(job.stage for job in node.jobs())


@row(54, "a patient's name in everything that is sent, and every way to fail", "nobody says it")
def _silence(scene: Scene) -> str:
    pacs, http_port = Pacs(), free_port()
    destination = f"  pacs: {{ae_title: PACS, host: 127.0.0.1, port: {pacs.port}}}\n"
    extra = f"serve: {{port: {http_port}, login: none}}\n"
    node = Node(scene.folder / "node", ROUTES, destination, extra=extra)
    said: list[bytes] = []
    with pacs.up(), running(node):
        for study in studies(scene.folder, 2):
            for path in study:
                dataset = dcmread(path)
                dataset.PatientName = CANARY
                dataset.save_as(path)
            assert storescu(node.port, study).returncode == 0
            said += [_seen_by_others(node.tree()) for _ in range(3)]
            path.write_bytes(path.read_bytes()[:-700])
            assert storescu(node.port, [path]).returncode
        assert storescu(node.port, study, calling="STRANGER").returncode
        pacs.answer = lambda _: 0xA900
        node.ended(2)
        for page in ("metrics", "health/ready", "api/v1/nothing"):
            said.append(httpx.get(f"http://127.0.0.1:{http_port}/{page}", trust_env=False).content)
        said.append(_seen_by_others(node.tree()))
        node.kill()
    said.append(node.log.read_bytes())
    assert not any(NAME in each for each in said)
    cores = [path for path in scene.folder.rglob("core*") if path.is_file()]
    assert not cores, f"a crash has left {cores[0].name}"
    return f"{len(said)} looks at logs, metrics, answers, arguments and environments: nothing"


def _seen_by_others(processes: list[int]) -> bytes:
    """Return what `ps` shows of processes."""
    told = b""
    for pid in processes:
        for name in ("cmdline", "environ", "comm"):
            with contextlib.suppress(OSError):
                told += Path(f"/proc/{pid}/{name}").read_bytes()
    return told


@row(48, "two dispatchers on one ledger", "every job runs and is delivered once")
def _two(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        where = {"pacs": f"{{ae_title: PACS, host: 127.0.0.1, port: {pacs.port}}}"}
        second = SmallNode(scene.folder / "second", where, store_folder=node.folder / "store")
        try:
            node.start()
            second.start()
            for number in range(8):
                node.send(series(scene.folder, f"two{number}"))
            until(lambda: len(node.jobs()) >= 8, "every series has its job")
            node.ended(8)
            assert second.stop() == 0
        finally:
            second.end()
        node.judged({"pacs": pacs}, jobs=8)
    return "8 series, 8 jobs, 8 results, each sent once"
