"""Rows about destinations: away, slow, silent, refusing, half open."""

import hashlib
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from dicom_ai_node import compose
from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.selftest.judge import Came, data_set
from tests.faults.rows import Scene, proven_by, row
from tests.faults.small_node import Pacs, SmallNode, series, until
from tests.peers.committing import MODEL, Committer
from tests.peers.proxy import Proxy
from tests.peers.stow import Answer, Request, response, stow

HOUR = 3600.0


def _sent(scene: Scene, node: SmallNode, name: str) -> Callable[[], Job]:
    """Send a series and return what finds its job, when it has got as far as its results."""
    before = {job.key for job in node.jobs()}
    answers = node.send(series(scene.folder, name))
    assert all(isinstance(each, str) for each in answers), answers

    def newest() -> Job | None:
        return next((job for job in node.jobs() if job.key not in before), None)

    until(
        lambda: (job := newest()) and (job.stage is Stage.DELIVERING or _has_ended(job)), "results"
    )

    def job() -> Job:
        found = newest()
        assert found is not None
        return found

    return job


def _has_ended(job: Job) -> bool:
    return job.stage in {Stage.DELIVERED, Stage.PARKED}


def _failed(node: SmallNode) -> int:
    """Return how many attempts have ended without a delivery; only then the next one is set."""
    return node.log.read_bytes().count(b'"not_delivered"')


def _at(pacs: Pacs, count: int) -> None:
    until(lambda: len(pacs.came()) >= count, f"{count} object(s) have come")


@row(
    20,
    "the PACS is down for hours",
    "waits without end, others are served, then delivered",
    fast=True,
)
def _down(scene: Scene) -> str:
    pacs, other = Pacs(), Pacs()
    with other.up(), scene.node({"pacs": pacs, "other": other}) as node:
        node.start()
        job = _sent(scene, node, "night")
        _at(other, 1)
        hours = 2 if scene.is_short else 10
        for hour in range(1, hours + 1):
            tried = _failed(node)
            node.ahead(hour * HOUR)
            until(lambda tried=tried: _failed(node) > tried, "it is tried again")
            assert job().stage is Stage.DELIVERING, job().note
        with pacs.up():
            node.ahead((hours + 1) * HOUR)
            node.ended(1)
            node.judged({"pacs": pacs, "other": other}, jobs=1)
    return f"{hours} hours away: delivering; the other had it at once; back: delivered once"


SILENCES = (
    ("from the start", 0, False),
    ("inside the object", 500, False),
    ("one way", None, True),
)
"""How a line stays open and nothing comes back."""


@row(21, "the PACS stalls, answers nothing, is slow", "ends by its limits; others are not held up")
def _stalls(scene: Scene) -> str:
    pacs, other, ways = Pacs(), Pacs(), []
    with pacs.up(), other.up(), Proxy(pacs.port, swallow_after=0) as line:
        where = {
            "pacs": f"{{ae_title: PACS, host: 127.0.0.1, port: {line.port}}}",
            "other": f"{{ae_title: PACS, host: 127.0.0.1, port: {other.port}}}",
        }
        with scene.node({}, destinations=where) as node:
            node.start()
            for count, (what, after, answers) in enumerate(SILENCES, 1):
                line.fall_silent(after=after, answers=answers)
                job = _sent(scene, node, f"stalled{count}")
                _at(other, count)
                until(lambda job=job: "pacs" in _waits(node, job()), "the attempt has ended")
                assert job().stage is Stage.DELIVERING, job().note
                line.heal()
                node.ahead(count * HOUR)
                node.ended(count)
                ways.append(what)
            node.was_cut = True
            node.judged({"pacs": pacs, "other": other}, jobs=3)
    return f"silent {', '.join(ways)}: the attempt ended, the other was served, then delivered"


def _waits(node: SmallNode, job: Job) -> list[str]:
    """Return the destinations that are to be tried again."""
    with node.looking() as ledger:
        return [each.destination for each in ledger.deliveries(job.key) if each.note]


