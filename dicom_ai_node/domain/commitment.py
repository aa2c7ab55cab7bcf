"""What the node commits to keep, PS3.4 Annex J and PS3.18 13.

It commits to what lies whole on its disk, for as long as `store.keep_days` says, counted from the
answer, and whether or not there is room. A node is no archive: whoever deletes their own copy has
to know that.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Protocol

from dicom_ai_node.domain.archive import Header, Held
from dicom_ai_node.domain.errors import Refused
from dicom_ai_node.domain.json_model import data_set, items, text
from dicom_ai_node.domain.uids import AETitle, SOPClassUID, SOPInstanceUID, is_uid

MOST = 5_000
"""Instances in one request."""


class Failure(IntEnum):
    """Failure Reason (0008,1197), PS3.3 C.14.1.1."""

    PROCESSING = 0x0110  # it was here, and what is left of it is not whole
    NOT_HERE = 0x0112
    OTHER_CLASS = 0x0119


class TransactionKnown(Refused):
    """The Transaction UID belongs to another request."""

    dimse_status = 0x0131  # Duplicate transaction UID, PS3.3 C.14.1.1
    http_status = 409


@dataclass(frozen=True, slots=True)
class Asked:
    """One instance that is to be kept."""

    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """An answer of which its asker has not heard yet."""

    transaction_uid: str
    ae_title: AETitle
    answer: Header
    attempts: int


class Promises(Protocol):
    """Answers requests over DIMSE: they are told by N-EVENT-REPORT, and so kept until then.

    Every method raises `OutOfResources` if the database cannot answer now.
    """

    def promise(
        self, transaction_uid: str, asked: Sequence[Asked], peer: AETitle, now: datetime,
        due: datetime,
    ) -> Header:  # fmt: skip
        """Return what is committed and what is not, to be told by `claim_untold` from `due` on.

        Asked again under the same UID, the same peer is answered anew.

        Raises
        ------
        TransactionKnown
            If another peer has made a request with this UID.
        """

    def told(self, transaction_uid: str) -> None:
        """Note that the asker has heard the answer, or never will."""

    def claim_untold(self, now: datetime, lease: timedelta) -> Untold | None:
        """Return an answer that is due to be told; it falls due again after `lease`."""

    def not_told(self, transaction_uid: str, due: datetime) -> None:
        """Let an answer fall due."""


class Commitments(Protocol):
    """Answers requests, and remembers the answers."""

    def commit(self, transaction_uid: str, asked: Sequence[Asked], now: datetime) -> Header:
        """Return what is committed and what is not.

        Raises
        ------
        TransactionKnown
            If there was a request with this UID before.
        """

    def answer(self, transaction_uid: str) -> Header | None:
        """Return the answer to an earlier request; `None` if there was none."""


def asked_for(said: Header) -> tuple[Asked, ...]:
    """Return the instances that a request names.

    Raises
    ------
    Refused
        If it names none, too many, or one without its UIDs.
    """
    return checked(
        Asked(
            SOPClassUID(text(one, "ReferencedSOPClassUID")),
            SOPInstanceUID(text(one, "ReferencedSOPInstanceUID")),
        )
        for one in items(said, "ReferencedSOPSequence")
    )


def checked(asked: Iterable[Asked]) -> tuple[Asked, ...]:
    """Return the instances that a request names; raise `Refused` as `asked_for` does."""
    found = tuple(asked)
    if not found:
        raise Refused("name the instances in ReferencedSOPSequence")
    if len(found) > MOST:
        raise Refused(f"a request may name {MOST} instances")
    if not all(is_uid(one.sop_class_uid) and is_uid(one.sop_instance_uid) for one in found):
        raise Refused("each item must have ReferencedSOPClassUID and ReferencedSOPInstanceUID")
    return found


def answered(
    asked: Sequence[Asked], held: Sequence[Held], is_whole: Callable[[Held], bool]
) -> dict[str, Any]:
    """Return what is committed and what is not, PS3.18 Table J.2-1.

    Parameters
    ----------
    is_whole
        Returns whether the bytes of an object are there, all of them.
    """
    here = {one.sop_instance_uid: one for one in held}
    kept: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for one in dict.fromkeys(asked):
        reference = {
            "ReferencedSOPClassUID": one.sop_class_uid,
            "ReferencedSOPInstanceUID": one.sop_instance_uid,
        }
        reason = _failure(one, here.get(one.sop_instance_uid), is_whole)
        if reason is None:
            kept.append(data_set(**reference))
        else:
            failed.append(data_set(**reference, FailureReason=int(reason)))
    said: dict[str, Any] = {}
    if failed:
        said["FailedSOPSequence"] = failed
    if kept:
        said["ReferencedSOPSequence"] = kept
    return data_set(**said)


def _failure(one: Asked, held: Held | None, is_whole: Callable[[Held], bool]) -> Failure | None:
    if held is None:
        return Failure.NOT_HERE
    if held.sop_class_uid != one.sop_class_uid:
        return Failure.OTHER_CLASS
    return None if is_whole(held) else Failure.PROCESSING
