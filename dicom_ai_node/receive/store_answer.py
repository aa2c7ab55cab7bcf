"""The answer to a request to store: a Store Instances Response, PS3.18 10.5.3 and Annex I."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from dicom_ai_node.domain.native_model import xml_of
from dicom_ai_node.domain.uids import is_uid
from dicom_ai_node.receive.depot import Failed, Stored
from dicom_ai_node.receive.media import DICOM_JSON, DICOM_XML

_RETRIEVE_URL = "00081190"
_FAILURE_REASON, _WARNING_REASON = "00081197", "00081196"
_FAILED, _REFERENCED, _OTHERS = "00081198", "00081199", "0008119A"
_CLASS, _INSTANCE = "00081150", "00081155"

_AS_A_WHOLE = frozenset({413, 415, 503})
"""What may be said of a request of which each instance has failed for the same reason."""

Item: TypeAlias = dict[str, Any]


def status_of(outcomes: Sequence[Stored | Failed]) -> int:
    """Return the status of a request that was read to its end, PS3.18 Table 10.5.3-1."""
    failed = [each for each in outcomes if isinstance(each, Failed)]
    if not outcomes:
        return 400
    if len(failed) < len(outcomes):
        is_warned = any(isinstance(each, Stored) and each.warning for each in outcomes)
        return 202 if failed or is_warned else 200
    reasons = {each.http_status for each in failed}
    return reasons.pop() if len(reasons) == 1 and reasons <= _AS_A_WHOLE else 409


def sentences(outcomes: Iterable[Stored | Failed]) -> list[str]:
    """Return why instances were not stored, each reason once."""
    return list(dict.fromkeys(each.comment for each in outcomes if isinstance(each, Failed)))


def body_of(outcomes: Iterable[Stored | Failed], url: str, answer_in: str = DICOM_JSON) -> bytes:
    """Return the response as JSON or as XML; `url` is where studies are retrieved."""
    answer = response_of(outcomes, url)
    if answer_in == DICOM_XML:
        return xml_of(answer)
    return json.dumps(answer, separators=(",", ":")).encode()


def response_of(outcomes: Iterable[Stored | Failed], url: str) -> Item:
    """Return the response in the DICOM JSON model."""
    referenced: list[Item] = []
    failed: list[Item] = []
    others: list[Item] = []
    studies: set[str] = set()
    for each in outcomes:
        match each:
            case Stored():
                study = f"{url}/{each.study_instance_uid}"
                studies.add(study)
                referenced.append(_stored(each, study))
            case Failed() if is_uid(each.announced.sop_instance_uid):
                failed.append(_failed(each))
            case Failed():
                others.append({_FAILURE_REASON: _us(each.reason)})
    answer: Item = {}
    if len(studies) == 1:
        answer[_RETRIEVE_URL] = _of("UR", studies.pop())
    for tag, items in ((_FAILED, failed), (_REFERENCED, referenced), (_OTHERS, others)):
        if items:
            answer[tag] = {"vr": "SQ", "Value": items}
    return answer


def _stored(stored: Stored, study: str) -> Item:
    series, instance = stored.series_instance_uid, stored.sop_instance_uid
    item = {
        _CLASS: _of("UI", stored.sop_class_uid),
        _INSTANCE: _of("UI", instance),
        _RETRIEVE_URL: _of("UR", f"{study}/series/{series}/instances/{instance}"),
    }
    if stored.warning:
        item[_WARNING_REASON] = _us(stored.warning)
    return item


def _failed(failed: Failed) -> Item:
    sop_class_uid = failed.announced.sop_class_uid
    return {
        _CLASS: _of("UI", sop_class_uid) if is_uid(sop_class_uid) else {"vr": "UI"},
        _INSTANCE: _of("UI", failed.announced.sop_instance_uid),
        _FAILURE_REASON: _us(failed.reason),
    }


def _of(vr: str, value: str) -> Mapping[str, Any]:
    return {"vr": vr, "Value": [value]}


def _us(value: int) -> Mapping[str, Any]:
    return {"vr": "US", "Value": [int(value)]}