@contextmanager
def _rejecting(port: int, result: int, source: int, reason: int) -> Iterator[None]:
    """Answer every association request on a port with A-ASSOCIATE-RJ, PS3.8 9.3.4."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(struct.pack(">BxLxBBB", 3, 4, result, source, reason))
            self.request.recv(65536)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Server(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(10)


@row(22, "the PACS rejects the association", "for now: tried again; for good: parked for a person")
def _rejects(scene: Scene) -> str:
    pacs = Pacs()
    with scene.node({"pacs": pacs}) as node:
        node.start()
        with _rejecting(pacs.port, 2, 3, 2):
            job = _sent(scene, node, "transient")
            until(lambda: _waits(node, job()), "it has been asked")
            assert job().stage is Stage.DELIVERING
        with pacs.up():
            node.ahead(HOUR)
            node.ended(1)
        with _rejecting(pacs.port, 1, 1, 7):
            job = _sent(scene, node, "permanent")
            until(lambda: job().stage is Stage.PARKED, "the job is parked")
        with pacs.up():
            with node.looking() as ledger:
                ledger.retry(job(), compose.now())
            until(lambda: job().stage is Stage.DELIVERED, "it is delivered after a retry by hand")
            node.judged({"pacs": pacs}, jobs=2)
        proven = proven_by(scene, "tests/deliver/test_dimse.py")
    return f"transient: delivered later; permanent: parked, delivered after a retry; {proven}"


STATUSES = {
    0xA700: Stage.DELIVERING,
    0xA900: Stage.PARKED,
    0xC000: Stage.PARKED,
    0x0122: Stage.PARKED,
    0xB000: Stage.DELIVERED,
}


@row(23, "C-STORE is answered A700, A900, C000, 0122, B000", "again / parked / delivered and noted")
def _statuses(scene: Scene) -> str:
    pacs, told = Pacs(), []
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        node.start()
        for status, stage in STATUSES.items():
            pacs.answer = lambda _, status=status: status
            job, asked = _sent(scene, node, f"{status:04x}"), pacs.asked()
            until(lambda asked=asked: pacs.asked() >= max(asked, 1), "it has been sent")
            until(lambda job=job, stage=stage: job().stage is stage and _waits(node, job()), "told")
            told.append(f"{status:04X} {job().stage}")
            if stage is Stage.DELIVERING:
                pacs.answer = lambda _: 0x0000
                node.ahead(HOUR)
                until(lambda job=job: job().stage is Stage.DELIVERED, "it is tried again")
        stages = frozenset({Stage.DELIVERED, Stage.PARKED})
        node.judged({"pacs": pacs}, jobs=len(STATUSES), stages=stages)
    return ", ".join(told) + "; after A700 tried again and delivered"


@row(
    24,
    "the line breaks after sending, before the answer",
    "sent again under the same UID",
    fast=True,
)
def _answer_lost(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), Proxy(pacs.port, cut_answers_after=250) as line:
        where = {"pacs": f"{{ae_title: PACS, host: 127.0.0.1, port: {line.port}}}"}
        with scene.node({}, destinations=where) as node:
            node.start()
            job = _sent(scene, node, "cut")
            _at(pacs, 1)
            until(lambda: _waits(node, job()), "the broken line is noticed")
            line.heal()
            node.ahead(HOUR)
            node.ended(1)
            node.was_cut = True
            node.judged({"pacs": pacs}, jobs=1)
    came = pacs.came()
    return f"came {len(came)} times under {len(set(came))} UID with the same bytes; delivered"


@row(
    25,
    "commitment: refused, no event, 0112, 0110, an event elsewhere, of nobody, after a kill -9",
    "asked again after an hour; sent again; taken; ignored; nothing parked or forgotten",
)
def _commitment(scene: Scene) -> str:
    pacs = Pacs()
    said = Committer(tell_as="CT1")
    where = f"{{ae_title: PACS, host: 127.0.0.1, port: {pacs.port}, proof: commitment}}"
    with (
        pacs.up(also=[MODEL], handlers=said.handlers),
        scene.node({}, destinations={"pacs": where}) as node,
    ):
        said.tell_port, told = node.port, []
        node.start()
        hours = 0

        def played(name: str, then: Callable[[], None], **other: object) -> None:
            """Let the PACS answer in some way, then as it should, on an association of its own."""
            nonlocal hours
            as_ever = {"where": "here", "failed": {}, "transaction": "", "status": 0x0000}
            for key, value in {**as_ever, **other}.items():
                setattr(said, key, value)
            asked, came = len(said.requests), pacs.asked()
            job = _sent(scene, node, name)
            until(lambda: len(said.requests) > asked, "it has been asked")
            then()
            assert job().stage is Stage.DELIVERED, job().note
            assert _states(node, job()) != ["committed"]
            said.where, said.failed, said.transaction, said.status = "there", {}, "", 0x0000
            for _ in range(2):  # until it is sent again, and until it is asked for again
                hours += 1
                node.ahead(hours * (HOUR + 60))
            until(lambda: _states(node, job()) == ["committed"], "it has been committed")
            assert pacs.asked() - came == (2 if "failed" in other else 1)
            told.append(name)

        def not_forgotten() -> None:
            until(lambda: _waits(node, node.jobs()[0]), "it is noted that it was refused")
            with node.looking() as ledger:
                assert not ledger.forget(compose.now() + timedelta(days=30), 20, {"pacs"}).studies

        played("refused", not_forgotten, status=0x0124)
        played("no event", lambda: None, where="nowhere")
        for reason in (0x0112, 0x0110):
            played(
                f"{reason:04X}", lambda: until(lambda: _waits(node, node.jobs()[0]), "it is due"),
                failed={"*": reason},
            )  # fmt: skip
        played(
            "an unknown transaction",
            lambda: until(lambda: b"commitment_unknown" in node.log.read_bytes(), "it is logged"),
            transaction="1.2.3",
        )
        said.where = "nowhere"
        asked = len(said.requests)
        job = _sent(scene, node, "killed")
        until(lambda: len(said.requests) > asked, "it has been asked")
        node.kill()
        node.start()
        said.tell(said.requests[-1])
        until(lambda: _states(node, job()) == ["committed"], "the answer is taken")
        assert set(said.answers) == {0x0000}, said.answers
        node.was_cut = True
        node.judged({"pacs": pacs}, jobs=6)
    return f"{', '.join(told)}: asked again and committed; killed after its request: committed"


def _states(node: SmallNode, job: Job) -> list[str]:
    """Return how far the objects of a job are."""
    with node.looking() as ledger:
        return [str(each.state) for each in ledger.deliveries(job.key)]


@row(
    26,
    "STOW-RS is answered by a page, 503, nothing, 202, 409",
    "judged by instance, or tried again",
)
def _web(scene: Scene) -> str:
    came: list[Came] = []
    script = [
        Answer(200, b"<html>Log in</html>"),
        Answer(503, headers={"Retry-After": "5"}),
        Answer(200),
    ]
    told = [str(each.status) for each in script]

    def answer(request: Request) -> Answer:
        if script:
            return script.pop(0)
        came.extend(
            Came(uid, hashlib.sha256(data_set(part)).hexdigest())
            for uid, part in zip(request.uids, request.parts, strict=True)
        )
        return Answer(202, response(stored=request.uids))

    with (
        stow(answer) as service,
        scene.node({}, destinations={"pacs": f"{{url: '{service.url}'}}"}) as node,
    ):
        node.start()
        job = _sent(scene, node, "web")
        for number in range(1, len(told) + 1):
            until(lambda number=number: len(service.requests) >= number, "it has been sent")
            until(lambda: _waits(node, job()), "it is to be tried again")
            node.ahead(number * HOUR)
        node.ended(1)
        pacs = Pacs()
        pacs.came = lambda: came  # type: ignore[method-assign]
        node.judged({"pacs": pacs}, jobs=1)
        proven = proven_by(scene, "tests/deliver/test_web.py", "tests/deliver/test_answer.py")
    return f"{', '.join(told)}: tried again; 202: delivered; {proven}"
