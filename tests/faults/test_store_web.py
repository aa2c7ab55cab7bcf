"""STOW-RS on bad days: a disk that is full or does not sync, clients that mean harm, kill -9."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from dicom_ai_node import compose
from dicom_ai_node.receive.multipart import MOST_PARTS
from tests.faults.full_disk import FullBlobs
from tests.peers.tools import free_port
from tests.phantoms import ct
from tests.receive.conftest import quick_path  # noqa: F401 - fixture
from tests.receive.webdesk import (
    TYPE,
    StartWeb,
    body,
    heard,
    part10,
    start_web,  # noqa: F401 - fixture
    values,
)

pytestmark = pytest.mark.fault
FAILED, REFERENCED, FAILURE, INSTANCE = "00081198", "00081199", "00081197", "00081155"


@pytest.mark.parametrize("step", ["spool", "keep"])
def test_a_store_without_room_is_a_passing_matter(
    start_web: StartWeb,  # noqa: F811
    tmp_path: Path,
    step: str,
) -> None:
    """503 and A700 mean try again; when there is room the same request succeeds."""
    blobs = FullBlobs(tmp_path / "full")
    node = start_web(blobs=blobs)
    image = ct(slices=1, rows=16, columns=16)[0]
    blobs.fails_at = step
    answer = node.store(image)
    assert (answer.status_code, values(answer, FAILED, FAILURE)) == (503, [0xA700])
    assert "Retry-After" in answer.headers
    blobs.fails_at = ""
    assert node.store(image).status_code == 200
    assert len(node.diary.arrivals) == 1
    assert not list((tmp_path / "full" / "spool").iterdir())


def test_a_bomb_is_not_unpacked(start_web: StartWeb) -> None:  # noqa: F811
    """A gigabyte of nothing in a megabyte, announced as what it is."""
    node = start_web()
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    assert node.post(bomb, Content_Encoding="gzip").status_code == 415
    head = b"--frontier\r\nContent-Type: application/dicom\r\nContent-Encoding: gzip\r\n\r\n"
    answer = node.post(head + bomb + b"\r\n--frontier--")
    assert answer.status_code == 415
    assert not node.files("spool")


def test_tens_of_thousands_of_parts_that_are_none(start_web: StartWeb) -> None:  # noqa: F811
    """They are counted, and beyond the limit the request is too large."""
    node = start_web()
    part = b"--frontier\r\n\r\nx\r\n"
    answer = node.post(part * 500 + b"--frontier--")
    assert answer.status_code == 409
    assert node.post(part * (MOST_PARTS + 1) + b"--frontier--").status_code == 413


def test_slow_clients_in_numbers_do_not_keep_others_out(start_web: StartWeb) -> None:  # noqa: F811
    """Fifty of them hold their places until their time is up; the others are served meanwhile."""
    node = start_web(pdu_seconds=3)
    image = ct(slices=1, rows=16, columns=16)[0]
    slow = [node.raw(length=10_000_000_000) for _ in range(50)]
    for connection in slow:
        connection.sendall(body(part10(image), end=b"")[:-500])
    for _ in range(5):
        assert node.store(image).status_code == 200
    for connection in slow:
        assert heard(connection)[0] == 408
        connection.close()
    assert node.sees(lambda: not node.files("spool"))


@contextmanager
def _node(
    folder: Path, *, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run the process of a real node that answers HTTP."""
    port, config = free_port(), folder / "ae_config.yaml"
    config.write_text(
        textwrap.dedent(f"""\
        receive: {{ae_title: AI_NODE, accept_from: [CT1]}}
        store: {{folder: {folder / "store"}, min_free_gb: 0.01}}
        routes:
          - {{name: tissue, when: {{}}, run: segment, model: ct_tissue, write: segmentation, to: []}}
        serve: {{port: {port}, login: none}}
        """)
    )
    compose.prepare(compose.settings(config))
    with subprocess.Popen(
        [sys.executable, "-m", "dicom_ai_node", "serve", str(config), "--role", "web"],
        cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                with suppress(httpx.HTTPError):
                    httpx.get(f"http://127.0.0.1:{port}/health/live", trust_env=False)
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/dicom-web/studies", process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _files(count: int) -> dict[str, bytes]:
    """Return instances of one series by UID; nobody is their patient."""
    images = ct(
        slices=count,
        rows=32,
        columns=32,
        PatientName="Doe^Jane",
        PatientID="J",
        AccessionNumber="1",
    )
    return {str(image.SOPInstanceUID): part10(image) for image in images}


@pytest.mark.timeout(600)
def test_what_was_answered_is_there_after_the_plug_is_pulled(tmp_path: Path) -> None:
    """kill -9 while four clients send: each acknowledged instance is recorded, its bytes whole."""
    files = _files(400)
    acknowledged: set[str] = set()
    started = threading.Event()

    def send(url: str, mine: list[str]) -> None:
        for begin in range(0, len(mine), 5):
            parts = [files[uid] for uid in mine[begin : begin + 5]]
            try:
                answer = httpx.post(
                    url, content=body(*parts), headers={"Content-Type": TYPE}, trust_env=False,
                    timeout=60,
                )  # fmt: skip
            except httpx.HTTPError:
                return
            acknowledged.update(values(answer, REFERENCED, INSTANCE))
            started.set()

    with _node(tmp_path) as (url, process):
        uids = list(files)
        clients = [threading.Thread(target=send, args=(url, uids[n::4])) for n in range(4)]
        for client in clients:
            client.start()
        assert started.wait(60)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
        for client in clients:
            client.join(60)
    settings = compose.settings(tmp_path / "ae_config.yaml")
    compose.prepare(settings)
    blobs = compose.blobs(settings)
    image = ct(slices=1)[0]
    (series,) = compose.ledger(settings).study(image.StudyInstanceUID).series
    stored = {str(each.sop_instance_uid): each.sha256 for each in series.instances}
    assert acknowledged
    assert acknowledged <= stored.keys()
    for uid, sha256 in stored.items():
        blobs.verify(sha256)
        assert blobs.path(sha256).read_bytes().endswith(files[uid][-2048:])
    blobs.sweep(stale_seconds=0)  # as an hour later
    assert not list((tmp_path / "store" / "spool").iterdir())


_KEEPER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from dicom_ai_node.receive.server import Limits
    from tests.receive.webdesk import WebNode
    with WebNode(Path(sys.argv[1]), None, Limits()) as node:
        print(node.url, flush=True)
        sys.stdin.readline()
    print(len(node.diary.arrivals), flush=True)
""")


def test_success_is_never_answered_when_the_disk_does_not_sync(tmp_path: Path) -> None:
    """From some moment on each fsync fails with EIO: 503 and A700, no arrival, nothing spooled."""
    strace = ("strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync")
    try:
        subprocess.run([*strace, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("strace does not run here")
    # strace counts for each thread: each of those that keep instances gets as far as its third,
    # and which thread keeps the last one of a request is not said.
    inject = ("-e", "inject=fsync:error=EIO:when=3+")
    (file,) = _files(1).values()
    with subprocess.Popen(
        [*strace, *inject, sys.executable, "-c", _KEEPER, str(tmp_path / "store")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = process.stdout.readline().strip() + "/studies"
        answers: list[httpx.Response] = []
        while not answers or (answers[-1].status_code == 202 and len(answers) < 20):
            answers.append(httpx.post(
                url, content=body(*[file] * 60), headers={"Content-Type": TYPE}, trust_env=False,
                timeout=120,
            ))  # fmt: skip
        rest, _ = process.communicate("\n", timeout=60)
    *some, last = answers
    assert last.status_code == 503
    assert set(values(last, FAILED, FAILURE)) == {0xA700}
    assert json.loads(last.content).keys() == {FAILED}
    kept = sum(len(values(answer, REFERENCED, INSTANCE)) for answer in some)
    assert int(rest.split()[-1]) == kept
    assert not list((tmp_path / "store" / "spool").iterdir())


def test_a_client_that_only_connects_costs_nothing(start_web: StartWeb) -> None:  # noqa: F811
    """Two hundred connections that never say a word; others are served."""
    node = start_web()
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(200)]
    assert node.store(ct(slices=1, rows=16, columns=16)[0]).status_code == 200
    for connection in silent:
        connection.close()
