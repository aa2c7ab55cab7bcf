"""Where attempts run, and how it hears that there are some: a port like those of `ports`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from dicom_ai_node.domain.devices import Watched
from dicom_ai_node.domain.orders import Attempt, Outcome


class Ear(Protocol):
    """Where one hears from other processes that there may be something to do."""

    def fileno(self) -> int:
        """Return the descriptor that can be read when something was heard."""

    def hush(self) -> None:
        """Forget what was heard."""


class Executor(Watched, Protocol):
    """Workers. It never queues and never retries: the ledger is the only queue."""

    def free(self) -> int:
        """Return how many attempts can start now; claim at most as many."""

    def start(self, attempt: Attempt) -> None:
        """Start an attempt on a free worker."""

    def poll(self, timeout_seconds: float) -> Sequence[Outcome]:
        """Return what has ended, waiting up to `timeout_seconds` for the first."""

    def running(self) -> Sequence[Attempt]:
        """Return what runs now."""

    def unusable(self) -> Mapping[str, str]:
        """Return models that failed their golden test on this machine, and why."""

    def close(self) -> None:
        """End all workers."""
