"""A real node in a folder of its own: the process tree that `dicom-ai-node serve` starts."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

from dicom_ai_node import compose
from dicom_ai_node.domain.job import ENDED, Job, Stage
from dicom_ai_node.domain.ports import Ledger
from tests.peers.tools import find, free_port

ROOT = Path(__file__).parents[2]


def until(true: Callable[[], Any], seconds: float, what: str) -> Any:  # noqa: ANN401 - what it returns
    """Wait for something to become true and return it; say what did not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} s: {what}")


class Node:
    """One node: its configuration, its log, its process tree.

    `complete`, `infer` and `receive` are added to these sections, each beginning with a comma; `extra` holds
    whole sections. `under` is the command line of a program to start the tree with.
    """

    def __init__(
        self,
        folder: Path,
        routes: str,
        destinations: str,
        *,
        quiet_seconds: float = 3,
        complete: str = "",
        infer: str = "",
        receive: str = "",
        extra: str = "",
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "node.log"
        self.config = folder / "ae_config.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            dedent(f"""\
            receive: {{ae_title: AI_NODE, host: 127.0.0.1, port: {self.port}, accept_from: [SENDER, PACS, CT1]{receive}}}
            store: {{folder: {folder / "store"}, min_free_gb: 0.01}}
            complete: {{quiet_seconds: {quiet_seconds:g}, released_quiet_seconds: 0.5{complete}}}
            infer: {{devices: [cpu], lease_seconds: 4{infer}}}
            """)
            + dedent(extra)
            + "routes:\n"
            + routes
            + "destinations:\n"
            + destinations
        )
        self.environment = dict(os.environ)
        self.under: Sequence[str] = ()
        self._offset = 0
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start the tree and wait for nothing."""
        self._offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.under, sys.executable, "-m", "dicom_ai_node", "serve", str(self.config)],
                cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
                env={**self.environment, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip

    def ready(self) -> None:
        """Wait until every role is ready that was launched last."""

        def is_ready() -> bool:
            assert self.is_running, self.log.read_text()[self._offset :]
            return b"node_ready" in self.log.read_bytes()[self._offset :]

        until(is_ready, 200, "the node is ready")

    def start(self) -> "Node":
        """Start the tree and wait until every role is ready."""
        self.launch()
        self.ready()
        return self

    def tree(self) -> list[int]:
        """Return the process ids of the node and everything below it."""
        assert self._process
        found, queue = [], [self._process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for children in Path(f"/proc/{pid}/task").glob("*/children"):
                    queue += map(int, children.read_text().split())
        return found

    def kill(self) -> None:
        """Kill -9 of the whole tree at once, as a power cut would."""
        assert self._process
        for pid in self.tree():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> int:
        """Stop in good order and return the exit status."""
        assert self._process
        self._process.terminate()
        return self._process.wait(90)

    @property
    def is_running(self) -> bool:
        """Whether the tree's root lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def ledger(self) -> Ledger:
        """The ledger, as another process sees it."""
        return compose.ledger(compose.settings(self.config))

    def jobs(self, *stages: Stage) -> Sequence[Job]:
        """Return the jobs of the node."""
        return self.ledger.jobs(stages, 1000)

    def ended(self, count: int, seconds: float = 120) -> Sequence[Job]:
        """Wait until there are `count` jobs and all have ended, and return them."""

        def all_ended() -> Sequence[Job]:
            jobs = self.jobs()
            is_over = len(jobs) >= count and all(job.stage in ENDED for job in jobs)
            return jobs if is_over else ()

        return until(all_ended, seconds, f"{count} job(s) have ended")  # type: ignore[no-any-return]


@contextlib.contextmanager
def running(node: Node) -> Iterator[Node]:
    """Start a node and end it in any case."""
    try:
        yield node.start()
    finally:
        if node.is_running:
            node.kill()


def storescu(
    port: int, paths: Sequence[Path], *, calling: str = "SENDER"
) -> subprocess.CompletedProcess[str]:
    """Send files with DCMTK, as a modality would."""
    return subprocess.run(
        [find("storescu"), "-R", "-aet", calling, "-aec", "AI_NODE", "+sd",
         "127.0.0.1", str(port), *map(str, paths)],
        capture_output=True, text=True, check=False, env={**os.environ, "TCP_NODELAY": "1"},
    )  # fmt: skip
