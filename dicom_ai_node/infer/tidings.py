"""From the workers to the ledger: how far what is at work is, as often as a person can look."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from dicom_ai_node.domain.devices import Watched
from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.progress import HowFar

TELL_SECONDS = 1.0


@dataclass(slots=True)
class Tidings:
    """Tells what has changed since it told last, in one transaction for all workers.

    Parameters
    ----------
    executors
        Whose workers are listened to.
    note
        `JobsAtWork.note_progress` of a ledger.
    """

    executors: Sequence[Watched]
    note: Callable[[Sequence[HowFar]], None]
    _told: frozenset[HowFar] = field(default=frozenset())

    def tell(self) -> None:
        """Tell, if there is anything new; a ledger that is busy hears it the next time."""
        now = frozenset(told for one in self.executors for told in one.progress())
        new = now - self._told
        if new:
            with suppress(OutOfResources):
                self.note(list(new))
                self._told = now
