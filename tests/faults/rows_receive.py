"""Rows about taking in: kill -9 at every point, instances that are sent in every wrong way."""

import socket
import struct
from pathlib import Path

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.selftest.judge import objections, processes
from tests.faults.rows import Scene, proven_by, row
from tests.faults.small_node import Pacs, SmallNode, series, study_of, until
from tests.phantoms import ct
from tests.receive.rawpeer import (
    RawPeer,
    command,
    encoded,
    p_data,
    pdv,
    smallest,
)

POINTS = {
    1: ("opened", "before the temporary file"),
    2: ("spooled", "after the last byte was written"),
    3: ("synced", "after the fsync of the file"),
    4: ("renamed", "after the rename"),
    5: ("folder_synced", "after the fsync of the folder"),
    6: ("recording", "inside the transaction"),
    7: ("recorded", "after the commit, before 0x0000"),
}
"""Where the power goes while an instance is taken in, by the number of the row."""


def is_delivered(node: SmallNode, inputs: int) -> bool:
    """Return whether a job with so many inputs has been delivered."""
    with node.looking() as ledger:
        done = [job.key for job in ledger.jobs((Stage.DELIVERED,), 1000)]
        return any(job and len(job.inputs) == inputs for job in map(ledger.job, done))


def _power_cut(scene: Scene, node: SmallNode, point: str, files: list[Path], way: str) -> int:
    """Let the power go while `files` are sent, and return how many had been acknowledged."""
    before = len(node.answered)
    node.start(crash=f"{point}@{scene.dice.randint(1, 6)}", power=True)
    if way == "DIMSE":
        node.send(files)
    else:
        for file in files:
            if node.stow([file]) is None:
                break
    node.died()
    until(lambda: not processes(node.mark), "no worker outlives the node")
    found = objections(node.evidence({}, stages=frozenset(Stage)))
    found = [each for each in found if not each.startswith("ended")]  # not before it runs again
    assert not found, f"after the power cut ({way}): {'; '.join(found[:3])}"
    return len(node.answered) - before


def _power_cuts(scene: Scene) -> str:
    point = POINTS[scene.number][0]
    ways = ("DIMSE",) if scene.is_short else ("DIMSE", "STOW")
    said, pacs = [], Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        sent = {way: series(scene.folder, way, slices=8) for way in ways}
        for way, files in sent.items():
            said.append(f"{way}: {_power_cut(scene, node, point, files, way)} of 8 acknowledged")
        node.start()
        for files in sent.values():
            answers = node.send(files)
            assert all(isinstance(each, str) for each in answers), answers
        node.ahead(120)  # a series whose association was cut has to be quiet for longer
        until(lambda: is_delivered(node, 8), "the series is delivered as a whole")
        node.ended(len(sent))
        node.judged({"pacs": pacs})
    return "; ".join(said) + ", all there; sent again: delivered once"


for _number, (_point, _where) in POINTS.items():
    row(
        _number,
        f"power cut {_where}",
        "no answer without bytes and row; sending again works",
        fast=_number == 7,
    )(_power_cuts)


@row(10, "power loss while SQLite and the blobs write", "as 1-7, with what was not synced gone")
def _power_loss(scene: Scene) -> str:
    return proven_by(
        scene,
        "tests/contracts/test_blobs.py",
        "tests/contracts/test_database.py::test_what_was_acknowledged_is_there_and_nothing_else",
    )


