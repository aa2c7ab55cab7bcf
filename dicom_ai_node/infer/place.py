"""A place for one worker, and the process that is in it."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from dicom_ai_node.domain.devices import GpuSeen, SlotSeen
from dicom_ai_node.domain.errors import Ended, NodeError
from dicom_ai_node.domain.orders import Attempt, Outcome
from dicom_ai_node.domain.progress import HowFar, Progress


@dataclass(slots=True)
class Worker:
    """A living process of a slot."""

    process: SpawnProcess
    pipe: Connection
    started: float
    is_ready: bool = False

    def lives(self) -> bool:
        """Return whether the process runs, without reaping it: its number must stay its own."""
        assert self.process.pid is not None  # noqa: S101 - it has been started
        try:
            ended = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # reaped already
            return False
        return ended is None

    def kill(self) -> None:
        """End the process and what it has started, then reap it."""
        assert self.process.pid is not None  # noqa: S101 - it has been started
        # Multiprocessing itself reaps dead children whenever it starts another; the number of one
        # that is gone may belong to somebody else by now. Before the worker has made its own group
        # there is none to kill.
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()


@dataclass(slots=True)
class Slot:
    """A place for one worker; survives its workers."""

    name: str
    worker: Worker | None = None
    attempt: Attempt | None = None
    attempt_started: float = 0.0
    progress: Progress | None = None
    busy_seconds: float = 0.0
    gpu: GpuSeen | None = None
    failures: int = 0
    not_before: float = 0.0
    unusable: Mapping[str, str] = field(default_factory=dict)

    def begin(self, attempt: Attempt) -> None:
        """Take an attempt."""
        self.attempt, self.attempt_started, self.progress = attempt, time.monotonic(), None

    def end(self, ended: Ended, error: NodeError | None = None, detail: str = "") -> Outcome:
        """Return how the attempt has ended, and be free of it."""
        attempt, self.attempt = self.attempt, None
        assert attempt is not None  # noqa: S101 - only called for a slot that has one
        seconds = time.monotonic() - self.attempt_started
        self.busy_seconds += seconds
        return Outcome(attempt=attempt, ended=ended, error=error, detail=detail, seconds=seconds)

    def how_far(self) -> HowFar | None:
        """Return how far its attempt is, `None` if there is none or it has not said so yet."""
        if self.attempt is None or self.progress is None:
            return None
        return HowFar(self.attempt.job, self.attempt.fence, self.progress)

    def seen(self) -> SlotSeen:
        """Return how much it has worked, and what its worker said of its GPU."""
        running = time.monotonic() - self.attempt_started if self.attempt else 0.0
        return SlotSeen(device=self.name, busy_seconds=self.busy_seconds + running, gpu=self.gpu)
