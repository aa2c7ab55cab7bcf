"""Workers on this machine: one spawned process per slot, warm between attempts.

The executor knows nothing of models or of DICOM, and nothing of CUDA but the name of a device;
the same class runs inference slots and encoding slots.
"""

import contextlib
import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from threading import RLock

import structlog

from dicom_ai_node.domain.devices import SlotSeen
from dicom_ai_node.domain.errors import Ended, OutOfResources
from dicom_ai_node.domain.executor import Ear
from dicom_ai_node.domain.orders import Attempt, Outcome
from dicom_ai_node.domain.progress import HowFar
from dicom_ai_node.infer.place import Slot, Worker
from dicom_ai_node.infer.said import unpacked
from dicom_ai_node.infer.slot import run_slot

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS = 60.0
"""A worker that keeps dying while it loads is tried again this often, and not more often."""
LONGEST_MESSAGE_BYTES = 1 << 20
"""A worker that says more than this at once has gone mad."""
BREATH_SECONDS = 0.5
"""How long at most until a death is seen that left the pipe open in a grandchild."""

Factory = Callable[[str], Callable[[Attempt], None]]


class LocalProcesses:
    """Implements `domain.executor.Executor` with one spawned process per slot.

    Parameters
    ----------
    slots
        Names of devices, one per worker: `cpu`, `cuda:0`; a name may occur several times.
    factory
        Called in the worker with the device, returns what runs an attempt. Must be picklable. If
        what it returns has a mapping `unusable`, model to reason, it shows in `unusable()`.
    start_seconds
        How long a worker may load until it counts as failed.
    pause_seconds
        The first pause after a worker died while it loaded; doubled each time up to a minute.
    ear
        Whoever polls is interrupted when something is heard there.
    """

    def __init__(
        self,
        slots: Sequence[str],
        factory: Factory,
        start_seconds: float = 120.0,
        pause_seconds: float = 1.0,
        ear: Ear | None = None,
    ) -> None:
        self._factory = factory
        self._start_seconds = start_seconds
        self._pause_seconds = pause_seconds
        self._ear = ear
        self._lock = RLock()
        self._is_closed = False
        # The kernel ties a death signal to the *thread* that started the process, so one thread
        # that lives as long as the executor starts them all.
        self._spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
        self._slots = [Slot(name) for name in slots]
        for slot in self._slots:
            self._spawn(slot)

    def free(self) -> int:
        """Return how many attempts can start now; none while workers load or rest."""
        with self._lock:
            return len(self._free())

    def start(self, attempt: Attempt) -> None:
        """Start `attempt` on a free worker.

        Raises
        ------
        OutOfResources
            If no worker is free; ask `free()` first.
        """
        with self._lock:
            free = self._free()
            if not free:
                raise OutOfResources("no worker is free")
            slot, worker = free[0]
            message = pickle.dumps(attempt)
            slot.begin(attempt)
            # If it has died in this moment, the next poll finds it lost.
            with contextlib.suppress(OSError):
                worker.pipe.send_bytes(message)

    def poll(self, timeout_seconds: float) -> Sequence[Outcome]:
        """Return what has ended, waiting up to `timeout_seconds` for the first.

        Comes back earlier with nothing when a worker has become ready, so that it gets work, and
        when somebody says that there is some.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            with self._lock:
                if self._is_closed:
                    return ()
                ready_before = len(self._free())
                ended = [outcome for slot in self._slots for outcome in self._looked_after(slot)]
                if ended or len(self._free()) > ready_before:
                    return ended
                pipes = [slot.worker.pipe for slot in self._slots if slot.worker]
            left = deadline - time.monotonic()
            if left <= 0:
                return ()
            if self._listen(pipes, min(left, BREATH_SECONDS)):
                return ()

    def running(self) -> Sequence[Attempt]:
        """Return what runs now."""
        with self._lock:
            return [slot.attempt for slot in self._slots if slot.attempt]

    def progress(self) -> Sequence[HowFar]:
        """Return how far what runs is, as the workers have said by the last poll."""
        with self._lock:
            return [told for slot in self._slots if (told := slot.how_far())]

    def slots_seen(self) -> Sequence[SlotSeen]:
        """Return how much every slot has worked since the beginning."""
        with self._lock:
            return [slot.seen() for slot in self._slots]

    def unusable(self) -> Mapping[str, str]:
        """Return models that failed their golden test on this machine, and why."""
        with self._lock:
            return {model: why for slot in self._slots for model, why in slot.unusable.items()}

    def close(self) -> None:
        """End all workers and everything that they have started."""
        with self._lock:
            self._is_closed = True
            for slot in self._slots:
                self._end(slot)
        self._spawner.shutdown()

    def _free(self) -> list[tuple[Slot, Worker]]:
        return [
            (slot, slot.worker)
            for slot in self._slots
            if slot.worker and slot.worker.is_ready and slot.attempt is None
        ]

    def _spawn(self, slot: Slot) -> None:
        ours, theirs = get_context("spawn").Pipe()
        process = get_context("spawn").Process(
            target=run_slot, args=(theirs, os.getpid(), slot.name, self._factory), daemon=False
        )
        self._spawner.submit(process.start).result()
        theirs.close()
        slot.worker = Worker(process, ours, time.monotonic())

    def _listen(self, pipes: Sequence[Connection], seconds: float) -> bool:
        """Wait for workers; return whether it was somebody else who wanted to be heard."""
        ears = [] if self._ear is None else [self._ear.fileno()]
        try:
            heard = wait([*pipes, *ears], seconds)  # the pipe of a dead worker is readable too
        except (OSError, ValueError):  # closed by another thread; the next round sees it
            time.sleep(min(seconds, 0.01))
            return False
        if self._ear is None or ears[0] not in heard:
            return False
        self._ear.hush()
        return True

    def _looked_after(self, slot: Slot) -> list[Outcome]:
        now = time.monotonic()
        worker = slot.worker
        if worker is None:
            if now >= slot.not_before:
                self._spawn(slot)
            return []
        heard = self._heard(slot, worker)
        if heard:
            return heard
        # One that still has something to say is listened to first, even if it has died since.
        if not (heard is None or worker.lives()):
            return self._lost(slot, worker)
        if slot.attempt and now - slot.attempt_started > slot.attempt.limit_seconds:
            outcome = slot.end(Ended.TIMEOUT, detail="still running at its limit")
            self._replace(slot)
            return [outcome]
        if not worker.is_ready and now - worker.started > self._start_seconds:
            self._rest(slot, "slow")
        return []

    def _heard(self, slot: Slot, worker: Worker) -> list[Outcome] | None:
        """Return what one message says has ended; `None` for one that says how far work is."""
        try:
            if not worker.pipe.poll():
                return []
            said = unpacked(worker.pipe.recv_bytes(LONGEST_MESSAGE_BYTES))
        except (EOFError, OSError):
            # The pipe is gone, so the worker is dead or about to be.
            return self._lost(slot, worker)
        match said.what:
            case "progress" if slot.attempt:
                slot.progress = said.progress
                return None
            case "ready":
                worker.is_ready, slot.failures = True, 0
            case "done" if slot.attempt:
                slot.unusable, slot.gpu = said.unusable, said.gpu
                ended = Ended.OK if said.error is None else Ended.ERROR
                return [slot.end(ended, said.error)]
            case _:
                self._rest(slot, str(said.error))
        slot.unusable, slot.gpu = said.unusable, said.gpu
        return []

    def _lost(self, slot: Slot, worker: Worker) -> list[Outcome]:
        worker.kill()
        status = worker.process.exitcode
        if not worker.is_ready:
            self._rest(slot, status)
            return []
        log.error("worker_lost", device=slot.name, status=status)
        lost = [slot.end(Ended.LOST, detail=f"exit {status}")] if slot.attempt else []
        self._replace(slot)
        return lost

    def _replace(self, slot: Slot) -> None:
        self._end(slot)
        self._spawn(slot)

    def _rest(self, slot: Slot, status: object) -> None:
        """Let a slot whose worker could not load rest, so that a crash loop does not spin."""
        self._end(slot)
        pause = min(self._pause_seconds * 2**slot.failures, LONGEST_PAUSE_SECONDS)
        slot.failures += 1
        slot.not_before = time.monotonic() + pause
        log.error("worker_not_ready", device=slot.name, status=status, seconds=pause)

    @staticmethod
    def _end(slot: Slot) -> None:
        if slot.worker:
            slot.worker.kill()
            slot.worker.pipe.close()
            slot.worker = None
