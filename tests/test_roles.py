"""What a role does when something in it breaks: it says so and ends, to be started again."""

import json
import os
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC
from pathlib import Path

import pytest
from apscheduler.events import EVENT_JOB_ERROR
from apscheduler.schedulers.background import BackgroundScheduler
from pynetdicom import AE
from sqlalchemy import func, select

from dicom_ai_node import compose, roles
from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.store.archive_tables import held_instances
from dicom_ai_node.store.bell import Bell
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.supervise import Heart, Stop
from tests.certificates import Authority
from tests.holding import holding
from tests.journey.node import until
from tests.peers.tools import free_port
from tests.phantoms import CANARY, ct


def _watched(chore: object) -> tuple[int, Stop]:
    stop = Stop()
    threading.Timer(4, stop.set).start()
    loop = roles.Loop(chore, stop)  # type: ignore[arg-type]
    return roles._watch([loop], Heart(None), stop), stop


def test_a_loop_goes_on_while_the_database_is_busy() -> None:
    """What may pass by itself ends nothing."""

    def busy() -> None:
        raise OutOfResources("locked")

    status, _ = _watched(busy)
    assert status == 0


def test_a_loop_is_woken_and_wakes_the_next(tmp_path: Path) -> None:
    """It rests until somebody rings; when it has done something it rings in turn, and rests again."""
    stop, work = Stop(), [0, 3]
    mine, next_one = Bell(tmp_path / "mine"), Bell(tmp_path / "next")
    loop = roles.Loop(work.pop, stop, mine, [next_one], rest=lambda _: 60.0)
    loop.start()
    assert until(lambda: not work, 30, "it has done what there was, and looked again")
    began = time.monotonic()
    next_one.wait(30)
    assert time.monotonic() - began < 15
    work.append(0)
    time.sleep(1.0)
    assert work, "it looked for work though nobody had rung"
    mine.ring()
    assert until(lambda: not work, 30, "it was woken")
    stop.set()
    loop.hurry()
    loop.join(30)
    assert not loop.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_loop_ends_the_role() -> None:
    """Half a role that looks alive would be worse than one that is started again."""

    def broken() -> None:
        raise ZeroDivisionError

    began = time.monotonic()
    status, _ = _watched(broken)
    assert status == 1
    assert time.monotonic() - began < 15


def test_a_bug_in_a_timer_ends_the_role_and_quotes_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A settling that fails for ever would otherwise leave every study waiting, unseen."""

    def trip() -> None:
        raise ValueError(CANARY)

    stop, broken = threading.Event(), threading.Event()
    clockwork = BackgroundScheduler(timezone=UTC)
    clockwork.add_listener(lambda event: roles._bug_in_timer(event, broken), EVENT_JOB_ERROR)
    clockwork.add_job(trip, "interval", seconds=0.2)
    clockwork.start()
    status = roles._watch([roles.Loop(lambda: 0, stop)], Heart(None), stop, broken)
    clockwork.shutdown()
    assert status == 1
    said = capsys.readouterr().err
    assert '"exception": "ValueError at' in said
    assert CANARY not in said


ONE_OF_THE_TREE = """
import sys
from pathlib import Path
from dicom_ai_node import compose, roles
from dicom_ai_node.supervise import Heart, Stop
tree = {role.name: role for role in roles.tree(compose.settings(Path(sys.argv[1])))}
sys.exit(tree[sys.argv[2]].run(Heart(None)))
"""


def _names(folder: Path, serve: str) -> list[str]:
    """Return the names of the roles of a node with this section `serve`."""
    path = folder / "ae_config.yaml"
    path.write_text(
        f"receive: {{ae_title: AI_NODE, host: 127.0.0.1, port: {free_port()}, accept_from: [CT1]}}\n"
        f"store: {{folder: {folder / 'store'}}}\n"
        "routes:\n  - {name: x, when: {}, run: segment, model: ct_tissue, write: segmentation, to: []}"
        f"\n{serve}\n"
    )
    found = roles.tree(compose.settings(path))
    receiver = next(role for role in found if role.name.startswith("receive"))
    for descriptor in receiver.run.args[1]:  # type: ignore[attr-defined] - a partial
        os.close(descriptor)
    return [role.name for role in found]


def test_headers_are_read_ahead_where_http_is_answered(tmp_path: Path) -> None:
    """Beside the process that answers, not in it; a node that answers no HTTP has neither."""
    assert "index" not in _names(tmp_path, "")
    assert _names(tmp_path, f"serve: {{port: {free_port()}, login: none}}")[-2:] == ["web", "index"]


def test_what_has_come_is_indexed_before_anybody_asks(tmp_path: Path) -> None:
    """By a process of its own, until it is told to stop."""
    with holding(tmp_path) as node:
        command = [sys.executable, "-m", "dicom_ai_node", "serve", str(tmp_path / "ae_config.yaml")]
        process = subprocess.Popen([*command, "--role", "index"], stderr=subprocess.DEVNULL)
        try:
            node.take(ct(slices=3, rows=8, columns=8))
            database = open_database(node.config.store.database_url)

            def known() -> int:
                with database.reading() as connection:
                    query = select(func.count()).select_from(held_instances)
                    return int(connection.scalar(query) or 0)

            assert until(lambda: known() == 3, 60, "the headers are read")
            process.terminate()
            assert process.wait(30) == 0
            database.close()
        finally:
            process.kill()
            process.wait(30)


def test_receivers_share_both_ports(tmp_path: Path) -> None:
    """Each of two processes answers in clear text and over TLS, until both are told to stop."""
    authority = Authority(tmp_path / "ca")
    own = authority.issue("node", "localhost")
    tls = {
        "port": free_port(), "certificate": str(own.certificate), "key": str(own.key),
        "trusted": str(authority.certificate),
    }  # fmt: skip
    receive = {
        "ae_title": "AI_NODE", "host": "127.0.0.1", "port": free_port(), "tls": tls,
        "accept_from": ["CT1"],
    }  # fmt: skip
    path = tmp_path / "ae_config.yaml"
    path.write_text(
        f"receive: {json.dumps(receive)}\nstore: {{folder: {tmp_path / 'store'}, min_free_gb: 0}}\n"
        "routes:\n  - {name: x, when: {}, run: segment, model: ct_tissue, write: segmentation, to: []}\n"
    )
    config = compose.settings(path)
    compose.prepare(config)
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(own.certificate, own.key)
    for name in ("receive-1", "receive-2"):  # one at a time: it must be this one that answers
        process = subprocess.Popen(
            [sys.executable, "-c", ONE_OF_THE_TREE, path, name], stderr=subprocess.DEVNULL
        )
        try:
            until(lambda: _echoes(receive["port"], None), 120, "clear text is answered")
            assert _echoes(tls["port"], (context, "127.0.0.1"))
        finally:
            process.terminate()
            assert process.wait(60) == 0


def _echoes(port: object, tls: object) -> bool:
    ae = AE("CT1")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
    ae.add_requested_context("1.2.840.10008.1.1")
    association = ae.associate("127.0.0.1", port, ae_title="AI_NODE", tls_args=tls)
    if not association.is_established:
        return False
    status = association.send_c_echo().get("Status")
    association.release()
    return bool(status == 0)
