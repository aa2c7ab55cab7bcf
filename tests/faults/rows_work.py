"""Rows about work: the node dies between two legs, workers die, clocks jump, models are broken."""

from dicom_ai_node.domain.job import Stage
from tests.faults.rows import Scene, proven_by, row
from tests.faults.small_node import Pacs, SmallNode, series, until
from tests.faults.workers import DEEDS

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
        for number, point in enumerate(points):
            node.start(crash=point)
            node.send(series(scene.folder, f"leg{number}"))
            node.died()
        node.start()
        until(lambda: len(node.jobs()) >= len(points), "every series has its job")
        node.ended(len(points))
        node.judged({"pacs": pacs}, jobs=len(points))
    came = pacs.came()
    return f"killed at {len(points)} points: {len(set(came))} results, each there; {len(came)} sent"


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
    assert set(ENDS) >= set(DEEDS) - {"SLOW"}
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


def _stages(node: SmallNode) -> list[Stage]:
    return sorted(job.stage for job in node.jobs())


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
