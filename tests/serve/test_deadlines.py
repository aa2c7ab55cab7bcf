"""Whoever holds a connection and does nothing with it loses it; whoever is slow does not."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
import uvicorn
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.deadlines import Patient
from dicom_ai_node.serve.doors import OpenDoor

PIECE = bytes(65_536)
PATIENCE_SECONDS = 30.0
"""How long the server may take for what it does within a second on a machine that does nothing else."""
HEAD = b"POST / HTTP/1.1\r\nHost: node\r\nContent-Length: 6\r\n\r\n"


class Hasty(Patient):
    """The same with deadlines that a test can wait for."""

    head_seconds = 0.6
    quiet_seconds = 0.6


def _things() -> APIRouter:
    router = APIRouter(dependencies=[needs(Role.PUBLIC)])

    @router.post("/")
    async def take(request: Request) -> int:
        return len(await request.body())

    @router.get("/much")
    async def much() -> StreamingResponse:
        return StreamingResponse(PIECE for _ in range(800))

    @router.get("/slow")
    def slow() -> str:
        time.sleep(1.5)
        return "here"

    return router


@pytest.fixture
def port(capsys: pytest.CaptureFixture[str]) -> Iterator[int]:
    """Run a server in a hurry and return its port; when it has ended, it has had no bug."""
    app = application(OpenDoor(), [_things()])
    server = uvicorn.Server(
        uvicorn.Config(app, http=Hasty, ws="none", lifespan="off", log_config=None)
    )
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()
    listener.close()
    assert '"event": "bug"' not in "".join(capsys.readouterr()), "nobody here is to blame"


def seconds_until_closed(line: socket.socket) -> float:
    """Return how long a connection stays open, reading what comes."""
    began = time.monotonic()
    line.settimeout(PATIENCE_SECONDS)
    with suppress(ConnectionError):
        while line.recv(65_536):
            pass
    return time.monotonic() - began


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: no", id="half of the headers"),
        pytest.param(HEAD + b"abc", id="half of a body"),
    ],
)
def test_who_says_no_more_is_no_longer_heard(port: int, said: bytes) -> None:
    """There are only so many connections; and that somebody has gone is no bug of ours."""
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.sendall(said)
        assert seconds_until_closed(line) > 0.3


def _trickle(line: socket.socket) -> None:
    line.sendall(b"GET / HTTP/1.1\r\n")
    for _ in range(300):
        line.sendall(b"a: b\r\n")
        time.sleep(0.2)


def test_headers_that_trickle_are_not_waited_for(port: int) -> None:
    """A byte now and then is no sign of life (Slowloris)."""
    began = time.monotonic()
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        with pytest.raises(ConnectionError):
            _trickle(line)
        assert time.monotonic() - began < PATIENCE_SECONDS


def test_headers_without_an_end_are_not_read(port: int) -> None:
    """Nothing of a stranger fills the memory."""
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.settimeout(PATIENCE_SECONDS)
        line.sendall(b"GET /slow HTTP/1.1\r\nHost: node\r\nA: " + b"x" * 60_000 + b"\r\n\r\n")
        assert line.recv(1000).endswith(b'"here"'), "long is not endless"
        line.sendall(b"GET /slow HTTP/1.1\r\nHost: node\r\nA: ")
        with pytest.raises(ConnectionError):
            line.sendall(b"x" * 64 * 1024**2)


def test_who_takes_nothing_gets_no_more(port: int) -> None:
    """An answer that nobody reads does not wait for ever."""
    with closing(socket.socket()) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", port))
        line.sendall(b"GET /much HTTP/1.1\r\nHost: node\r\n\r\n")
        time.sleep(2)
        taken = 0
        line.settimeout(PATIENCE_SECONDS)
        with suppress(ConnectionError):
            while part := line.recv(65_536):
                taken += len(part)
        assert 0 < taken < 800 * len(PIECE)


def test_who_is_slow_is_waited_for(port: int) -> None:
    """A body that comes piece by piece, and an answer that takes its time to be made."""
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.settimeout(PATIENCE_SECONDS)
        line.sendall(HEAD)
        for byte in b"abcdef":
            time.sleep(0.3)
            line.sendall(bytes([byte]))
        assert line.recv(1000).endswith(b"\r\n\r\n6")
        time.sleep(0.2)
        line.sendall(b"GET /slow HTTP/1.1\r\nHost: node\r\n\r\n")
        assert line.recv(1000).endswith(b'"here"')
