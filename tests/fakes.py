"""Stand-ins for the two ports whose real parts need a worker or a peer: scripted, not clever."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicom_ai_node.domain.devices import SlotSeen
from dicom_ai_node.domain.errors import Ended, NodeError
from dicom_ai_node.domain.orders import Attempt, Outcome
from dicom_ai_node.domain.progress import HowFar


@dataclass
class ScriptedExecutor:
    """Ends every attempt as the next entry of `script` says; OK when the script is over.

    An entry is how an attempt ends, or the error that it ends with. `on_ok` may leave files.
    """

    slots: int = 1
    script: list[Ended | NodeError] = field(default_factory=list)
    on_ok: Callable[[Attempt], None] = lambda attempt: None
    started: list[Attempt] = field(default_factory=list)
    _running: list[Attempt] = field(default_factory=list)

    def free(self) -> int:
        """Return how many slots are free."""
        return self.slots - len(self._running)

    def start(self, attempt: Attempt) -> None:
        """Take an attempt."""
        assert self.free()
        self.started.append(attempt)
        self._running.append(attempt)

    def poll(self, timeout_seconds: float) -> Sequence[Outcome]:
        """End everything that runs, as scripted."""
        running, self._running = self._running, []
        return [self._outcome(attempt) for attempt in running]

    def running(self) -> Sequence[Attempt]:
        """Return what runs."""
        return list(self._running)

    def progress(self) -> Sequence[HowFar]:
        """Return nothing: what is scripted ends at once."""
        return []

    def slots_seen(self) -> Sequence[SlotSeen]:
        """Return slots that have never worked."""
        return [SlotSeen(device="cpu", busy_seconds=0.0)] * self.slots

    def unusable(self) -> Mapping[str, str]:
        """Return nothing: all models are fine."""
        return {}

    def close(self) -> None:
        """End."""

    def _outcome(self, attempt: Attempt) -> Outcome:
        match self.script.pop(0) if self.script else Ended.OK:
            case NodeError() as error:
                return Outcome(attempt=attempt, ended=Ended.ERROR, error=error)
            case Ended.OK:
                self.on_ok(attempt)
                return Outcome(attempt=attempt, ended=Ended.OK)
            case ended:
                return Outcome(attempt=attempt, ended=ended, detail="scripted")


@dataclass
class ScriptedSender:
    """Answers every object with the next entry of `script`; takes all when the script is over."""

    script: list[NodeError | str] = field(default_factory=list)
    takes: frozenset[str] = frozenset()
    sent: list[Path] = field(default_factory=list)

    def send(self, objects: Sequence[Path]) -> Sequence[NodeError | str]:
        """Answer as scripted."""
        self.sent += objects
        return [self.script.pop(0) if self.script else "" for _ in objects]

    def accepts(self, sop_class_uid: str) -> bool:
        """Return whether the class is in `takes`."""
        return sop_class_uid in self.takes
