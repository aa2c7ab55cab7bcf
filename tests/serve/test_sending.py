"""Answers of any size need little memory, and wait for nobody for ever."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Message

from dicom_ai_node.domain.showing import NotShowable
from dicom_ai_node.serve.dicomweb import sending
from dicom_ai_node.serve.dicomweb.sending import CHUNK_BYTES, FilePart, Pieces, groups
from dicom_ai_node.web import impatient

SCOPE = {"type": "http", "method": "GET"}


class Source(Iterator[bytes]):
    """Pieces of one chunk each; counts how many have been taken."""

    def __init__(self, count: int) -> None:
        self.left, self.taken = count, 0

    def __next__(self) -> bytes:
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        self.taken += 1
        return bytes(CHUNK_BYTES)


async def _nothing() -> Message:
    await asyncio.sleep(600)
    raise AssertionError


async def _gone() -> Message:
    return {"type": "http.disconnect"}


def test_small_pieces_go_together_and_large_ones_in_parts(tmp_path: Path) -> None:
    """And not a byte is lost between them."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3 * CHUNK_BYTES + 5))
    pieces = [
        b"head",
        FilePart(file, 1, 10),
        *[b"x"] * 1000,
        FilePart(file, 0, 3 * CHUNK_BYTES + 5),
    ]
    together = list(groups(pieces))
    found = [some for group in together for some in group]
    content = file.read_bytes()
    assert b"".join(found) == b"head" + content[1:11] + b"x" * 1000 + content
    assert max(map(len, found)) <= 2 * CHUNK_BYTES
    assert max(sum(map(len, group)) for group in together) <= 2 * CHUNK_BYTES
    assert len(together) <= 4
    assert len(found) <= 10


def test_a_file_that_ends_too_early_is_no_answer(tmp_path: Path) -> None:
    """It breaks off, so that nobody takes it for whole."""
    file = tmp_path / "file"
    file.write_bytes(b"short")
    with pytest.raises(OSError, match="shorter"):
        list(groups([FilePart(file, 0, 10)]))


def test_nothing_is_read_that_nobody_takes() -> None:
    """While the first chunk waits to be taken, one more is ready, and no other is made."""
    source = Source(50)

    async def answer() -> None:
        sent = 0
        may_go_on = asyncio.Event()

        async def send(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.body":
                await may_go_on.wait()
                sent += len(message["body"])

        whole = Pieces(source, "text/plain", None, {})
        task = asyncio.create_task(whole(SCOPE, _nothing, send))
        await asyncio.sleep(0.2)
        assert source.taken == 2
        may_go_on.set()
        await task
        assert sent == 50 * CHUNK_BYTES

    asyncio.run(answer())


def test_who_stops_reading_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was open is closed."""
    monkeypatch.setattr(sending, "STALLED_SECONDS", 0.05)
    source = Source(50)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(600)

    asyncio.run(asyncio.wait_for(Pieces(source, "text/plain", None, {})(SCOPE, _nothing, send), 5))
    assert source.taken == 2


def test_who_has_gone_gets_nothing_more() -> None:
    """Not even read from the disk."""
    source = Source(50)

    async def send(message: Message) -> None:
        await asyncio.sleep(0)

    asyncio.run(Pieces(source, "text/plain", None, {})(SCOPE, _gone, send))
    assert source.taken < 6


def test_what_fails_on_the_way_has_no_end() -> None:
    """The status has been sent, so that only a missing end can say it."""

    def pieces() -> Iterator[bytes]:
        yield from (bytes(CHUNK_BYTES) for _ in range(3))
        raise NotShowable("it cannot be decoded")

    ends = []

    async def send(message: Message) -> None:
        ends.append(message.get("more_body"))

    asyncio.run(Pieces(pieces(), "text/plain", None, {})(SCOPE, _nothing, send))
    assert ends == [None, True, True]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Serve a file of 1 GB, most of which is not there, to whoever asks."""
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(1_000_000_000)

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
        whole = await asyncio.to_thread(
            Pieces, [FilePart(big, 0, 1_000_000_000)], "a/b", 1_000_000_000, {}
        )
        await whole(scope, receive, send)

    listening = socket.create_server(("127.0.0.1", 0))
    impatient(listening, seconds=1)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = server.force_exit = True
    thread.join(10)
    listening.close()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _asked(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")
    return client


def test_a_gigabyte_passes_through_little_memory(port: int) -> None:
    """As fast as they are taken."""
    before, most, got = _resident_bytes(), 0, 0
    buffer = bytearray(1 << 20)
    with _asked(port) as client:
        while got < 1_000_000_000 and (some := client.recv_into(buffer)):
            got += some
            if got % 50 == 0:
                most = max(most, _resident_bytes())
    assert got > 1_000_000_000
    assert max(most, _resident_bytes()) - before < 64_000_000


def test_a_connection_that_takes_nothing_is_ended(port: int) -> None:
    """By the kernel, which knows best that nothing has been taken."""
    with _asked(port) as client:
        assert client.recv(1000)
        time.sleep(6)
        client.settimeout(5)
        got = 0
        is_reset = False
        try:
            while some := client.recv(1 << 20):
                got += len(some)
        except ConnectionResetError:
            is_reset = True
        assert is_reset
        assert got < 100_000_000
