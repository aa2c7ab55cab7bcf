"""The roles of the process tree: what each process does from its start to its SIGTERM.

`receive` may run several times on one listening socket; `work` holds the workers; `dispatch`
holds one thread per destination. They meet in the ledger only.
"""

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, timedelta

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.errors import TryAgain
from dicom_ai_node.domain.ports import Executor
from dicom_ai_node.pipeline import Work
from dicom_ai_node.supervise import Heart

log = structlog.get_logger()

SETTLE_SECONDS = 0.5
IDLE_SECONDS = 0.25
"""How long a loop with nothing to do waits before it asks the ledger again."""
RETENTION_SECONDS = 600
STOP_SECONDS = 20.0
"""How long running attempts may go on after SIGTERM before they are given back."""


def receive(settings: NodeConfig, descriptor: int | None, heart: Heart) -> None:
    """Be one receiver on an inherited socket, or on one of its own if there is none."""
    stop = _stop_signal()
    listener = compose.listener(settings)
    server = threading.Thread(
        target=listener.serve, args=(compose.listening_socket(settings, descriptor),), daemon=True
    )
    server.start()
    while not stop.wait(1.0) and server.is_alive():
        heart.beat()
    listener.close(grace_seconds=STOP_SECONDS)


def work(settings: NodeConfig, heart: Heart) -> None:
    """Settle, route, infer and encode."""
    stop = _stop_signal()
    desk = compose.work(settings)
    clockwork = BackgroundScheduler(timezone=UTC)
    timers: tuple[tuple[Callable[[], object], float], ...] = (
        (desk.settle, SETTLE_SECONDS),
        (desk.keep_alive, desk.limits.lease.total_seconds() / 4),
        (compose.retention(settings), RETENTION_SECONDS),
        (desk.tidy, RETENTION_SECONDS),
    )
    for chore, seconds in timers:
        clockwork.add_job(
            _patient(chore), "interval", seconds=seconds, max_instances=1, coalesce=True
        )
    encoder = threading.Thread(target=_loop, args=(desk, desk.encode, desk.encoding, stop))
    clockwork.start()
    encoder.start()
    # Not ready before a worker is: its models are loaded and have reproduced their golden results.
    while not (desk.inference.free() or stop.is_set()):
        desk.inference.poll(IDLE_SECONDS)
    _loop(desk, desk.infer, desk.inference, stop, heart)
    encoder.join()
    clockwork.shutdown()
    _finish(desk)


def dispatch(settings: NodeConfig, heart: Heart) -> None:
    """Deliver to each destination at its own pace."""
    stop = _stop_signal()
    desk = compose.dispatch(settings)

    def serve(destination: str) -> None:
        deliver = _patient(lambda: desk.deliver(destination))
        while not stop.is_set():
            if not deliver():
                stop.wait(IDLE_SECONDS)

    # A thread that waits for a silent peer must not keep the process from ending: what it was
    # sending is due again when its lease runs out, under the same UIDs.
    threads = [threading.Thread(target=serve, args=(name,), daemon=True) for name in desk.senders]
    for thread in threads:
        thread.start()
    while not stop.wait(1.0) and all(thread.is_alive() for thread in threads):
        heart.beat()
    deadline = time.monotonic() + STOP_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _stop_signal() -> threading.Event:
    stop = threading.Event()

    def heard(number: int, _frame: object) -> None:
        # Both the supervisor and systemd may say it; the second must not cut the first short.
        signal.signal(number, signal.SIG_IGN)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heard)
    return stop


def _patient(chore: Callable[[], object]) -> Callable[[], object]:
    """Return `chore` as something that a busy database does not end."""

    def tried() -> object:
        try:
            return chore()
        except TryAgain:
            log.exception("ledger_busy")
            return None

    return tried


def _loop(
    desk: Work,
    claim: Callable[[], int],
    executor: Executor,
    stop: threading.Event,
    heart: Heart | None = None,
) -> None:
    claimed, collected = _patient(claim), _patient(lambda: desk.collect(executor, IDLE_SECONDS))
    while not stop.is_set():
        claimed()
        collected()
        if heart:
            heart.beat()


def _finish(desk: Work) -> None:
    """Let running attempts end, then give back what is left, so that it starts again at once."""
    deadline = time.monotonic() + STOP_SECONDS
    for executor in (desk.inference, desk.encoding):
        while executor.running() and time.monotonic() < deadline:
            desk.collect(executor, IDLE_SECONDS)
        executor.close()
    desk.give_back()
    log.info("work_stopped", seconds=timedelta(seconds=STOP_SECONDS).total_seconds())