@row(27, "the same instance twice", "0x0000, one row, one job")
def _twice(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        files = series(scene.folder, "twice")
        node.start()
        for _ in range(2):
            assert all(isinstance(each, str) for each in node.send(files))
        answer = node.stow(files)
        assert answer is not None
        assert answer.status_code == 200, answer.status_code
        node.ended(1)
        assert len(node.listed(study_of(files[0]))) == 4
        node.judged({"pacs": pacs}, jobs=1)
    return "sent 3 times, by DIMSE and STOW: 0x0000 and 200, 4 rows, 1 job"


@row(28, "the same SOP Instance UID with other bytes", "the first stays, the second is quarantined")
def _conflict(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        files = series(scene.folder, "conflict")
        other = series(scene.folder / "other", "conflict", description="edited")
        node.start()
        node.send(files)
        node.ended(1)
        answers = node.send(other)
        assert all(isinstance(each, str) for each in answers), answers
        with node.looking() as ledger:
            quarantined = len(ledger.quarantined())
        assert quarantined == 4, quarantined
        node.judged({"pacs": pacs}, jobs=1)
    return "0x0000; 4 of 4 in quarantine, the ledger still lists the first"


@row(29, "the same study again after its result; then one instance more", "no job; then a new one")
def _again(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        files = series(scene.folder, "again", slices=5)
        node.start()
        node.send(files[:4])
        node.ended(1)
        node.send(files[:4])
        node.send(files[4:])
        until(lambda: is_delivered(node, 5), "the late instance is in a job")
        jobs = node.ended(2)
        assert jobs[0].supersedes == jobs[1].key, "the new job does not say what it replaces"
        node.judged({"pacs": pacs}, jobs=2)
    return "again: nothing; late instance: a second job that supersedes the first"


@row(30, "an association aborted or reset inside a data set", "nothing stored, nothing left")
def _broken_off(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        files = series(scene.folder, "whole")
        data = encoded(smallest()) + bytes(40_000)
        node.start()
        with node.leaking_nothing():
            for number in range(60):
                with RawPeer(node.port).associate() as peer:
                    peer.send(p_data(pdv(command(), 3)) + p_data(pdv(data[:16_000], 0)))
                    if number % 2:
                        peer.send(struct.pack(">BxLL", 7, 4, 0))
                    else:
                        linger = struct.pack("ii", 1, 0)
                        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        until(lambda: not list((node.folder / "store" / "spool").iterdir()), "the spool is empty")
        assert node.count("instances") == 0
        node.send(files)
        node.ended(1)
        node.judged({"pacs": pacs}, jobs=1)
    return "60 broken off: no row, no file, no descriptor; the next series is delivered"


@row(31, "a truncated data set in a whole message", "0xC000, bytes in quarantine", fast=True)
def _truncated(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        files = series(scene.folder, "whole")
        [image] = ct(slices=1, rows=32, columns=32)
        cut = encoded(image)[: -scene.dice.randint(2, 1500)]
        node.start()
        with RawPeer(node.port).associate() as peer:
            uid = str(image.SOPInstanceUID).encode()
            status = peer.store(cut, instance=uid + b"\0" * (len(uid) % 2))
            peer.release()
        assert status == 0xC000, hex(status)
        with node.looking() as ledger:
            assert len(ledger.quarantined()) == 1
        node.send(files)
        node.ended(1)
        node.judged({"pacs": pacs}, jobs=1)
    return "0xC000, in quarantine; the next series is delivered"


@row(33, "deep sequences, huge lengths, 600,000 elements", "refused, memory flat")
def _bombs(scene: Scene) -> str:
    return proven_by(
        scene,
        "tests/faults/test_receive_attacks.py::test_a_data_set_that_is_a_trap_is_refused_cheaply",
        "tests/receive/test_header.py",
    )


UIDS = {
    "a path": b"../../etc/x\0",
    "65 characters": b"1." + b"2" * 63 + b"\0",
    "nothing": b"\0\0",
    "NUL inside": b"1.2\x003.4\0",
    "not ASCII": "1.2.ä".encode(),
}


@row(34, "a SOP Instance UID that is a path, too long, empty, NUL, not ASCII", "refused; no file")
def _odd_uids(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        node.start()
        statuses = {}
        for what, uid in UIDS.items():
            padded = uid + b"\0" * (len(uid) % 2)
            with RawPeer(node.port).associate() as peer:
                statuses[what] = peer.store(encoded(smallest()), instance=padded)
        told = ", ".join(f"{what}: {status:04X}" for what, status in statuses.items())
        assert not {0x0000} & set(statuses.values()), told
        assert node.count("instances") == 0
        node.judged({"pacs": pacs}, jobs=0)
    return told


@row(35, "PDU of 4 GiB, trickle, silent clients, unknown PDUs, PDV lies", "aborted, C-ECHO goes on")
def _attacks(scene: Scene) -> str:
    return proven_by(
        scene, "tests/faults/test_receive_attacks.py", "tests/receive/test_association.py"
    )


@row(39, "HTTP slowloris, huge lengths, bombs, 10,000 parts", "408, 413 or 415; memory flat")
def _http(scene: Scene) -> str:
    return proven_by(
        scene,
        "tests/serve/test_deadlines.py",
        "tests/faults/test_store_web.py::test_a_bomb_is_not_unpacked",
        "tests/faults/test_store_web.py::test_tens_of_thousands_of_parts_that_are_none",
        "tests/faults/test_store_web.py::test_slow_clients_in_numbers_do_not_keep_others_out",
        "tests/faults/test_store_web.py::test_a_client_that_only_connects_costs_nothing",
    )
