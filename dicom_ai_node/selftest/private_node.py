"""A node of its own in a temporary folder: started, killed, started again, asked."""

import contextlib
import os
import resource
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from dicom_ai_node import compose
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import NeedsAttention, NodeError
from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.selftest.judge import MARK, Sent, as_sent, processes
from dicom_ai_node.selftest.receiver import AE_TITLE as RECEIVER
from dicom_ai_node.store.ledger import SqlLedger

T = TypeVar("T")

AE_TITLE, MODALITY = "SELFTEST", "MODALITY"
START_SECONDS = 180.0
WAIT_SECONDS = 60.0
_STOP_SECONDS = 60.0

_CONFIG = """\
receive:
  ae_title: {ae_title}
  host: 127.0.0.1
  port: {port}
  accept_from: [{modality}]
  processes: 1
store: {{folder: ./state, min_free_gb: 0}}
complete: {{quiet_seconds: 5, released_quiet_seconds: 1}}
infer: {{devices: [cpu], lease_seconds: 5}}
serve: {{host: 127.0.0.1, port: {web}, login: none}}
routes:
  - name: selftest
    when: {{Modality: MR}}
    run: segment
    model: hippocampus_mr
    write: [segmentation]
    to: [receiver]
destinations:
  receiver: {{ae_title: {receiver}, host: 127.0.0.1, port: {there}}}
"""


class NotAsPromised(NeedsAttention):
    """What was seen is not what is expected."""


def expect(is_so: object, seen: str) -> None:
    """Raise `NotAsPromised` with what was seen, unless it is so."""
    if not is_so:
        raise NotAsPromised(seen)


def until(found: Callable[[], T], what: str, seconds: float = WAIT_SECONDS) -> T:
    """Wait for something and return it; raise `NotAsPromised` if it does not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if it := found():
            return it
        time.sleep(0.1)
    raise NotAsPromised(f"not within {seconds:g} s: {what}")


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on, all different."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class PrivateNode:
    """A node with its own ports, ledger and store below `folder`.

    Parameters
    ----------
    program
        Starts a node with the configuration whose path is its last word.
    there
        The port of its only destination.
    """

    def __init__(self, folder: Path, program: Sequence[str], there: int) -> None:
        self.folder, self.config, self.log = (
            folder,
            folder / "ae_config.yaml",
            folder / "node.log",
        )
        self.mark = secrets.token_hex(8)
        self.answered: dict[str, Sent] = {}
        self._program = (*program, str(self.config))
        self._process: subprocess.Popen[bytes] | None = None
        self.port, web = free_ports(2)
        said = _CONFIG.format(
            ae_title=AE_TITLE,
            modality=MODALITY,
            receiver=RECEIVER,
            port=self.port,
            web=web,
            there=there,
        )
        self.config.write_text(said, encoding="utf-8")

    @property
    def store(self) -> Path:
        """Where its objects lie."""
        return self.folder / "state"

    def start(self) -> None:
        """Start it and wait until every role is ready.

        Raises
        ------
        NotAsPromised
            If it ends, or is not ready in time.
        """
        offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
                self._program,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, MARK: self.mark},
            )

        def is_ready() -> bool:
            expect(self._running.poll() is None, "the node does not start; its log says why")
            return b"node_ready" in self.log.read_bytes()[offset:]

        until(is_ready, "the node is ready", START_SECONDS)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise NotAsPromised("the node was not started")
        return self._process

    def kill(self) -> None:
        """Kill -9 the whole tree, and wait until no process of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running.pid, signal.SIGKILL)
        self._running.wait(_STOP_SECONDS)
        until(lambda: not processes(self.mark), "every process of the tree is gone", 20)

    def stop(self) -> int:
        """Stop it in good order and return the exit status."""
        self._running.send_signal(signal.SIGTERM)
        try:
            return self._running.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired as late:
            raise NotAsPromised("it does not stop") from late

    def end(self) -> None:
        """End whatever is left, in any case."""
        for pid in processes(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)

    def receivers(self) -> list[int]:
        """Return the processes that take objects in."""
        named = [
            pid
            for pid in processes(self.mark)
            if Path(f"/proc/{pid}/comm").read_text().startswith("receive")
        ]
        return named or [self._running.pid]

    def open_files(self) -> int:
        """Return how many descriptors the receivers have open."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.receivers())  # noqa: PTH208

    @contextmanager
    def full_disk(self, at_bytes: int) -> Iterator[None]:
        """Let no file of the receivers grow beyond a size for a while: as good as a full disk."""
        receivers = self.receivers()
        before = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in receivers]
        for pid, (_, hard) in zip(receivers, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (at_bytes, hard))
        try:
            yield
        finally:
            for pid, limits in zip(receivers, before, strict=True):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)

    def send(self, paths: Sequence[Path], calling: str = MODALITY) -> list[NodeError | str]:
        """Send as a modality does, and remember what was answered with success."""
        answers = self.offer(paths, calling)
        for path, answer in zip(paths, answers, strict=True):
            if isinstance(answer, str):
                self.answered.setdefault(*as_sent(path))
        return answers

    def offer(self, paths: Sequence[Path], calling: str = MODALITY) -> list[NodeError | str]:
        """Send, and return one answer for each file."""
        peer = DimsePeer(
            ae_title=AETitle(AE_TITLE),
            host="127.0.0.1",
            port=self.port,
            calling_ae_title=AETitle(calling),
        )
        return list(compose.sender(peer).send(paths))

    @contextmanager
    def looking(self) -> Iterator[SqlLedger]:
        """Open its ledger and close it again."""
        ledger = compose.ledger(compose.settings(self.config))
        try:
            yield ledger
        finally:
            ledger.database.close()

    def jobs(self) -> Sequence[Job]:
        """Return its jobs."""
        with self.looking() as ledger:
            return ledger.jobs((), 1000)

    def counts(self) -> dict[str, int]:
        """Return how many there are of what."""
        with self.looking() as ledger:
            return dict(ledger.counts())
