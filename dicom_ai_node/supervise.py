"""One process tree: start the roles, watch their hearts, start them again, stop them in order.

Every role is a process of its own that could also be started alone. It begins as a copy of this
one, which has read the program already: seven times two thousand modules would take seconds, and
memory. So this process has no other thread and no open database. A role says through a pipe that it
is ready, and then that it still lives; systemd hears of both (sd_notify(3)).
"""

import ctypes
import os
import resource
import select
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.context import ForkProcess

import structlog
from sdnotify import SystemdNotifier

log = structlog.get_logger()

HEART_SECONDS = 5.0
"""A role speaks at least this often."""
SILENT_SECONDS = 90.0
"""A role that has not spoken for so long is taken for hung and killed."""
START_SECONDS = 240.0
"""How long a role may take until it is ready: loading and testing models takes its time."""
LONGEST_PAUSE_SECONDS = 60.0
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
_STOPS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One process: its name, and what it does until it ends with a status."""

    name: str
    run: Callable[["Heart"], int]


class Heart:
    """The role's end of the pipe. Without a pipe (a role started alone) it beats unheard."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._last = 0.0

    def beat(self) -> None:
        """Say `ready`, and from then on `alive`, but not more often than anyone needs."""
        now = time.monotonic()
        if self._descriptor is not None and now - self._last > HEART_SECONDS / 2:
            self._last = now
            os.write(self._descriptor, b".")


class Stop:
    """Whether a role is to stop, for its threads and for the handler of a signal.

    A handler runs in the middle of whatever the main thread does. `threading.Event` has a lock
    that this thread may hold just then, while it waits: then nobody would ever get it again.
    One of a process, as long as that lives.
    """

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_set = False

    def is_set(self) -> bool:
        """Return whether it has been said."""
        return self._is_set

    def set(self) -> None:
        """Say it; whoever waits wakes up."""
        self._is_set = True
        os.eventfd_write(self._descriptor, 1)

    def wait(self, seconds: float) -> bool:
        """Wait until it is said, but no longer than so many seconds; return whether it was."""
        if not self._is_set:
            bell = select.poll()
            bell.register(self._descriptor, select.POLLIN)
            bell.poll(1000 * seconds)
        return self._is_set


def stop_by_signal() -> Stop:
    """Return what the signals to stop say from now on."""
    stop = Stop()

    def heard(number: int, _frame: object) -> None:
        # Both the supervisor and systemd may say it; the second must not cut the first short.
        signal.signal(number, signal.SIG_IGN)
        stop.set()

    for number in _STOPS:
        signal.signal(number, heard)
    return stop


def die_with_parent() -> None:
    """Let the kernel kill this process when the one that started it is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def leave_no_core() -> None:
    """Let no process from here on write its memory to the disk when it crashes.

    It holds secrets and patients. The kernel keeps the limit for everything that is started.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@dataclass(slots=True)
class _Running:
    role: Role
    process: ForkProcess
    pipe: int
    started: float
    heard: float | None = None
    failures: int = 0


