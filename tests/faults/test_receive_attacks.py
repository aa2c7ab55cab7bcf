"""Peers who mean harm reach the port before anyone has asked for their name."""

import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from dicom_ai_node.store.blobs import FolderBlobs
from tests.receive.conftest import Node, Start, node, quick_path, start  # noqa: F401 - fixtures
from tests.receive.rawpeer import RawPeer, command, encoded, p_data, pdv, request, smallest

pytestmark = pytest.mark.fault

PATIENCE_SECONDS = 15.0
"""How long a busy machine may take for what an idle one does at once."""


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def _echo_seconds(node: Node) -> float:  # noqa: F811
    began = time.monotonic()
    association = node.associate()
    assert association.send_c_echo().Status == 0x0000
    association.release()
    return time.monotonic() - began


def _is_closed(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(100) == b""
    except BlockingIOError:
        return False


def _seconds_until_closed(sock: socket.socket) -> float:
    began = time.monotonic()
    sock.settimeout(20)
    while sock.recv(100):
        pass
    return time.monotonic() - began


def test_twenty_silent_clients_stop_nobody_and_are_thrown_out(start: Start) -> None:  # noqa: F811
    """A C-ECHO is answered while all of them still wait, and their time runs out."""
    node = start(request_seconds=5)  # noqa: F811
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", node.port)))
            for _ in range(20)
        ]
        _echo_seconds(node)
        assert not any(_is_closed(sock) for sock in silent)
        assert max(map(_seconds_until_closed, silent)) < PATIENCE_SECONDS


def test_a_trickle_does_not_prolong_the_deadline(start: Start) -> None:  # noqa: F811
    """A byte now and then keeps no connection open: the deadline is absolute."""
    node = start(request_seconds=1)  # noqa: F811
    began = time.monotonic()
    with RawPeer(node.port) as peer:
        with pytest.raises(OSError):  # noqa: PT012, PT011 - either end of a broken connection
            for byte in request():
                peer.send(bytes([byte]))
                time.sleep(0.1)
        assert time.monotonic() - began < PATIENCE_SECONDS


@pytest.mark.parametrize(
    ("calling", "length"),
    [
        pytest.param(b"CT1", 0xFFFFFFF0, id="a length that no request has"),
        pytest.param(b"CT1", 1 << 20, id="the longest request there can be"),
        pytest.param(b"STRANGER", 1 << 20, id="a stranger"),
    ],
)
def test_an_announced_length_costs_no_memory(
    node: Node,  # noqa: F811
    calling: bytes,
    length: int,
) -> None:
    """Memory grows with what arrives and not with what was announced."""
    before = _resident_mib()
    with ExitStack() as stack:
        for _ in range(50):
            peer = stack.enter_context(RawPeer(node.port))
            peer.send(struct.pack(">BxL", 1, length) + request(calling=calling)[6:])
        time.sleep(0.3)
        assert _resident_mib() - before < 20
        assert _echo_seconds(node) < PATIENCE_SECONDS


def test_bytes_behind_a_lie_are_not_kept(node: Node) -> None:  # noqa: F811
    """A flood after a PDU of 4 GiB was announced is refused, not buffered."""
    before = _resident_mib()
    with RawPeer(node.port) as peer:
        peer.send(struct.pack(">BxL", 1, 0xFFFFFFF0))
        with pytest.raises(OSError):  # noqa: PT012, PT011 - either end of a broken connection
            for _ in range(300):
                peer.send(bytes(1 << 20))
    assert _resident_mib() - before < 20


def _threads() -> int:
    return int(Path("/proc/self/status").read_text().split("Threads:")[1].split()[0])


def _settles_below(most: int, before: int) -> bool:
    """Return whether no more than `most` threads are left, which need a moment to end."""
    began = time.monotonic()
    while _threads() - before >= most:
        if time.monotonic() - began > PATIENCE_SECONDS:
            return False
        time.sleep(0.05)
    return True


