"""Query and retrieve over DIMSE, PS3.4 Annex C: what is asked for, and what comes back."""

from dataclasses import dataclass
from enum import Enum, StrEnum

from dicom_ai_node.domain.uids import AETitle


class Root(StrEnum):
    """The information model of a question, PS3.4 C.6: where its hierarchy begins."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The identifier of a C-FIND, C-MOVE or C-GET, and what was agreed about it.

    Attributes
    ----------
    identifier
        The encoded data set as it came.
    is_relational
        Whether the unique keys of the levels above may be left out, PS3.4 C.4.1.2.2.
    joins_date_and_time, is_fuzzy
        As in `domain.archive.Query`.
    """

    root: Root
    identifier: bytes
    transfer_syntax_uid: str
    is_relational: bool = False
    joins_date_and_time: bool = False
    is_fuzzy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One answer to a C-FIND, encoded as the question was.

    `is_complete` is false where a key of the question was not looked at, PS3.4 C.4.1.1.4.
    """

    identifier: bytes
    is_complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Originator:
    """Who has asked for a C-MOVE, as its sub-operations tell the destination, PS3.7 9.3.1.1."""

    ae_title: AETitle
    message_id: int


class Outcome(Enum):
    """What became of one sub-operation of a C-MOVE or C-GET."""

    COMPLETED = "completed"
    WARNING = "warning"
    FAILED = "failed"


_DONE = frozenset({0x0000, 0x0111})
"""0x0111: the destination had the object already."""
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})
_FIRST_WARNING, _LAST_WARNING = 0xB000, 0xBFFF


def outcome_of(status: int) -> Outcome:
    """Return what the answer to the C-STORE of a sub-operation means, PS3.7 Annex C."""
    if status in _DONE:
        return Outcome.COMPLETED
    if status in _WARNINGS or _FIRST_WARNING <= status <= _LAST_WARNING:
        return Outcome.WARNING
    return Outcome.FAILED
