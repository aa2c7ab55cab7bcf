"""The states of a workitem and the ways between them, PS3.4 Table CC.1.1-2.

A workitem is a Unified Procedure Step: something that is to be done, that somebody is doing or that
has been done. Whoever does it has claimed it with a Transaction UID that nobody else knows. A job
of this node is a workitem that the node itself does; it has no Transaction UID that one could know.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

from dicom_ai_node.domain.errors import Refused

UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
"""SOP Class UID of every workitem, PS3.4 CC.3.1."""
WORKLIST = "1.2.840.10008.5.1.4.34.5"
"""Stands for all workitems, those to come included: UPS Global Subscription."""
FILTERED_WORKLIST = "1.2.840.10008.5.1.4.34.5.1"
"""Stands for all that match a filter: UPS Filtered Global Subscription."""


class StepState(StrEnum):
    """Procedure Step State (0074,1000)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


FINAL = frozenset({StepState.COMPLETED, StepState.CANCELED})

_INCONSISTENT = "The submitted request is inconsistent with the state of the UPS Instance."


class Why(Enum):
    """Why a request is refused: (DIMSE status of PS3.4 CC.2, HTTP status, words of PS3.18 11)."""

    BAD_VALUE = (0x0106, 400, "An attribute has a value that it cannot have.")
    MISSING = (0x0120, 400, "A required attribute is missing.")
    NOT_ALLOWED = (0x0106, 400, "An attribute is not allowed here.")
    THERE_ALREADY = (0x0111, 409, "The Workitem exists already.")
    FORBIDDEN = (0x0124, 403, "The subscription was refused.")
    OURS = (0x0124, 409, "The Workitem is performed by this node.")
    CANNOT_PERFORM = (0x0110, 409, "This node cannot perform the Workitem.")
    MAY_NOT_CHANGE = (0xC300, 409, _INCONSISTENT)
    MAY_NOT_UPDATE = (0xC300, 400, _INCONSISTENT)
    NO_TRANSACTION = (0xC301, 400, "The Transaction UID is missing.")
    OTHER_TRANSACTION = (0xC301, 400, "The Transaction UID is incorrect.")
    CLAIMED_BY_OTHERS = (0xC301, 409, _INCONSISTENT)
    CLAIMED_ALREADY = (0xC302, 409, _INCONSISTENT)
    NEVER_SCHEDULED_AGAIN = (0xC303, 400, _INCONSISTENT)
    NOT_FIT_FOR_END = (0xC304, 409, _INCONSISTENT)
    UNKNOWN = (0xC307, 404, "The Workitem is not known.")
    GONE = (0xC307, 410, "The Workitem has been deleted.")
    NO_SUBSCRIPTION = (0xC307, 404, "There is no such subscription.")
    NOT_SCHEDULED = (0xC309, 400, "The provided value of UPS State was not SCHEDULED.")
    NOT_CLAIMED = (0xC310, 409, _INCONSISTENT)
    NOT_CLAIMED_FOR_UPDATE = (0xC310, 409, "The target URI did not reference a claimed Workitem.")
    COMPLETED = (0xC311, 409, "The UPS is already COMPLETED.")
    UNREACHABLE = (0xC312, 409, "The performer cannot be contacted.")
    GOES_ON = (0xC313, 409, "Performer chooses not to cancel.")
    NOT_APPROPRIATE = (0xC314, 400, "The action is not appropriate for this resource.")

    def __init__(self, dimse_status: int, http_status: int, words: str) -> None:
        self.dimse_status = dimse_status
        self.http_status = http_status
        self.words = words


class StepRefused(Refused):
    """What was asked of a workitem cannot be done; `why` is what protocols say of it."""

    def __init__(self, why: Why, detail: str = "") -> None:
        super().__init__(why, detail)
        self.why = why
        self.detail = detail

    def __str__(self) -> str:
        return self.detail or self.why.words


ALREADY_CANCELED = "The UPS is already in the requested state of CANCELED."
ALREADY_COMPLETED = "The UPS is already in the requested state of COMPLETED."


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Where a workitem stands, and under which Transaction UID; empty while nobody claims it."""

    state: StepState
    transaction_uid: str = ""


def after_change(lock: Lock, to: StepState, transaction_uid: str) -> tuple[Lock, str]:
    """Return where a workitem stands after a request to change its state, and a warning or "".

    What a final state requires of the attributes is for the caller to check.

    Raises
    ------
    StepRefused
        If the table knows no such way.
    """
    if to is StepState.SCHEDULED:
        raise StepRefused(Why.NEVER_SCHEDULED_AGAIN, "a workitem is scheduled once, when created")
    if not transaction_uid:
        raise StepRefused(Why.NO_TRANSACTION)
    match lock.state:
        case StepState.SCHEDULED:
            return _claimed(to, transaction_uid), ""
        case StepState.IN_PROGRESS:
            return _ended(lock, to, transaction_uid), ""
        case StepState.COMPLETED | StepState.CANCELED:
            return lock, _after_the_end(lock, to, transaction_uid)


def _claimed(to: StepState, transaction_uid: str) -> Lock:
    if to is not StepState.IN_PROGRESS:
        raise StepRefused(Why.NOT_CLAIMED, f"claim it before it becomes {to}")
    return Lock(state=to, transaction_uid=transaction_uid)


def _ended(lock: Lock, to: StepState, transaction_uid: str) -> Lock:
    is_mine = transaction_uid == lock.transaction_uid
    if to is StepState.IN_PROGRESS:
        why = Why.CLAIMED_ALREADY if is_mine else Why.CLAIMED_BY_OTHERS
        raise StepRefused(why, "the workitem is claimed already")
    if not is_mine:
        raise StepRefused(Why.OTHER_TRANSACTION)
    return Lock(state=to, transaction_uid=transaction_uid)


def _after_the_end(lock: Lock, to: StepState, transaction_uid: str) -> str:
    if transaction_uid != lock.transaction_uid:
        raise StepRefused(Why.OTHER_TRANSACTION)
    if to is not lock.state:
        raise StepRefused(Why.MAY_NOT_CHANGE, f"the workitem is {lock.state}, and stays so")
    return ALREADY_CANCELED if to is StepState.CANCELED else ALREADY_COMPLETED


def check_update(lock: Lock, transaction_uid: str) -> None:
    """Raise `StepRefused` if attributes may not be set now, PS3.4 CC.2.6."""
    match lock.state:
        case StepState.SCHEDULED if transaction_uid:
            raise StepRefused(Why.NOT_CLAIMED_FOR_UPDATE, "nobody has claimed the workitem")
        case StepState.IN_PROGRESS if not transaction_uid:
            raise StepRefused(Why.NO_TRANSACTION)
        case StepState.IN_PROGRESS if transaction_uid != lock.transaction_uid:
            raise StepRefused(Why.OTHER_TRANSACTION)
        case StepState.COMPLETED | StepState.CANCELED:
            raise StepRefused(Why.MAY_NOT_UPDATE, f"the workitem is {lock.state}, and stays so")
        case _:
            pass


def way(before: StepState, after: StepState) -> tuple[StepState, ...]:
    """Return the states through which a workitem goes, one at a time, `after` being the last.

    Empty if it stays where it is, or if no way leads there: what has ended does not move.
    """
    if before in FINAL or before is after or after is StepState.SCHEDULED:
        return ()
    if before is StepState.SCHEDULED and after in FINAL:
        return StepState.IN_PROGRESS, after
    return (after,)
