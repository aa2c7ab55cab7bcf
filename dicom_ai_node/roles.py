"""The roles of the process tree: what each process does from its start to its SIGTERM.

`receive` may run several times on the same listening sockets; `work` holds the workers; `dispatch`
holds one thread per destination, one more where that has to prove that it keeps what it was sent,
and one per target of notices; where the node answers HTTP, `web` does so, and `index` reads the
headers by which things are found. They meet in the ledger, and wake each other.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC
from functools import partial

import structlog
from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.errors import TryAgain
from dicom_ai_node.infer.tidings import TELL_SECONDS
from dicom_ai_node.infer.usage import SAMPLE_SECONDS
from dicom_ai_node.pipeline import Work
from dicom_ai_node.store.bell import Bell
from dicom_ai_node.store.indexing import AT_ONCE
from dicom_ai_node.supervise import HEART_SECONDS, Heart, Role, Stop, stop_by_signal

log = structlog.get_logger()

IDLE_SECONDS, QUIET_SECONDS = 1.0, 3.0
"""How long a loop with nothing to do waits, if nobody rings, before it asks the ledger again; and
how long when it has asked in vain for a while."""
QUIET_ROUNDS = 5
BUSY_SECONDS = 0.25
"""How long it waits where the ledger did not answer."""
RETENTION_SECONDS = 600
VERIFY_SECONDS = 3600
LONGEST_ROUND_SECONDS = 900.0
"""A loop that takes longer for one round hangs: a large study to a slow peer is done by then."""
_LESS_URGENT = 5
"""Niceness: about a quarter of a processor that others would have all of."""
STOP_SECONDS = 20.0
"""How long running attempts may go on after SIGTERM before they are given back."""


def tree(config: NodeConfig) -> list[Role]:
    """Return the roles of the tree, receivers first, with the ports open from now on."""
    descriptors = [one.detach() for one in compose.listening_sockets(config)]
    _advise(config)
    receivers = [
        Role(name=f"receive-{number}", run=partial(receive, config, descriptors))
        for number in range(1, config.receive.processes + 1)
    ]
    alone = (work, dispatch, *(() if config.serve is None else (web, index)))
    return receivers + [Role(name=role.__name__, run=partial(role, config)) for role in alone]


class Loop(threading.Thread):
    """Does `chore` again and again until it is stopped, resting when there was nothing to do.

    It rests until `bell` rings, or for as long as `rest` says, in seconds, given the longest that
    it may. When something was done it rings whoever comes `after`.

    A busy database is no reason to end. Anything else is a bug: the thread ends, and with it the
    role, which the supervisor starts again.
    """

    def __init__(
        self,
        chore: Callable[[], object],
        stop: Stop,
        bell: Bell | None = None,
        after: Sequence[Bell] = (),
        rest: Callable[[float], float] = lambda longest_seconds: longest_seconds,
    ) -> None:
        super().__init__(daemon=True)
        self._chore = chore
        self._stopped = stop
        self._bell = bell
        self._after = after
        self._rest = rest
        self._rounds_in_vain = 0
        self.seen_at = time.monotonic()

    def run(self) -> None:
        """Go round."""
        while not self._stopped.is_set():
            self.seen_at = time.monotonic()
            try:
                if self._chore():
                    self._rounds_in_vain = 0
                    for bell in self._after:
                        bell.ring()
                else:
                    self._rounds_in_vain += 1
                    is_quiet = self._rounds_in_vain > QUIET_ROUNDS
                    self._wait(self._rest(QUIET_SECONDS if is_quiet else IDLE_SECONDS))
            except TryAgain:
                log.exception("ledger_busy")
                self._stopped.wait(BUSY_SECONDS)

    def hurry(self) -> None:
        """Let it look at once whether it is to stop."""
        if self._bell is not None:
            self._bell.ring()

    def _wait(self, seconds: float) -> None:
        if self._bell is None:
            self._stopped.wait(seconds)
        else:
            self._bell.wait(seconds)


def receive(settings: NodeConfig, descriptors: Sequence[int], heart: Heart) -> int:
    """Be one receiver on inherited sockets, or on its own if there are none."""
    stop = stop_by_signal()
    listener, tls = compose.listener(settings), compose.reception_tls(settings)
    listening = [socket.socket(fileno=one) for one in descriptors]
    if not listening:
        listening = compose.listening_sockets(settings)
        _advise(settings)
    entrances = compose.entrances(settings, listening, tls)
    server = threading.Thread(target=listener.serve, args=(entrances,), daemon=True)
    status = _watch([server, *(() if tls is None else (tls.renewal,))], heart, stop)
    listener.close(grace_seconds=STOP_SECONDS)
    return status


def _advise(settings: NodeConfig) -> None:
    for sentence in compose.dicom_advice(settings):
        log.warning("receive_advice", reason=sentence)


def work(settings: NodeConfig, heart: Heart) -> int:
    """Settle, route, infer and encode."""
    stop, bells = stop_by_signal(), compose.bells(settings)
    desk, auditor = compose.work(settings, bells), compose.auditor(settings)
    broken = threading.Event()
    always = {"coalesce": True, "misfire_grace_time": None}
    clockwork = BackgroundScheduler(timezone=UTC, job_defaults=always)
    clockwork.add_listener(lambda event: _bug_in_timer(event, broken), EVENT_JOB_ERROR)
    timers: tuple[tuple[Callable[[], object], float], ...] = (
        (desk.keep_alive, desk.limits.lease.total_seconds() / 4),
        (compose.retention(settings), RETENTION_SECONDS),
        (desk.tidy, RETENTION_SECONDS),
        (compose.tidings(settings, desk).tell, TELL_SECONDS),
        (compose.sampler(settings, desk).sample, SAMPLE_SECONDS),
        (auditor.expire, RETENTION_SECONDS),
        (auditor.verify, VERIFY_SECONDS),
    )
    for chore, seconds in timers:
        clockwork.add_job(_patient(chore), "interval", seconds=seconds)
    clockwork.start()
    # Not ready before a worker is: its models are loaded and have reproduced their golden results.
    while not (desk.inference.free() or stop.is_set()):
        desk.inference.poll(IDLE_SECONDS)

    def infer() -> int:
        return desk.infer() + desk.collect(desk.inference, QUIET_SECONDS)

    def encode() -> int:
        return desk.encode() + desk.collect(desk.encoding, QUIET_SECONDS)

    loops = [
        Loop(
            partial(desk.settle, compose.now()),
            stop,
            bells.complete,
            [bells.infer],
            # A series that nobody has released is due by the clock, perhaps after a second.
            rest=lambda _: desk.until_due(IDLE_SECONDS),
        ),
        # These two wait in `collect`, for their workers and for their bell.
        Loop(infer, stop, after=[bells.encode], rest=_not_at_all),
        Loop(encode, stop, after=list(bells.deliver.values()), rest=_not_at_all),
    ]
    status = _watch(loops, heart, stop, broken)
    clockwork.shutdown()
    _finish(desk)
    return status


def dispatch(settings: NodeConfig, heart: Heart) -> int:
    """Deliver to each destination, tell each target, keep the audit trail, at its own pace."""
    stop, bells = stop_by_signal(), compose.bells(settings)
    desk = compose.dispatch(settings)
    # A thread that waits for a silent peer must not keep the process from ending: what it was
    # sending is due again when its lease runs out, under the same UIDs.
    loops = [Loop(partial(desk.deliver, it), stop, bells.deliver[it]) for it in desk.senders]
    proving, telling = compose.proving_desk(settings), compose.telling(settings)
    loops += [Loop(partial(proving.ask, name), stop) for name in proving.askers]
    loops.append(Loop(telling.next, stop))
    tells = compose.notifier(settings)
    if tells.targets:
        loops.append(Loop(tells.gather, stop))
        loops += [Loop(partial(tells.tell, name), stop) for name in tells.targets]
    auditor = compose.auditor(settings)
    # Each time what has come in the last second is read: a transfer is told of when it is over.
    loops.append(Loop(auditor.seal, stop))
    if auditor.way is not None:
        loops.append(Loop(auditor.send, stop))
    return _watch(loops, heart, stop)


def web(settings: NodeConfig, heart: Heart) -> int:
    """Answer HTTP."""
    from dicom_ai_node.web import WebServer  # noqa: PLC0415 - see the module

    stop = stop_by_signal()
    server = WebServer(settings)
    status = _watch([server], heart, stop)
    server.close()
    return status


def index(settings: NodeConfig, heart: Heart) -> int:
    """Read headers ahead, so that whoever asks first need not wait for what came in the night.

    In a process of its own: in another it would take turns with what stores and answers; and on
    processors that are all busy it comes after them.
    """
    stop = stop_by_signal()
    os.nice(_LESS_URGENT)
    archive = compose.archive(settings)
    # A rest after every batch that was not full: many small ones would keep receivers from the
    # ledger while instances come in one by one.
    return _watch([Loop(lambda: archive.catch_up() == AT_ONCE, stop)], heart, stop)


def _not_at_all(_longest_seconds: float) -> float:
    return 0.0


def _bug_in_timer(event: JobExecutionEvent, broken: threading.Event) -> None:
    fault = event.exception
    log.error("bug", exc_info=(type(fault), fault, fault.__traceback__))
    broken.set()


def _watch(
    threads: Sequence[threading.Thread],
    heart: Heart,
    stop: Stop,
    broken: threading.Event | None = None,
) -> int:
    """Run threads until the signal to stop, or until one of them or a timer ended by a bug.

    The heart beats while every loop goes round; a destination may take its time to answer.
    """
    for thread in threads:
        thread.start()
    while not stop.wait(HEART_SECONDS / 2) and all(thread.is_alive() for thread in threads):
        if broken is not None and broken.is_set():
            break
        now = time.monotonic()
        loops = [thread for thread in threads if isinstance(thread, Loop)]
        if all(now - loop.seen_at < LONGEST_ROUND_SECONDS for loop in loops):
            heart.beat()
    status = 0 if stop.is_set() else 1
    stop.set()
    deadline = time.monotonic() + STOP_SECONDS
    for thread in threads:
        if isinstance(thread, Loop):
            thread.hurry()
            thread.join(max(0.0, deadline - time.monotonic()))
    return status


def _patient(chore: Callable[[], object]) -> Callable[[], object]:
    """Return `chore` as something that a busy database does not end."""

    def tried() -> object:
        try:
            return chore()
        except TryAgain:
            log.exception("ledger_busy")
            return None

    return tried


def _finish(desk: Work) -> None:
    """Let running attempts end, then give back what is left, so that it starts again at once."""
    deadline = time.monotonic() + STOP_SECONDS
    for executor in (desk.inference, desk.encoding):
        while executor.running() and time.monotonic() < deadline:
            desk.collect(executor, IDLE_SECONDS)
        executor.close()
    desk.give_back()
    log.info("work_stopped")
