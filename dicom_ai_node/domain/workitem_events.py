"""What subscribers are told about a workitem, PS3.4 Table CC.2.4-1."""

from enum import IntEnum
from typing import Any

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.json_model import data_set, has_value, items, merged, tag_of
from dicom_ai_node.domain.workitem import UPS_PUSH

_EVENT_REPORT = 0x0100  # N-EVENT-REPORT-RQ, PS3.7 E.1
_WITH_DATA_SET = 0x0001


class Kind(IntEnum):
    """Event Type ID (0000,1002)."""

    STATE = 1
    CANCEL_REQUESTED = 2
    PROGRESS = 3
    ASSIGNED = 5


_OF_STATE = ("ProcedureStepState", "InputReadinessState")
_OF_CANCELLING = (
    "ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence", "ContactURI",
    "ContactDisplayName",
)  # fmt: skip
_REASONS = _OF_CANCELLING[:2]


def state_report(uid: str, workitem: Header) -> dict[str, Any]:
    """Return that a workitem stands in this state now, with the reason if it is cancelled."""
    progress = items(workitem, "ProcedureStepProgressInformationSequence")
    why = _taken(progress[0], _REASONS) if progress else {}
    return _report(uid, Kind.STATE, _taken(workitem, _OF_STATE), why)


def cancel_requested(uid: str, request: Header, requesting_ae: str) -> dict[str, Any]:
    """Return that somebody who does not perform it asks for its end."""
    who = data_set(RequestingAE=requesting_ae)
    return _report(uid, Kind.CANCEL_REQUESTED, who, _taken(request, _OF_CANCELLING))


def progress_report(uid: str, workitem: Header) -> dict[str, Any]:
    """Return how far a workitem is."""
    said = _taken(workitem, ("ProcedureStepProgressInformationSequence",))
    return _report(uid, Kind.PROGRESS, said)


def assigned(uid: str, workitem: Header) -> dict[str, Any] | None:
    """Return for whom a workitem is; `None` if it does not say."""
    performers = items(workitem, "ScheduledHumanPerformersSequence")
    named = ("HumanPerformerCodeSequence", "HumanPerformerOrganization")
    human = _taken(performers[0], named) if performers else {}
    station = _taken(workitem, ("ScheduledStationNameCodeSequence",))
    return _report(uid, Kind.ASSIGNED, station, human) if station or human else None


def about_update(uid: str, before: Header, after: Header) -> list[dict[str, Any]]:
    """Return the reports that a change of attributes gives rise to."""

    def differs(keyword: str) -> bool:
        return before.get(tag_of(keyword)) != after.get(tag_of(keyword))

    told: list[dict[str, Any] | None] = []
    if differs("ProcedureStepState") or differs("InputReadinessState"):
        told.append(state_report(uid, after))
    if differs("ScheduledStationNameCodeSequence") or differs("ScheduledHumanPerformersSequence"):
        told.append(assigned(uid, after))
    if differs("ProcedureStepProgressInformationSequence"):
        told.append(progress_report(uid, after))
    return [one for one in told if one is not None]


def _taken(source: Header, keywords: tuple[str, ...]) -> dict[str, Any]:
    return {
        tag_of(keyword): source[tag_of(keyword)]
        for keyword in keywords
        if has_value(source, keyword)
    }


def _report(uid: str, kind: Kind, *said: Header) -> dict[str, Any]:
    command = data_set(
        AffectedSOPClassUID=UPS_PUSH,
        CommandField=_EVENT_REPORT,
        CommandDataSetType=_WITH_DATA_SET,
        AffectedSOPInstanceUID=uid,
        EventTypeID=int(kind),
    )
    return merged(command, *said)
