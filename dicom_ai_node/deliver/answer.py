"""The answer to a STOW-RS request: what became of each instance, PS3.18 Table I.2-1."""

import json
from collections.abc import Iterator, Mapping

from dicom_ai_node.deliver.judge import Entry, judge
from dicom_ai_node.domain.errors import PeerRejected

_REFERENCED_SOP_SEQUENCE = "00081199"
_FAILED_SOP_SEQUENCE = "00081198"
_REFERENCED_SOP_INSTANCE_UID = "00081155"
_WARNING_REASON = "00081196"
_FAILURE_REASON = "00081197"

_PROCESSING_FAILURE = 0x0110
_HAS_IT_ALREADY = 0x0111


def read_answer(body: bytes, peer: str) -> Mapping[str, Entry]:
    """Return one entry per SOP Instance UID that the answer names.

    Empty where it names none: an error page, the login page of a proxy, or not DICOM at all.
    Whoever sent it may be no DICOMweb service, so that any shape of JSON is lived with.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    entries: dict[str, Entry] = {}
    for item in _items(answer, _REFERENCED_SOP_SEQUENCE):
        entries[_uid(item)] = _success(_number(item, _WARNING_REASON) or 0, peer)
    for item in _items(answer, _FAILED_SOP_SEQUENCE):
        entries[_uid(item)] = _failure(_number(item, _FAILURE_REASON), peer)
    entries.pop("", None)
    return entries


def _success(warning: int, peer: str) -> str:
    entry = judge(warning, peer)
    # What stands in the sequence of the stored is stored, whatever reason it warns with.
    return entry if isinstance(entry, str) else f"{peer} stored it and warns of 0x{warning:04X}"


def _failure(reason: int | None, peer: str) -> Entry:
    if reason is None:
        reason = _PROCESSING_FAILURE
    entry = judge(reason, peer)
    if isinstance(entry, str) and reason != _HAS_IT_ALREADY:
        return PeerRejected(f"{peer} lists it as failed with 0x{reason:04X}; a person: ask there")
    return entry


def _items(dataset: object, tag: str) -> Iterator[object]:
    if isinstance(dataset, dict):
        element = dataset.get(tag)
        values = element.get("Value") if isinstance(element, dict) else None
        if isinstance(values, list):
            yield from values


def _uid(item: object) -> str:
    return next(
        (uid for uid in _items(item, _REFERENCED_SOP_INSTANCE_UID) if isinstance(uid, str)), ""
    )


def _number(item: object, tag: str) -> int | None:
    for value in _items(item, tag):
        if isinstance(value, int):
            return value
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return int(value[:9])
    return None
