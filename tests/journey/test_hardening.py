"""A whole node with secrets of every kind, under the filter of its unit: nothing comes out."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from typer.testing import CliRunner

from dicom_ai_node.cli import app
from dicom_ai_node.config.secret import CREDENTIALS
from dicom_ai_node.domain.job import Stage
from tests.confided import confided
from tests.journey.node import Node, running, storescu, until
from tests.model_folders import threshold_model
from tests.peers.tools import find, free_port
from tests.phantoms import ct, write
from tests.units import refused_calls

pytestmark = [pytest.mark.peer, pytest.mark.timeout(400)]
SECRETS = {
    "admin": "canary-of-the-console-0123456789",
    "archive": "canary-of-the-archive-0123456789",
    "mail": "canary-of-the-mailbox-0123456789",
    "webhook": "canary-of-the-webhook-0123456789",
}
MARK = "canary-of-the"
"""What all of them have in common; no file and no answer may hold it."""


class Echo(BaseHTTPRequestHandler):
    """Says no to everything, and repeats what it was told with it: the worst of peers."""

    heard: list[str]

    def do_POST(self) -> None:
        """Refuse."""
        said = str(self.headers)
        self.heard.append(said)
        body = said.encode()
        self.send_response(401, re.sub(r"[^ -~]", " ", said)[:200])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def echoing() -> Iterator[tuple[int, list[str]]]:
    """Run the worst of peers; yield its port and what it has been told."""
    heard: list[str] = []
    handler = type("Here", (Echo,), {"heard": heard})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], heard
        server.shutdown()
        thread.join()


def _node(folder: Path, peer: int) -> tuple[Node, str]:
    window = free_port()
    folder.mkdir()
    for name in ("admin", "mail", "webhook"):
        confided(folder / name, f"{SECRETS[name]}\n")
    routes = """\
  - {name: tissue, when: {Modality: CT}, run: segment, model: bright_ct, write: [segmentation], to: [archive]}
"""
    archive = (
        f"  archive: {{url: 'http://127.0.0.1:{peer}', token: {{environment: ARCHIVE_TOKEN}}}}\n"
    )
    extra = f"""
    serve: {{port: {window}, token: {{file: admin}}}}
    watch:
      notify:
        program: {{webhook: 'http://127.0.0.1:{peer}/hook', secret: {{credential: webhook}}}}
        people: {{to: [a@example.org], sender: b@example.org, host: 127.0.0.1, port: {peer}, security: tls, user: me, password: {{file: mail}}}}
    """
    threshold_model(folder / "models")
    infer = f", models: [{folder / 'models'}]"
    return Node(folder, routes, archive, infer=infer, extra=extra), f"http://127.0.0.1:{window}"


def _answers(address: str) -> Iterator[tuple[str, str]]:
    """Yield everything that the node tells an admin who asks for it."""
    with httpx.Client(
        base_url=address, headers={"Authorization": f"Bearer {SECRETS['admin']}"}, timeout=30
    ) as client:
        paths = client.get("/api/openapi.json").json()["paths"]
        plain = [path for path, methods in paths.items() if "get" in methods and "{" not in path]
        (job,) = client.get("/api/jobs").json()["jobs"]
        pages = [
            "/",
            "/console",
            "/console/jobs",
            "/console/health",
            "/metrics",
            "/api/openapi.json",
        ]
        for path in [*plain, *pages, f"/api/jobs/{job['name']}", f"/console/jobs/{job['name']}"]:
            if "event" not in path:  # those never end
                answer = client.get(path, follow_redirects=True)
                yield f"{path} {answer.status_code}", f"{answer.headers}{answer.text}"


def _said(*arguments: str) -> str:
    return str(CliRunner().invoke(app, arguments).output)


@dataclass(frozen=True)
class Seen:
    """What has been seen of a node at work: its folder, its answers, the calls that were refused."""

    folder: Path
    answers: dict[str, str]
    refused: list[str]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Let a node do all its work under the filter of the unit, as strace can imitate it."""
    folder = tmp_path_factory.mktemp("hardening")
    calls, refused = folder / "calls.txt", ",".join(f"?{call}" for call in sorted(refused_calls()))
    strace = (
        find("strace"), "-D", "-f", "--seccomp-bpf", "-qqq", "-o", str(calls), "-e", "signal=none",
        "-e", f"trace={refused}", "-e", f"inject={refused}:error=EPERM",
    )  # fmt: skip
    with echoing() as (peer, heard), pytest.MonkeyPatch.context() as environment:
        environment.setenv("ARCHIVE_TOKEN", SECRETS["archive"])
        environment.setenv(CREDENTIALS, str(folder / "node"))
        node, address = _node(folder / "node", peer)
        node.under = strace
        with running(node):
            storescu(node.port, write(ct(slices=4), folder / "ct"))
            until(lambda: node.jobs(Stage.PARKED), 120, "the archive has said no")
            until(lambda: any("webhook-signature" in one.lower() for one in heard), 60, "told")
            assert any(SECRETS["archive"] in one for one in heard), "it was used"
            answers = dict(_answers(address)) | dict(_processes(node))
            answers["check"] = _said("check", str(node.config))
            for command in ("status", "jobs"):
                answers[command] = _said(command, "-c", str(node.config))
            assert node.stop() == 0
        yield Seen(node.folder, answers, calls.read_text().splitlines())


def _processes(node: Node) -> Iterator[tuple[str, str]]:
    """Yield what `ps` shows of every process, and the environment of those that were spawned."""
    for pid in node.tree():
        line = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        yield f"ps {pid}", line
        yield f"limits {pid}", Path(f"/proc/{pid}/limits").read_text()
        if "spawn_main" in line:
            yield f"worker {pid}", Path(f"/proc/{pid}/environ").read_text()


def test_a_secret_comes_out_nowhere(seen: Seen) -> None:
    """In no log, answer, table, file or command line, with peers that repeat what they are told."""
    assert sum(name.startswith("worker") for name in seen.answers) > 1
    assert sum(name.endswith(" 200") for name in seen.answers) > 12
    assert not [name for name, answer in seen.answers.items() if MARK in answer]
    kept = {path.name: _content(path) for path in seen.folder.rglob("*") if path.is_file()}
    assert {"node.log", "node.db"} <= kept.keys()
    assert {name for name, content in kept.items() if MARK.encode() in content} == {
        "admin", "mail", "webhook",
    }  # fmt: skip


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # what SQLite has beside a database goes with its last connection
        return b""


def test_what_the_node_keeps_is_for_its_user_alone(seen: Seen) -> None:
    """Keys and ledger; and no process writes its memory to the disk when it crashes."""
    store = seen.folder / "store"
    made = {path.name: path.stat().st_mode & 0o777 for path in (store, *store.iterdir())}
    assert made["store"] == 0o700
    assert {made[name] for name in ("patient_key", "node.db")} == {0o600}
    limits = [answer for name, answer in seen.answers.items() if name.startswith("limits")]
    assert all(re.search(r"Max core file size +0 +0 ", one) for one in limits)


def test_a_node_at_work_makes_no_call_that_the_unit_refuses(seen: Seen) -> None:
    """Receive, infer, encode, deliver, tell, answer: the filter is in nobody's way."""
    assert not seen.refused
