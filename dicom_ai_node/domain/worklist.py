"""The worklist: workitems of the node and of others, and who wants to hear of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dicom_ai_node.domain.archive import Header, Key
from dicom_ai_node.domain.workitem import StepState


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which workitems are looked for: at most `limit`, after leaving out `offset`."""

    keys: tuple[Key, ...] = ()
    limit: int = 100
    offset: int = 0
    is_fuzzy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One event that a subscriber has not been told yet."""

    number: int
    said: Header


class Worklist(Protocol):
    """The workitems. Every method raises `OutOfResources` if the database cannot answer now.

    A method that names a workitem raises `StepRefused`: UNKNOWN if there is none, GONE if there
    was one. A job that has moved before a method is called has moved as a workitem, too.
    """

    def create(self, uid: str, said: Header, now: datetime) -> bool:
        """Enter a workitem of somebody else; return whether what was said had to be completed.

        Raises
        ------
        StepRefused
            If its attributes are not as they must be, or its UID is taken.
        """

    def workitem(self, uid: str) -> Header:
        """Return a workitem, without its Transaction UID."""

    def search(self, search: Search) -> Iterator[Header]:
        """Yield what matches, without Transaction UIDs, in the order in which they were entered."""

    def update(self, uid: str, changes: Header, transaction_uid: str, now: datetime) -> None:
        """Set attributes; raise `StepRefused` if they cannot be set, not now or not by this one."""

    def change_state(self, uid: str, to: StepState, transaction_uid: str, now: datetime) -> str:
        """Claim, complete or cancel a workitem; return a warning, empty if there is none.

        Of two that claim the same workitem at the same time one gets it.

        Raises
        ------
        StepRefused
            If no way leads there, the Transaction UID is another, the attributes are not fit for
            the end, or the node performs it.
        """

    def request_cancel(self, uid: str, request: Header, requesting_ae: str, now: datetime) -> str:
        """Ask the performer to stop; return a warning, empty if there is none.

        What nobody has claimed is cancelled at once, and so is a job that has not begun to send.

        Raises
        ------
        StepRefused
            If it is COMPLETED, or will be.
        """

    def subscribe(
        self, aetitle: str, resource: str, keys: Sequence[Key], *, has_lock: bool
    ) -> None:
        """Let `aetitle` hear of a workitem, of all, or of all that match; PS3.4 Table CC.2.3-2."""

    def unsubscribe(self, aetitle: str, resource: str) -> None:
        """Let it hear no more; raise `StepRefused` if it does not."""

    def suspend(self, aetitle: str, resource: str) -> None:
        """Let it hear of no new workitems, but still of those that it hears of."""

    def open_channel(self, aetitle: str) -> str:
        """Return the name of a new channel for the reports to `aetitle`; it ends the one before."""

    def reports(self, aetitle: str, channel: str, most: int) -> Sequence[Report] | None:
        """Return the oldest reports that were not told yet; `None` if another channel is open."""

    def told(self, aetitle: str, reports: Sequence[Report]) -> None:
        """Forget reports that have been told."""