@dataclass(slots=True)
class Supervisor:
    """Runs roles until it is told to stop."""

    roles: Sequence[Role]
    grace_seconds: float = 45.0
    notifier: SystemdNotifier = field(default_factory=SystemdNotifier)
    on_ready: Callable[[], None] = lambda: None
    _running: dict[str, _Running] = field(default_factory=dict)
    _resting: dict[str, tuple[float, int]] = field(default_factory=dict)
    _is_stopping: bool = False
    _is_ready: bool = False

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return 0 if every role then ended by itself."""
        for number in _STOPS:
            signal.signal(number, self._stop)
        with selectors.DefaultSelector() as ears:
            for role in self.roles:
                self._start(role, 0, ears)
            while not self._is_stopping:
                self._listen(ears)
                self._look_after(ears)
            return self._end()

    def _stop(self, _number: int, _frame: object) -> None:
        self._is_stopping = True

    def _start(self, role: Role, failures: int, ears: selectors.BaseSelector) -> None:
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        deaf = [ours, *(one.pipe for one in self._running.values() if one.pipe >= 0)]
        process = get_context("fork").Process(
            target=_become, args=(role, theirs, deaf, os.getpid()), name=role.name
        )
        with _undisturbed():
            process.start()
        os.close(theirs)
        running = _Running(role, process, ours, time.monotonic(), failures=failures)
        self._running[role.name] = running
        ears.register(ours, selectors.EVENT_READ, running)
        log.info("role_started", role=role.name, pid=process.pid)

    def _listen(self, ears: selectors.BaseSelector) -> None:
        for key, _events in ears.select(timeout=1.0):
            running: _Running = key.data
            if os.read(running.pipe, 4096):
                running.heard = time.monotonic()
            else:
                ears.unregister(running.pipe)
                os.close(running.pipe)
                running.pipe = -1

    def _look_after(self, ears: selectors.BaseSelector) -> None:
        now = time.monotonic()
        for running in list(self._running.values()):
            if running.process.exitcode is not None:
                self._bury(running, ears, now)
            elif self._is_hung(running, now):
                log.error("role_hung", role=running.role.name, pid=running.process.pid)
                running.process.kill()
        for role in self.roles:
            due, failures = self._resting.get(role.name, (now, 0))
            if role.name not in self._running and due <= now:
                self._start(role, failures, ears)
        if all(
            role.name in self._running and self._running[role.name].heard for role in self.roles
        ):
            if not self._is_ready:
                self._is_ready = True
                self.notifier.notify("READY=1")
                log.info("node_ready")
                self.on_ready()
            self.notifier.notify("WATCHDOG=1")

    def _bury(self, running: _Running, ears: selectors.BaseSelector, now: float) -> None:
        name, lived = running.role.name, now - running.started
        if running.pipe >= 0:
            ears.unregister(running.pipe)
            os.close(running.pipe)
        del self._running[name]
        failures = 1 if lived > LONGEST_PAUSE_SECONDS else running.failures + 1
        pause = min(0.25 * 2**failures, LONGEST_PAUSE_SECONDS)
        self._resting[name] = (now + pause, failures)
        log.error("role_ended", role=name, status=running.process.exitcode, seconds=pause)

    @staticmethod
    def _is_hung(running: _Running, now: float) -> bool:
        if running.heard is None:
            return now - running.started > START_SECONDS
        return now - running.heard > SILENT_SECONDS

    def _end(self) -> int:
        """Stop the roles in the order in which a study travels, so that nothing piles up."""
        self.notifier.notify("STOPPING=1")
        deadline = time.monotonic() + self.grace_seconds
        for running in self._running.values():
            running.process.terminate()
        clean = True
        for running in self._running.values():
            running.process.join(max(0.1, deadline - time.monotonic()))
            if running.process.exitcode is None:
                running.process.kill()
                running.process.join()
            status = running.process.exitcode
            clean = clean and status == 0
            log.info("role_stopped", role=running.role.name, status=status)
        return 0 if clean else 1


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no signal to stop come between a fork and the moment at which the copy is itself."""
    if threading.active_count() > 1:
        raise RuntimeError("a process with other threads cannot be copied")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become(role: Role, heart: int, deaf: Sequence[int], parent: int) -> None:
    """Be a role, in the copy, and end with its status."""
    die_with_parent()
    ctypes.CDLL(None).prctl(PR_SET_NAME, role.name.encode()[:15])
    if os.getppid() != parent:
        os._exit(1)  # it was gone before the kernel knew what to do then
    for descriptor in deaf:
        os.close(descriptor)
    for number in _STOPS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    try:
        status = role.run(Heart(heart))
    except Exception:
        log.exception("bug")
        status = 1
    sys.exit(status)


def this_program(*arguments: str) -> tuple[str, ...]:
    """Return the command line that runs this program again with `arguments`."""
    return (sys.executable, "-m", "dicom_ai_node", *arguments)
