"""What workers do in the tests of the executor: their work, or anything else."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dicom_ai_node.domain.devices import GpuSeen
from dicom_ai_node.domain.errors import ModelUnusable, Rejected, TryAgain
from dicom_ai_node.domain.orders import Attempt, InferenceOrder
from dicom_ai_node.domain.progress import Phase, done, during
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.uids import JobKey, Sha256


class VendorTrouble(TryAgain):
    """An error that only the worker knows."""


def attempt(deed: str, folder: Path, limit_seconds: float = 30.0) -> Attempt:
    """Return an attempt whose worker will do `deed`."""
    order = InferenceOrder(
        kind=deed,
        model="any",
        model_digest=Sha256("0" * 64),
        inputs={"image": (folder,)},
        options={},
    )
    return Attempt(
        job=JobKey("1" * 64), fence=1, folder=folder, order=order, limit_seconds=limit_seconds
    )


class Honest:
    """A worker that does as it is told, whatever that is."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.unusable: dict[str, str] = {}
        self.gpu: GpuSeen | None = None

    def __call__(self, attempt: Attempt) -> None:
        """Do the deed that the order names."""
        assert isinstance(attempt.order, InferenceOrder)
        (attempt.folder / f"{attempt.order.kind}.pid").write_text(str(os.getpid()))
        DEEDS[attempt.order.kind](self, attempt)


def _work(worker: Honest, attempt: Attempt) -> None:
    visible = os.environ["CUDA_VISIBLE_DEVICES"]
    (attempt.folder / "done").write_text(f"{worker.device} sees {visible!r}")


def _go_on_for_long(worker: Honest, attempt: Attempt) -> None:
    """Say how far it is until somebody has seen the middle of it, then quickly to the end."""
    with during(Phase.RUNNING):
        for step in range(1, 1001):
            if not (attempt.folder / "seen").exists():
                done(min(step / 1000, 0.5))
                time.sleep(0.05)
            else:
                done(step / 1000)


def _chatter(worker: Honest, attempt: Attempt) -> None:
    """Say something new all the time, far more than a pipe holds, while nobody listens."""
    for step in range(50_000):
        with during(Phase.READING if step % 2 else Phase.RUNNING):
            done(step / 50_000)
    (attempt.folder / "done").write_text("")


def _see_a_gpu(worker: Honest, attempt: Attempt) -> None:
    worker.gpu = GpuSeen(uuid="GPU-1", used_bytes=2**30, bytes=2**34)


def _tell_and_vanish(worker: Honest, attempt: Attempt) -> None:
    with during(Phase.RUNNING):
        os.kill(os.getpid(), signal.SIGKILL)


def _reject(worker: Honest, attempt: Attempt) -> None:
    raise Rejected(RejectCode.IN_COVERAGE, "slices is 3, at least 8 is required")


def _vendor(worker: Honest, attempt: Attempt) -> None:
    raise VendorTrouble("the licence server is busy")


def _quote_a_patient(worker: Honest, attempt: Attempt) -> None:
    raise ValueError("ZZCANARY^PHI is not a number")


def _find_a_model_unusable(worker: Honest, attempt: Attempt) -> None:
    worker.unusable["liver"] = "Dice 0.1"
    raise ModelUnusable("liver: Dice 0.1")


def _flood(worker: Honest, attempt: Attempt) -> None:
    for _ in range(10):
        sys.stdout.write("ZZCANARY^PHI" * 90_000)
    sys.stdout.flush()
    subprocess.run(["head", "-c", "1000000", "/dev/zero"], check=True)


def _start_a_child_and_hang(worker: Honest, attempt: Attempt) -> None:
    child = subprocess.Popen(["sleep", "600"])
    (attempt.folder / "child.pid").write_text(str(child.pid))
    time.sleep(600)


DEEDS: dict[str, Callable[[Honest, Attempt], object]] = {
    "work": _work,
    "reject": _reject,
    "vendor": _vendor,
    "quote": _quote_a_patient,
    "refuse": _find_a_model_unusable,
    # Nothing of it is ever touched: without a limit it would be given.
    "greedy": lambda _w, _a: [np.empty(1 << 30, np.uint8) for _ in range(4096)],
    "memory": lambda _w, _a: (_ for _ in ()).throw(MemoryError("1 GiB")),
    "segfault": lambda _w, _a: ctypes.string_at(0),
    "exit": lambda _w, _a: sys.exit(0),
    "vanish": lambda _w, _a: os._exit(0),
    "kill": lambda _w, _a: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda _w, _a: time.sleep(600),
    "child": _start_a_child_and_hang,
    "flood": _flood,
    "nap": lambda _w, _a: time.sleep(0.3),
    "long": _go_on_for_long,
    "chatter": _chatter,
    "tell and vanish": _tell_and_vanish,
    "gpu": _see_a_gpu,
}


def dies_while_loading(log: Path, device: str) -> Callable[[Attempt], None]:
    """Note the time and die; from the third start on, live."""
    with log.open("a") as lines:
        lines.write(f"{time.monotonic()}\n")
    if len(log.read_text().splitlines()) < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return Honest(device)


def raises_while_loading(device: str) -> Callable[[Attempt], None]:
    """Fail to load, and quote a patient on the way."""
    raise KeyError("ZZCANARY^PHI")


def never_loads(device: str) -> Callable[[Attempt], None]:
    """Load for ever."""
    time.sleep(600)
    return Honest(device)


def loads_with_a_broken_model(device: str) -> Callable[[Attempt], None]:
    """Be ready, but say that one model failed its golden test."""
    worker = Honest(device)
    worker.unusable["liver"] = "Dice 0.1"
    return worker
