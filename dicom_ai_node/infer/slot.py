"""What runs in a worker process: load, say ready, then one attempt after the other.

Towards the dispatcher a worker speaks JSON only, never pickle: whatever a hostile codestream has
made of this process, it cannot make the dispatcher run code.
"""

import ctypes
import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from traceback import extract_tb
from typing import Any

from dicom_ai_node.domain import errors
from dicom_ai_node.domain.errors import NodeError, OutOfResources, Rejected, TaskFailed
from dicom_ai_node.domain.orders import Attempt
from dicom_ai_node.domain.reject import RejectCode

PR_SET_PDEATHSIG = 1
LONGEST_MESSAGE = 4096
"""Characters of an error that travel; a message of this size goes into a pipe in one write."""


def run_slot(
    pipe: Connection, parent: int, slot: str, factory: Callable[[str], Callable[[Attempt], None]]
) -> None:
    """Be the worker of one slot until the pipe ends or `parent` is gone.

    A `cuda:1` sees only that device, so `factory` is told `cuda:0`; any other slot sees none.
    """
    die_with(parent)
    device = _take_device(slot)
    fall_silent()
    try:
        work = factory(device)
    except Exception as fault:  # noqa: BLE001 - whatever it is, the operator must hear of it
        pipe.send_bytes(_packed("failed", speakable(fault), {}))
        return
    pipe.send_bytes(_packed("ready", None, _unusable(work)))
    while True:
        try:
            attempt = pipe.recv()
        except EOFError:
            return
        pipe.send_bytes(_packed("done", _tried(work, attempt), _unusable(work)))


def unpacked(message: bytes) -> tuple[str, NodeError | None, dict[str, str]]:
    """Return what a worker says: what happened, the error or `None`, and unusable models."""
    content = json.loads(message)
    unusable = {str(model): str(why) for model, why in content["unusable"].items()}
    return str(content["what"]), _error(content["error"]), unusable


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


def _unusable(work: object) -> Mapping[str, str]:
    return dict(getattr(work, "unusable", {}))


def _packed(what: str, error: NodeError | None, unusable: Mapping[str, str]) -> bytes:
    content = {"what": what, "error": _plain(error), "unusable": unusable}
    return json.dumps(content).encode()


def _plain(error: NodeError | None) -> dict[str, str] | None:
    match error:
        case None:
            return None
        case Rejected():
            return {
                "type": "Rejected",
                "code": error.code.name,
                "message": error.detail[:LONGEST_MESSAGE],
            }
        case _:
            # A subclass that the dispatcher cannot know travels as the nearest that it does.
            known = next(t.__name__ for t in type(error).__mro__ if t.__module__ == errors.__name__)
            return {"type": known, "message": str(error)[:LONGEST_MESSAGE]}


def _error(plain: dict[str, Any] | None) -> NodeError | None:
    match plain:
        case None:
            return None
        case {"type": "Rejected", "code": str(code), "message": str(detail)}:
            return Rejected(RejectCode[code], detail)
        case {"type": str(name), "message": str(message)}:
            kind = getattr(errors, name, None)
            if isinstance(kind, type) and issubclass(kind, NodeError):
                return kind(message)
    return TaskFailed("the worker spoke nonsense")


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


def fall_silent() -> None:
    """Leave standard error to our own log; libraries may print or warn with a patient's data."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(nowhere, 1)
    os.close(nowhere)
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
