"""A job is one route looking at one set of inputs; this module says which way it may go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from dicom_ai_node.domain.errors import IllegalMove
from dicom_ai_node.domain.progress import Phase
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.domain.rule import Priority
from dicom_ai_node.domain.uids import (
    JobKey,
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)


class Stage(StrEnum):
    """How far a job has come. Each value is a promise about what is already on disk."""

    READY = "ready"  # its inputs are complete and stored
    INFERRING = "inferring"  # a worker holds it under a lease
    INFERRED = "inferred"  # the findings are on disk
    ENCODING = "encoding"  # an encoder holds it under a lease
    DELIVERING = "delivering"  # the DICOM objects are on disk, one delivery row each
    DELIVERED = "delivered"  # every destination has confirmed
    REJECTED = "rejected"  # the model cannot use this input; the code says why
    PARKED = "parked"  # a person must look
    QUARANTINED = "quarantined"  # three attempts took their worker down
    SUPERSEDED = "superseded"  # later instances made a newer job of the same inputs
    CANCELLED = "cancelled"  # somebody asked for its end before anything was sent


ENDED = frozenset({
    Stage.DELIVERED, Stage.REJECTED, Stage.PARKED, Stage.QUARANTINED, Stage.SUPERSEDED,
    Stage.CANCELLED,
})  # fmt: skip
"""Stages from which a job does not move by itself."""

OVER = ENDED - {Stage.PARKED, Stage.QUARANTINED}
"""Of these, those in which nobody waits for anything, not for a person either."""

HELD = frozenset({Stage.INFERRING, Stage.ENCODING})
"""Stages in which a worker holds a job."""

_ONWARD: Mapping[Stage, frozenset[Stage]] = {
    Stage.READY: frozenset({
        Stage.INFERRING, Stage.PARKED, Stage.SUPERSEDED, Stage.CANCELLED,
    }),
    Stage.INFERRING: frozenset({
        Stage.INFERRED, Stage.DELIVERED, Stage.READY, Stage.REJECTED, Stage.PARKED,
        Stage.QUARANTINED, Stage.SUPERSEDED, Stage.CANCELLED,
    }),
    Stage.INFERRED: frozenset({
        Stage.ENCODING, Stage.PARKED, Stage.SUPERSEDED, Stage.CANCELLED,
    }),
    Stage.ENCODING: frozenset({
        Stage.DELIVERING, Stage.DELIVERED, Stage.INFERRED, Stage.PARKED, Stage.QUARANTINED,
        Stage.SUPERSEDED, Stage.CANCELLED,
    }),
    Stage.DELIVERING: frozenset({Stage.DELIVERED, Stage.PARKED}),
    Stage.DELIVERED: frozenset({Stage.PARKED, Stage.SUPERSEDED}),
    Stage.REJECTED: frozenset({Stage.READY, Stage.SUPERSEDED}),
    Stage.PARKED: frozenset({
        Stage.READY, Stage.INFERRED, Stage.DELIVERING, Stage.DELIVERED, Stage.SUPERSEDED,
    }),
    Stage.QUARANTINED: frozenset({Stage.READY, Stage.SUPERSEDED}),
    Stage.SUPERSEDED: frozenset(),
    Stage.CANCELLED: frozenset({Stage.READY, Stage.SUPERSEDED}),
}  # fmt: skip


def check_move(before: Stage, after: Stage) -> None:
    """Raise `IllegalMove` if no leg leads from `before` to `after`."""
    if after not in _ONWARD[before]:
        raise IllegalMove(f"a job cannot go from {before} to {after}")


@dataclass(frozen=True, slots=True)
class JobInput:
    """One source instance of a job under the name of its input."""

    name: str
    series_instance_uid: SeriesInstanceUID
    sop_instance_uid: SOPInstanceUID
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One route on one set of inputs. Jobs are values; the ledger moves them.

    `fence` grows with every claim and every reap: only who holds the present fence may finish.
    `supersedes` is the job of the same route and inputs before later instances arrived. `progress`
    is which part of its present leg is done, and `doing` what is done now, as its worker says.
    """

    key: JobKey
    route: str
    model: str
    model_digest: Sha256
    study_instance_uid: StudyInstanceUID
    inputs: tuple[JobInput, ...]
    priority: Priority
    created_at: datetime
    stage: Stage = Stage.READY
    attempts: int = 0
    fence: int = 0
    due_at: datetime | None = None
    note: str = ""
    who: Who | None = None
    supersedes: JobKey | None = None
    progress: float = 0.0
    doing: Phase | None = None

    @property
    def name(self) -> str:
        """The first twelve digits of the key: what people say and type."""
        return self.key[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One DICOM object that a job made; its bytes are the blob `sha256`."""

    job: JobKey
    kind: str
    sop_instance_uid: SOPInstanceUID
    sop_class_uid: SOPClassUID
    series_instance_uid: SeriesInstanceUID
    transfer_syntax_uid: str
    sha256: Sha256


class DeliveryState(StrEnum):
    """How far one object has come on its way to one destination."""

    DUE = "due"
    SENDING = "sending"
    DONE = "done"  # the destination has confirmed that it came
    COMMITTED = "committed"  # the destination has shown that it keeps it
    PARKED = "parked"  # the destination said no; a person must look


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One object on its way to one destination."""

    result: Result
    destination: str
    state: DeliveryState = DeliveryState.DUE
    attempts: int = 0
    fence: int = 0
    due_at: datetime | None = None
    note: str = ""
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a time line. `what` is snake_case; `detail` names no patient."""

    at: datetime
    what: str
    detail: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
