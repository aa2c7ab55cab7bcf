"""One process tree: roles are watched, started again, and stopped in order."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

SUPERVISOR = """
import sys
from dicom_ai_node import log, supervise
log.configure()
supervise.HEART_SECONDS = 0.2
supervise.SILENT_SECONDS = float(sys.argv[2])
sys.path.insert(0, sys.argv[1])
from role import run
role = supervise.Role(name="role", run=run)
sys.exit(supervise.Supervisor([role], grace_seconds=5).run())
"""

ROLE = """
import os, signal, sys, time
from pathlib import Path
from dicom_ai_node.supervise import stop_by_signal
here = Path(__file__).parent
def run(heart):
    stop = stop_by_signal()
    # Only now: whoever reads this may send the signal at once.
    with (here / "starts").open("a") as starts:
        starts.write(f"{{os.getpid()}}\\n")
    while not stop.wait(0.05):
        {body}
    return 0
"""


INTERRUPTED = """
import os, random, signal, sys
from dicom_ai_node.supervise import Stop
random.seed(int(sys.argv[1]))
for _ in range(3000):
    stop = Stop()
    signal.signal(signal.SIGALRM, lambda *_: stop.set())
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-4))
    while not stop.wait(0):
        pass
    os.close(stop._descriptor)
"""


class Tree:
    """A supervisor with one role whose loop is `body`."""

    def __init__(
        self, folder: Path, body: str, silent_seconds: float = 30, **environment: str
    ) -> None:
        self.folder = folder
        (folder / "supervisor.py").write_text(SUPERVISOR)
        (folder / "role.py").write_text(ROLE.format(body=textwrap.indent(body, "        ").strip()))
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, folder / "supervisor.py", folder, str(silent_seconds)],
                stderr=log, env={**os.environ, "PYTHONPATH": str(Path.cwd()), **environment},
            )  # fmt: skip

    def starts(self, count: int) -> list[int]:
        """Wait until the role has been started `count` times and return its process ids."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            path = self.folder / "starts"
            pids = [int(line) for line in path.read_text().split()] if path.exists() else []
            if len(pids) >= count:
                return pids
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the tree a folder, and the repository as its working directory."""
    monkeypatch.chdir(Path(__file__).parents[1])
    return tmp_path


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not _is_alive(pid)


def test_a_node_stops_in_good_order(folder: Path) -> None:
    """SIGTERM ends every role by itself, and the status says that all went well."""
    tree = Tree(folder, "heart.beat()")
    (pid,) = tree.starts(1)
    time.sleep(0.5)
    tree.process.send_signal(signal.SIGTERM)
    assert tree.process.wait(10) == 0
    assert _gone(pid)
    assert "node_ready" in (folder / "log").read_text()


def test_a_signal_may_come_in_the_middle_of_waiting_for_it() -> None:
    """Whatever the main thread does just then, the handler waits for no lock of its own thread."""
    subprocess.run([sys.executable, "-c", INTERRUPTED, "7"], check=True, timeout=120)


def test_a_role_that_dies_is_started_again(folder: Path) -> None:
    """One role's death is not the node's."""
    tree = Tree(folder, "heart.beat()")
    (first,) = tree.starts(1)
    os.kill(first, signal.SIGKILL)
    second = tree.starts(2)[-1]
    assert second != first
    tree.process.terminate()
    assert tree.process.wait(10) == 0


def test_a_role_that_falls_silent_is_killed_and_started_again(folder: Path) -> None:
    """A hanging role is worse than a dead one, so it is made a dead one."""
    hang_once = "heart.beat()\nif len((here / 'starts').read_text().split()) == 1: time.sleep(60)"
    tree = Tree(folder, hang_once, silent_seconds=5)
    first, second = tree.starts(2)[:2]
    assert _gone(first)
    assert _is_alive(second)
    tree.process.terminate()
    assert tree.process.wait(10) == 0, (folder / "log").read_text()


def test_no_role_outlives_a_supervisor_that_was_killed(folder: Path) -> None:
    """kill -9 of the root leaves no orphan that holds the port."""
    tree = Tree(folder, "heart.beat()")
    (pid,) = tree.starts(1)
    time.sleep(0.3)
    tree.process.kill()
    tree.process.wait(10)
    assert _gone(pid)


def test_a_role_that_does_not_stop_is_ended(folder: Path) -> None:
    """A stop takes as long as its grace and no longer; the status tells."""
    tree = Tree(folder, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nheart.beat()")
    (pid,) = tree.starts(1)
    time.sleep(0.5)
    tree.process.terminate()
    assert tree.process.wait(15) == 1
    assert _gone(pid)


def test_systemd_hears_that_the_node_is_ready_alive_and_stopping(folder: Path) -> None:
    """The unit is started when every role is ready, and its watchdog is fed while all beat."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(20)
        tree = Tree(folder, "heart.beat()", NOTIFY_SOCKET=str(folder / "notify"))
        assert systemd.recv(100) == b"READY=1"
        assert systemd.recv(100) == b"WATCHDOG=1"
        tree.process.terminate()
        said = systemd.recv(100)
        while said == b"WATCHDOG=1":
            said = systemd.recv(100)
        assert said == b"STOPPING=1"
        assert tree.process.wait(10) == 0
