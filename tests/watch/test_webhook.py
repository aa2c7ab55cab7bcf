"""A program is told by a signed POST, and its answer decides whether it knows."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dicom_ai_node.domain.errors import PeerUnavailable
from dicom_ai_node.domain.notice import About, Fact, Notice
from dicom_ai_node.watch.webhook import Webhook
from tests.peers.tools import free_port

SECRET = "what both sides know"  # noqa: S105 - of nobody
FACT = Fact(
    about=About.FAILED,
    at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    job="0123456789ab",
    route="liver",
    model="liver_ct",
    stage="parked",
    who="a person",
)
NOTICE = Notice(number=7, target="it", fact=FACT, attempts=1, fence=1)


class Program(HTTPServer):
    """A program that notes what it is told and answers what a test wants."""

    status = 204
    moved_to = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Told)
        self.heard: list[tuple[dict[str, str], bytes]] = []


class Told(BaseHTTPRequestHandler):
    """One POST."""

    server: Program

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((dict(self.headers), body))
        self.send_response(self.server.status)
        if self.server.moved_to:
            self.send_header("Location", self.server.moved_to)
        self.end_headers()

    def log_message(self, *_said: object) -> None:
        """Say nothing."""


@pytest.fixture
def program() -> Iterator[Program]:
    """Run a program on loopback."""
    program = Program()
    thread = threading.Thread(target=program.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield program
    program.shutdown()
    thread.join()
    program.server_close()


def webhook(port: int) -> Webhook:
    """Return the way to a program."""
    url = f"http://127.0.0.1:{port}/told"
    return Webhook(url, SECRET, node="AI_NODE", console="https://node", clock=lambda: 1000.5)


def test_it_says_what_has_happened_and_signs_it(program: Program) -> None:
    """Who knows the secret can check that it comes from the node and is not old."""
    assert webhook(program.server_port).tell([NOTICE]) == [None]
    ((headers, body),) = program.heard
    assert json.loads(body) == {
        "type": "dicom_ai_node.failed",
        "timestamp": "2026-03-01T12:00:00+00:00",
        "data": {
            "node": "AI_NODE",
            "job": "0123456789ab",
            "route": "liver",
            "model": "liver_ct",
            "stage": "parked",
            "who": "a person",
            "console": "https://node/jobs/0123456789ab",
        },
    }
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("AI_NODE-7", "1000")
    signed = b"AI_NODE-7.1000." + body
    wanted = base64.b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"


def test_of_a_destination_it_says_which(program: Program) -> None:
    """And leads to the page of the destinations."""
    fact = Fact(about=About.UNPROVEN, at=FACT.at, destination="pacs")
    assert webhook(program.server_port).tell([replace(NOTICE, fact=fact)]) == [None]
    said = json.loads(program.heard[0][1])
    assert said["type"] == "dicom_ai_node.unproven"
    assert said["data"] == {
        "node": "AI_NODE", "destination": "pacs", "console": "https://node/destinations",
    }  # fmt: skip


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
def test_any_other_answer_is_no_success(program: Program, status: int) -> None:
    """A redirect is not followed: the address stands in the configuration."""
    program.status, program.moved_to = status, f"http://127.0.0.1:{program.server_port}/else"
    (error,) = webhook(program.server_port).tell([NOTICE])
    assert isinstance(error, PeerUnavailable)
    assert str(status) in str(error)
    assert len(program.heard) == 1


def test_nobody_there_is_told_later() -> None:
    """Each notice has its own answer."""
    errors = webhook(free_port()).tell([NOTICE, NOTICE])
    assert [type(error) for error in errors] == [PeerUnavailable, PeerUnavailable]
