"""The sender and the C program that is the limit: no byte is lost between them."""

import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench import contenders, objects, sender
from bench.subjects.receive import send

needs_a_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


def whole(template: objects.Template) -> bytes:
    """Return its data set."""
    return template.head + template.payload.read_bytes()


@needs_a_compiler
def test_the_limit_keeps_what_the_sender_sends(tmp_path: Path) -> None:
    """Each object once, in full, with a UID of its own; a long one comes in many PDUs."""
    small, cine = objects.small_image(tmp_path), objects.cine(tmp_path, 2)
    with contenders.limit(tmp_path / "limit") as (port, _):
        assert send(port, small, 5, 2, 60)[0] == 5
        assert send(port, cine, 1, 4, 60)[0] == 1
    kept = [path.read_bytes() for path in (tmp_path / "limit" / "kept").iterdir()]
    placeholder = sender.PLACEHOLDER.encode()
    for template, count in ((small, 5), (cine, 1)):
        before, _, after = whole(template).partition(placeholder)
        same = [one for one in kept if one.startswith(before) and one.endswith(after)]
        assert len(same) == len(set(same)) == count
        assert {len(one) for one in same} == {template.size_bytes}


@needs_a_compiler
def test_a_sender_stops_when_its_time_is_over(tmp_path: Path) -> None:
    """Whoever waits 40 ms for each object is not waited for 5,000 times."""
    small = objects.small_image(tmp_path)
    with contenders.limit(tmp_path / "sink", throws_away=True) as (port, _):
        sent, _ = send(port, small, 1000, 1, 0.0)
    assert sent == 1


def test_a_sender_says_what_went_wrong(tmp_path: Path) -> None:
    """Nobody listens: that is no zero objects a second."""
    with pytest.raises(RuntimeError, match="refused"):
        send(contenders.free_port(), objects.small_image(tmp_path), 1, 1, 1)


@pytest.mark.parametrize("longest_pdu", [0, 4096, 20000, 131072])
def test_pdus_are_full(longest_pdu: int) -> None:
    """As those of a good sender are, whatever the receiver takes; the last one says so."""
    head, payload = b"h" * 1000, memoryview(bytes(range(256)) * 70)
    stream = b"".join(sender.pieces_of(head, payload, longest_pdu))
    data, lengths, last = b"", [], []
    while stream:
        length = int.from_bytes(stream[2:6], "big")
        lengths.append(length)
        last.append(stream[11] & 2)
        data += stream[12 : 6 + length]
        stream = stream[6 + length :]
    assert data == head + bytes(payload)
    assert set(lengths[:-1]) <= {longest_pdu}
    assert last == [0] * (len(last) - 1) + [2]


def test_a_sender_that_is_turned_away_for_now_asks_again(tmp_path: Path) -> None:
    """Some receivers let ten in; the rate of the others is theirs all the same."""
    rejection = bytes((3, 0, 0, 0, 0, 4, 0, 2, 3, 2))
    with socket.create_server(("127.0.0.1", 0)) as door, ThreadPoolExecutor(1) as threads:
        door.settimeout(10)
        port = door.getsockname()[1]
        sent = threads.submit(send, port, objects.small_image(tmp_path), 1, 1, 1)
        for _ in range(2):
            knocking, _ = door.accept()
            with knocking:
                assert knocking.recv(1 << 16)[0] == 1
                knocking.sendall(rejection)
        door.close()
        with pytest.raises(RuntimeError, match="refused"):
            sent.result(20)
