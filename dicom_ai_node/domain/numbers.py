"""How much there is of what: for those who watch many nodes and look at none."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dicom_ai_node.domain.job import DeliveryState, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The state of the node at one moment; it names no patient and no study.

    Attributes
    ----------
    counts
        As `domain.ports.Ledger.counts`.
    jobs
        By route and stage.
    deliveries
        By destination and state.
    waiting_since
        By stage, since when the job waits that has waited longest; only of jobs that the node
        itself has to go on with.
    undelivered_since
        By destination, when the oldest job was made some of whose objects are still due there.
    """

    counts: Mapping[str, int]
    jobs: Mapping[tuple[str, Stage], int]
    deliveries: Mapping[tuple[str, DeliveryState], int]
    waiting_since: Mapping[Stage, datetime]
    undelivered_since: Mapping[str, datetime]


class Counted(Protocol):
    """The part of the ledger that counts."""

    def numbers(self) -> Numbers:
        """Return the state of the node."""
