"""What runs in a worker process: load, say ready, then one attempt after the other.

What it says to the dispatcher is in `infer/said.py`.
"""

import ctypes
import logging
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from traceback import extract_tb

from dicom_ai_node.domain.errors import NodeError, OutOfResources, TaskFailed
from dicom_ai_node.domain.orders import Attempt
from dicom_ai_node.domain.progress import heard_by
from dicom_ai_node.infer.said import Reporter, Said, packed

PR_SET_PDEATHSIG = 1


def run_slot(
    pipe: Connection, parent: int, slot: str, factory: Callable[[str], Callable[[Attempt], None]]
) -> None:
    """Be the worker of one slot until the pipe ends or `parent` is gone.

    A `cuda:1` sees only that device, so `factory` is told `cuda:0`; any other slot sees none.
    """
    die_with(parent)
    device = _take_device(slot)
    if not device.startswith("cuda"):
        bounded()
    fall_silent()
    try:
        work = factory(device)
    except Exception as fault:  # noqa: BLE001 - whatever it is, the operator must hear of it
        pipe.send_bytes(packed(Said(what="failed", error=speakable(fault))))
        return
    pipe.send_bytes(packed(_state("ready", None, work)))
    while True:
        try:
            attempt = pipe.recv()
        except EOFError:
            return
        with heard_by(Reporter(pipe)):
            error = _tried(work, attempt)
        pipe.send_bytes(packed(_state("done", error, work)))


def speakable(fault: BaseException) -> NodeError:
    """Return an error that may be shown: ours as it is, of others type and lines of code only.

    A foreign message may quote an attribute of the patient.
    """
    match fault:
        case NodeError():
            return fault
        case MemoryError():
            return OutOfResources(f"no memory left ({_lines(fault)})")
        case _:
            return TaskFailed(f"{type(fault).__name__} at {_lines(fault)}")


def _tried(work: Callable[[Attempt], None], attempt: Attempt) -> NodeError | None:
    try:
        work(attempt)
    except Exception as fault:  # noqa: BLE001 - the one place that wraps what a task raises
        return speakable(fault)
    return None


def _state(what: str, error: NodeError | None, work: object) -> Said:
    """Return what is said between attempts: what happened, and how the worker is."""
    unusable: Mapping[str, str] = getattr(work, "unusable", {})
    return Said(what=what, error=error, unusable=unusable, gpu=getattr(work, "gpu", None))


def _lines(fault: BaseException) -> str:
    return " > ".join(
        f"{Path(f.filename).name}:{f.lineno}" for f in extract_tb(fault.__traceback__)
    )


def die_with(parent: int) -> None:
    """End this process with its parent; end at once if that has gone already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before we asked
        os._exit(1)
    # A group of its own: Ctrl-C on the node does not reach it, and what it starts ends with it.
    os.setpgid(0, 0)
    # The end comes from the dispatcher, which knows whether the attempt may still finish.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _take_device(slot: str) -> str:
    kind, _, number = slot.partition(":")
    if kind != "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return slot
    os.environ["CUDA_VISIBLE_DEVICES"] = number or "0"  # read at first use of CUDA, not at import
    return "cuda:0"


def bounded() -> None:
    """Take no more memory than there is: what decodes a lie fails alone, and not the machine.

    Only without a GPU, whose driver reserves far more than it uses.
    """
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_DATA, (there, there))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def fall_silent() -> None:
    """Leave standard error to our own log; libraries may print or warn with a patient's data."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(nowhere, 1)
    os.close(nowhere)
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
