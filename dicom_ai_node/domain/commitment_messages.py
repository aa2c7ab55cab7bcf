"""The data sets of storage commitment over DIMSE, PS3.4 Tables J.3-1 and J.3-2."""

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.commitment import Asked, checked
from dicom_ai_node.domain.errors import Refused
from dicom_ai_node.domain.json_model import has_value
from dicom_ai_node.domain.proof import Report
from dicom_ai_node.domain.uids import SOPClassUID, SOPInstanceUID, is_uid

SOP_CLASS = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model."""
SOP_INSTANCE = "1.2.840.10008.1.20.1.1"
"""The one well-known instance of it."""
REQUEST = 1
"""Action Type ID of a request."""
ALL_KEPT, SOME_FAILED = 1, 2
"""Event Type IDs of a report."""

_PROCESSING_FAILURE = 0x0110


def request(transaction_uid: str, asked: Iterable[Asked]) -> Dataset:
    """Return the action information of a request."""
    made = Dataset()
    made.TransactionUID = transaction_uid
    made.ReferencedSOPSequence = Items(_reference(one) for one in asked)
    return made


def read_request(said: Dataset) -> tuple[str, tuple[Asked, ...]]:
    """Return Transaction UID and instances of a request.

    Raises
    ------
    Refused
        If one of them is missing, or there are too many.
    """
    items = _items(said, "ReferencedSOPSequence")
    return _transaction(said), checked(
        Asked(
            SOPClassUID(_text(one, "ReferencedSOPClassUID")),
            SOPInstanceUID(_text(one, "ReferencedSOPInstanceUID")),
        )
        for one in items
    )


def report(transaction_uid: str, answer: Header) -> tuple[int, Dataset]:
    """Return Event Type ID and event information of the answer to a request."""
    made = Dataset.from_json(dict(answer))
    made.TransactionUID = transaction_uid
    return SOME_FAILED if has_value(answer, "FailedSOPSequence") else ALL_KEPT, made


def read_report(said: Dataset) -> Report:
    """Return what a report says. What it names as failed is not kept, whatever else it says.

    Raises
    ------
    Refused
        If it has no Transaction UID.
    """
    failed = {
        SOPInstanceUID(_text(one, "ReferencedSOPInstanceUID")): _reason(one)
        for one in _items(said, "FailedSOPSequence")
    }
    kept = {
        SOPInstanceUID(_text(one, "ReferencedSOPInstanceUID"))
        for one in _items(said, "ReferencedSOPSequence")
    }
    return Report(
        transaction_uid=_transaction(said), kept=frozenset(kept - failed.keys()), failed=failed
    )


def _reference(one: Asked) -> Dataset:
    made = Dataset()
    made.ReferencedSOPClassUID = one.sop_class_uid
    made.ReferencedSOPInstanceUID = one.sop_instance_uid
    return made


def _transaction(said: Dataset) -> str:
    found = _text(said, "TransactionUID")
    if not is_uid(found):
        raise Refused("there is no Transaction UID")
    return found


def _items(said: Dataset, keyword: str) -> Sequence[Dataset]:
    found = said.get(keyword)
    return found if isinstance(found, Items) else ()


def _text(said: Dataset, keyword: str) -> str:
    found = said.get(keyword)
    return found.strip(" \0") if isinstance(found, str) else ""


def _reason(one: Dataset) -> int:
    found = one.get("FailureReason")
    return found if isinstance(found, int) else _PROCESSING_FAILURE
