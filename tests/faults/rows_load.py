"""Rows about too much at once, and about the plug that is pulled meanwhile."""

import os
import secrets
import time
from collections.abc import Mapping

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.selftest.judge import MARK, SLACK, Evidence, Sent, objections
from tests.faults.hospital import Pings, Scanner, finished, held, kinds
from tests.faults.kills import pull_the_plug, studies
from tests.faults.rows import Scene, row
from tests.faults.small_node import NAME, Pacs, SmallNode, series, until
from tests.journey.node import Node, running, storescu
from tests.receive.rawpeer import RawPeer, request

SENDERS = 200
MORE_MIB = 150
"""By how much the memory of the tree may have grown at the end of a day: allocators keep some."""


@row(9, "kill -9 of the whole tree, at random, under load", "nothing lost, nothing twice")
def _random_kills(scene: Scene) -> str:
    kills = 500 if scene.is_long else 20
    return pull_the_plug(scene.folder, kills, most=kills // 4, dice=scene.dice)


@row(36, "10,000 associations in a row, 2,000 idle", "served or rejected for now, nothing leaks")
def _crowd(scene: Scene) -> str:
    idle, in_a_row = (100, 100) if scene.is_short else (2_000, 10_000)
    pacs = Pacs()
    places = f", processes: 1, max_associations: {idle}, deadlines: {{idle_seconds: 3600}}"
    with pacs.up(), scene.node({"pacs": pacs}, receive=places) as node:
        node.start()
        _in_a_row(node, 20)
        memory = node.resident_mib()
        with node.leaking_nothing():
            crowd = [RawPeer(node.port).associate() for _ in range(idle)]
            with RawPeer(node.port) as late:
                assert late.send(request()).pdu() == (3, bytes((0, 2, 3, 2)))
            for peer in crowd:
                peer.sock.close()
            until(lambda: _is_accepted(node), "somebody is let in again")
            rejected = _in_a_row(node, in_a_row)
        grown = node.resident_mib() - memory
        assert rejected <= in_a_row // 100, f"{rejected} of {in_a_row} were rejected"
        assert grown < 200, f"{grown:.0f} MiB more than before"
        files = series(scene.folder, "after")
        assert all(isinstance(each, str) for each in node.send(files))
        node.ended(1)
        node.judged({"pacs": pacs}, jobs=1)
    return f"{idle} idle, one more rejected for now; {in_a_row} in a row, {rejected} rejected; memory +{grown:.0f} MiB"


def _is_accepted(node: SmallNode) -> bool:
    with RawPeer(node.port) as peer:
        if peer.send(request()).pdu()[0] != 2:
            return False
        peer.release()
        return True


def _in_a_row(node: SmallNode, count: int) -> int:
    return sum(not _is_accepted(node) for _ in range(count))


@row(55, "200 senders at once", "all are served, C-ECHO goes on")
def _senders(scene: Scene) -> str:
    mark, node = _hospital_node(scene)
    mix = kinds()
    with running(node):
        scanners = [
            Scanner(node.port, number, mix[number % len(mix)], 20) for number in range(SENDERS)
        ]
        with Pings(node.port).going_on() as pings:
            for scanner in scanners:
                scanner.start()
            answered = finished(scanners, 600)
        assert node.stop() == 0
    assert len(answered) == 20 * SENDERS
    assert not (rejected := sum(each.rejected for each in scanners)), f"{rejected} were rejected"
    _judge(node, mark, answered, jobs=0)
    return f"{SENDERS} senders, {len(answered)} instances, each there; {pings.judged()}"


@row(56, "a day in the hospital: every kind of scanner at once, jobs meanwhile", "memory is flat")
def _a_day(scene: Scene) -> str:
    instances = 100_000 if scene.is_long else 10_000
    mark, node = _hospital_node(scene)
    mix = kinds()
    began = time.monotonic()
    with running(node):
        _examined(scene, node, 1)
        scanners = [
            Scanner(node.port, number, kind, instances // 4 // len(mix))
            for number, kind in enumerate(mix)
        ]
        answered = dict(_sent(scanners))
        before = held(node.tree())
        with Pings(node.port).going_on() as pings:
            later = [
                Scanner(node.port, 100 + number, kind, 3 * (instances // 4) // len(mix))
                for number, kind in enumerate(mix)
            ]
            answered |= _sent(later)
        _examined(scene, node, 2)
        after = held(node.tree())
        seconds = time.monotonic() - began
        assert node.stop() == 0
    grown = after.memory_mib - before.memory_mib
    assert grown < MORE_MIB, f"{grown:.0f} MiB more at the end than after a quarter"
    assert after.descriptors <= before.descriptors + SLACK, (before, after)
    _judge(node, mark, answered, jobs=2)
    return (
        f"{len(answered)} instances in {seconds:.0f} s, each there; memory "
        f"{before.memory_mib:.0f} MiB after a quarter, {after.memory_mib:.0f} at the end; "
        f"descriptors {before.descriptors}, {after.descriptors}; {pings.judged()}"
    )


def _hospital_node(scene: Scene) -> tuple[str, Node]:
    """Return the product's whole tree with places for everybody, and how its processes are known."""
    mark = secrets.token_hex(8)
    routes = (
        "  - {name: hippocampus, when: {Modality: MR}, run: segment, model: hippocampus_mr, "
        "write: segmentation, to: [shelf]}\n"
    )
    node = Node(
        scene.folder / "node", routes, f"  shelf: {{folder: {scene.folder / 'shelf'}}}\n",
        receive=f", max_associations: {SENDERS + 20}",
    )  # fmt: skip
    node.environment = {**os.environ, MARK: mark}
    return mark, node


def _sent(scanners: list[Scanner]) -> Mapping[str, Sent]:
    for scanner in scanners:
        scanner.start()
    return finished(scanners, 3 * 3600)


def _examined(scene: Scene, node: Node, number: int) -> None:
    """Let one patient be examined whose series has a route, and wait for the result."""
    study = list(studies(scene.folder, number))[-1]
    assert storescu(node.port, study).returncode == 0
    jobs = node.ended(number, 600)
    assert {job.stage for job in jobs} == {Stage.DELIVERED}


def _judge(node: Node, mark: str, answered: Mapping[str, Sent], jobs: int) -> None:
    found = objections(
        Evidence(
            config=node.config, mark=mark, logs=[node.log], name=NAME, answered=answered, jobs=jobs
        )
    )
    assert not found, "; ".join(found[:5])
