"""What the node tells of its own accord, to a program or to people: that somebody has to look.

A notice names jobs, routes, models and destinations. What exactly is wrong, and whose study it is,
the console tells, behind its login: a notice may leave the house.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from dicom_ai_node.domain.errors import NodeError


class About(StrEnum):
    """What is told."""

    FAILED = "failed"  # a job is parked or has taken its workers down: a person must look
    QUARANTINED = "quarantined"  # bytes that were received and not let in
    STAT_FINISHED = "stat_finished"  # a job with priority stat is delivered
    UNPROVEN = "unproven"  # a destination does not show that it keeps what it takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that has happened. Of a quarantined instance or a destination, `job` is empty."""

    about: About
    at: datetime
    job: str = ""
    route: str = ""
    model: str = ""
    stage: str = ""
    who: str = ""
    quarantine: int = 0
    destination: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One fact on its way to one target; `number` stays the same when it is told again."""

    number: int
    target: str
    fact: Fact
    attempts: int
    fence: int


class Notices(Protocol):
    """The part of the ledger that remembers who has been told what."""

    def gather(self, wanted: Sequence[tuple[str, frozenset[About]]], now: datetime) -> int:
        """Turn what has happened since the last call into notices; return how many.

        A target that is new is told nothing of what was before.
        """

    def claim_notices(
        self, target: str, now: datetime, lease: timedelta, limit: int = 50
    ) -> Sequence[Notice]:
        """Hand out due notices of one target, oldest first, each with one more attempt."""

    def told(self, notice: Notice, now: datetime) -> bool:
        """Note that the target knows; False if somebody else has claimed the notice since."""

    def not_told(self, notice: Notice, note: str, due_at: datetime) -> bool:
        """Set a notice due again."""


class Teller(Protocol):
    """A way to one target."""

    def tell(self, notices: Sequence[Notice]) -> Sequence[NodeError | None]:
        """Tell all of them; one entry each, `None` where the target knows. Never raises."""
