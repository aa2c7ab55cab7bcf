"""What a worker says to the dispatcher: JSON, never pickle, and read with suspicion.

Whatever a hostile codestream has made of a worker, it cannot make the dispatcher run code.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from multiprocessing.connection import Connection
from select import select
from typing import Any

from dicom_ai_node.domain import errors
from dicom_ai_node.domain.devices import GpuSeen
from dicom_ai_node.domain.errors import NodeError, Rejected, TaskFailed
from dicom_ai_node.domain.progress import Phase, Progress
from dicom_ai_node.domain.reject import RejectCode

LONGEST_MESSAGE = 4096
"""Characters of an error that travel; a message of this size goes into a pipe in one write."""
PROGRESS_SECONDS = 0.5
"""How far an attempt is, is said no more often, but for a new phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message: `what` is `ready`, `failed`, `progress` or `done`."""

    what: str
    error: NodeError | None = None
    unusable: Mapping[str, str] = field(default_factory=dict)
    progress: Progress | None = None
    gpu: GpuSeen | None = None


NONSENSE = TaskFailed("the worker spoke nonsense")


def packed(said: Said) -> bytes:
    """Return a message as it travels."""
    content: dict[str, object] = {"what": said.what, "error": _plain(said.error)}
    if said.unusable:
        content["unusable"] = dict(said.unusable)
    if said.progress is not None:
        content["progress"] = [said.progress.phase, round(said.progress.part, 3)]
    if said.gpu is not None:
        content["gpu"] = [said.gpu.uuid, said.gpu.used_bytes, said.gpu.bytes]
    return json.dumps(content).encode()


def unpacked(message: bytes) -> Said:
    """Return what a worker says; nonsense is an attempt that has failed."""
    try:
        content = json.loads(message)
        unusable = content.get("unusable", {})
        return Said(
            what=str(content["what"]),
            error=_error(content["error"]),
            unusable={str(model): str(why) for model, why in unusable.items()},
            progress=_progress(content.get("progress")),
            gpu=_gpu(content.get("gpu")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Said(what="done", error=NONSENSE)


class Reporter:
    """Says how far an attempt is: seldom, only what is new, and never so that work waits for it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._said: Progress | None = None
        self._at = 0.0

    def __call__(self, progress: Progress) -> None:
        """Say it, if there is something to say and somebody reads."""
        now, before = time.monotonic(), self._said
        is_new_phase = before is None or before.phase is not progress.phase
        if progress == before or not (is_new_phase or now - self._at >= PROGRESS_SECONDS):
            return
        # A dispatcher that waits for its database reads nothing; what is in the pipe by then is
        # enough, and the room that is left is for the outcome.
        if not select([], [self._pipe], [], 0)[1]:
            return
        self._said, self._at = progress, now
        self._pipe.send_bytes(packed(Said(what="progress", progress=progress)))


def _progress(plain: Any) -> Progress | None:  # noqa: ANN401 - JSON
    if plain is None:
        return None
    phase, part = plain
    part = float(part)
    if not isfinite(part):
        raise ValueError("this is no number")
    return Progress(Phase(phase), min(max(part, 0.0), 1.0))


def _gpu(plain: Any) -> GpuSeen | None:  # noqa: ANN401 - JSON
    if plain is None:
        return None
    uuid, used, size = plain
    return GpuSeen(uuid=str(uuid)[:80], used_bytes=int(used), bytes=int(size))


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
    return NONSENSE