def test_more_connections_than_places_push_out_the_oldest(start: Start) -> None:  # noqa: F811
    """Three hundred silent connections cost what those cost that fit, and an echo still works."""
    # Silence alone would end them only much later than anybody waits here.
    node = start(pending=20, request_seconds=10 * PATIENCE_SECONDS)  # noqa: F811
    before = _threads()  # libraries of other tests have threads of their own
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", node.port)))
            for _ in range(300)
        ]
        assert _echo_seconds(node) < PATIENCE_SECONDS
        assert _seconds_until_closed(silent[0]) < PATIENCE_SECONDS
        assert _settles_below(60, before)


def test_associations_above_the_limit_are_rejected_for_now_and_all_recovers(start: Start) -> None:  # noqa: F811
    """Two hundred at a time: as many as allowed are served, the others hear when to come back."""
    node = start(associations=30)  # noqa: F811
    with ExitStack() as stack:
        kinds = [stack.enter_context(RawPeer(node.port)).send(request()).pdu() for _ in range(200)]
        accepted = sum(kind == 2 for kind, _ in kinds)
        rejected = sum((kind, body) == (3, bytes((0, 2, 3, 2))) for kind, body in kinds)
        assert (accepted, rejected) == (30, 170)
    began = time.monotonic()
    while node.listener._doorway.is_full and time.monotonic() - began < PATIENCE_SECONDS:
        time.sleep(0.05)
    assert _echo_seconds(node) < PATIENCE_SECONDS


def test_an_instance_of_500_mb_costs_no_memory(start: Start, tmp_path: Path) -> None:  # noqa: F811
    """A long cine goes straight to the disk."""
    node = start(blobs=FolderBlobs(tmp_path))  # noqa: F811
    part = bytes(120_000)
    count = 500_000_000 // len(part)
    head = encoded(smallest()) + struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, count * len(part))
    before = _resident_mib()
    highest = before
    with RawPeer(node.port).associate() as peer:
        peer.send(p_data(pdv(command(), 3), pdv(head, 0)))
        whole = p_data(pdv(part, 0))
        for number in range(count):
            peer.send(whole)
            if number % 500 == 0:
                highest = max(highest, _resident_mib())
        peer.sock.settimeout(120)
        assert peer.send(p_data(pdv(b"", 2))).status() == 0x0000
    highest = max(highest, _resident_mib())
    assert highest - before < 30
    (arrival,) = node.diary.arrivals
    assert arrival.instance.size_bytes > 499_000_000
    node.blobs.discard(arrival.instance.sha256)


def _nested(depth: int) -> bytes:
    opened = struct.pack("<HH2sHL", 0x40, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    return (opened + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)) * depth


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(_nested(100_000), id="a hundred thousand nested sequences"),
        pytest.param(
            struct.pack("<HH2sHL", 9, 0x1010, b"OB", 0, 0xFFFFFFFE) + b"x" * 100, id="a huge OB"
        ),
        pytest.param(
            b"".join(
                struct.pack("<HH2sH2s", 9 + 2 * (n // 60000), 0x1000 + n % 60000, b"LO", 2, b"ab")
                for n in range(600_000)
            ),
            id="six hundred thousand private elements",
        ),
    ],
)
def test_a_data_set_that_is_a_trap_is_refused_cheaply(node: Node, tail: bytes) -> None:  # noqa: F811
    """It is answered with C000 within seconds, kept for a person, and the memory stays flat."""
    before = _resident_mib()
    began = time.monotonic()
    with RawPeer(node.port).associate() as peer:
        assert peer.store(encoded(smallest()) + tail) == 0xC000
        assert time.monotonic() - began < PATIENCE_SECONDS
        assert peer.store(encoded(smallest())) == 0x0000
    assert _resident_mib() - before < 200
    assert len(node.diary.refused) == 1


def test_no_uid_of_a_peer_becomes_a_path(node: Node, quick_path: Path) -> None:  # noqa: F811
    """Whatever is sent as a UID, files lie under their digest and nowhere else."""
    for uid in (b"../../../evil", b"/tmp/evil", b"..\\evil", b"a" * 64, b"1.2/../3"):
        with RawPeer(node.port).associate() as peer:
            assert peer.store(encoded(smallest()), instance=uid) == 0x0117
    assert not [path for path in quick_path.rglob("*") if "evil" in path.name]
    assert not node.files("blobs")
    assert not node.files("spool")
