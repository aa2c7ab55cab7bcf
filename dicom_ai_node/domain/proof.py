"""Whether a destination keeps what was sent to it: asked before the node forgets its own copy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from dicom_ai_node.domain.uids import (
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)

OBJECTS_AT_ONCE = 1_000
"""In one request: an answer about as many is read by any peer, and at our own port."""


class Proof(StrEnum):
    """What shows that a destination keeps an object; the value is that of the configuration."""

    NONE = "none"  # its answer to the C-STORE or STOW-RS is believed
    COMMITMENT = "commitment"  # it says so when asked by storage commitment, PS3.4 Annex J
    QUERY = "query"  # it finds the object by C-FIND or QIDO-RS


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """One object that a destination has taken, and of which it has not said that it keeps it."""

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a destination says to one request.

    Attributes
    ----------
    transaction_uid
        That of the request.
    failed
        Failure Reason (0008,1197) of what it does not keep, by SOP Instance UID.
    """

    transaction_uid: str
    kept: frozenset[SOPInstanceUID]
    failed: Mapping[SOPInstanceUID, int] = field(default_factory=dict)


class Proofs(Protocol):
    """The part of the ledger that knows which proofs are missing. Each method is one transaction.

    Every method raises `OutOfResources` if the database cannot answer now.
    """

    def claim_unproven(
        self, destination: str, transaction_uid: str, now: datetime, patience: timedelta,
        settled: timedelta, limit: int = OBJECTS_AT_ONCE,
    ) -> Sequence[Unproven]:  # fmt: skip
        """Enter a request for what a destination took at least `settled` ago, and return that.

        A request is about `limit` objects at most.

        Nothing of a job is asked for while some of it is still being sent there. Without an answer
        it falls due again after `patience`, and seldom if it was asked for in vain too often.
        """

    def hear(self, report: Report, now: datetime) -> bool:
        """Enter what a destination says: kept is committed, failed is sent again.

        What has failed too often is parked, with its job: a person has to look.

        False, and nothing, if nobody has made that request. A report to an earlier request than
        the newest counts for what is kept.
        """

    def not_asked(self, transaction_uid: str, now: datetime, note: str, due: datetime) -> None:
        """Let a request that did not get through fall due at `due`."""

    def refused(self, transaction_uid: str, now: datetime, note: str, due: datetime) -> None:
        """Let a request that the destination does not take fall due at `due`, and hold it so.

        Neither this nor silence parks anything: it is a matter of the destination, not of a job.
        """


class Prover(Protocol):
    """A way to ask one destination. What it says comes as a `Report`, now or later."""

    def ask(self, transaction_uid: str, unproven: Sequence[Unproven]) -> None:
        """Ask whether it keeps these objects.

        Raises
        ------
        PeerUnavailable
            If it does not answer.
        OutOfResources
            If it cannot take the request now.
        PeerRejected
            If it knows no such request, or takes none from us.
        """


ADVICE = (
    "the operator: ask whoever runs {destination}, or choose another `proof` for it; until then its"
    " studies stay here"
)
"""What is to be done about a destination that does not show what it keeps."""

REASONS: Mapping[int, str] = MappingProxyType({
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0119: "its SOP class is another one",
    0x0122: "SOP class not supported",
    0x0131: "duplicate Transaction UID",
    0x0213: "resource limitation",
})  # fmt: skip
"""Failure Reason (0008,1197), PS3.3 C.14.1.1."""
