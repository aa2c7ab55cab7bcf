"""Which attributes a workitem must have, may have and may not have, PS3.4 Table CC.2.5-3."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.json_model import (
    data_set,
    element,
    every_data_set,
    has_value,
    instant,
    items,
    merged,
    tag_of,
    text,
)
from dicom_ai_node.domain.workitem import UPS_PUSH, StepRefused, StepState, Why

_REQUIRED = (
    "ScheduledProcedureStepPriority", "ProcedureStepLabel", "ScheduledProcedureStepStartDateTime",
    "InputReadinessState", "ProcedureStepState",
)  # fmt: skip
"""Type 1 when it is created."""
_FILLED = (
    "WorklistLabel", "ScheduledProcessingParametersSequence", "ScheduledStationNameCodeSequence",
    "ScheduledStationClassCodeSequence", "ScheduledStationGeographicLocationCodeSequence",
    "ScheduledWorkitemCodeSequence", "CommentsOnTheScheduledProcedureStep",
    "InputInformationSequence", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "AdmissionID", "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence",
    "ReferencedRequestSequence", "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)  # fmt: skip
"""Type 2 when it is created: whoever leaves one out means that it is empty."""
_EMPTY_AT_FIRST = (
    "TransactionUID", "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)  # fmt: skip
_NEVER_SET = (
    "SOPClassUID", "SOPInstanceUID", "ProcedureStepState", "StudyInstanceUID", "PatientName",
    "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "ReferencedRequestSequence", "ReplacedProcedureStepSequence",
)  # fmt: skip
"""What nobody changes once it is created."""
_BY_PERFORMER = (
    "ProcedureStepProgressInformationSequence", "UnifiedProcedureStepPerformedProcedureSequence",
)  # fmt: skip
_ENUMERATED: Mapping[str, frozenset[str]] = MappingProxyType({
    "ScheduledProcedureStepPriority": frozenset({"HIGH", "MEDIUM", "LOW"}),
    "InputReadinessState": frozenset({"INCOMPLETE", "UNAVAILABLE", "READY"}),
})  # fmt: skip
_PERFORMED = (
    "PerformedStationNameCodeSequence", "PerformedProcedureStepStartDateTime",
    "PerformedProcedureStepEndDateTime", "PerformedWorkitemCodeSequence",
)  # fmt: skip
"""Without a value of each of these nothing is COMPLETED: final state P."""


def created(said: Header, uid: str, now: datetime) -> tuple[dict[str, Any], bool]:
    """Return a new workitem from what somebody has sent, and whether anything had to be changed.

    Raises
    ------
    StepRefused
        If an attribute is missing, has a value that it cannot have, or is not allowed.
    """
    _check_no_bulk(said)
    if _given(said, "ProcedureStepState") and text(said, "ProcedureStepState") != "SCHEDULED":
        raise StepRefused(Why.NOT_SCHEDULED)
    for keyword in _REQUIRED:
        if not has_value(said, keyword):
            raise StepRefused(Why.MISSING, f"{keyword} must have a value")
    _check_values(said)
    for keyword in _EMPTY_AT_FIRST:
        if has_value(said, keyword):
            raise StepRefused(Why.NOT_ALLOWED, f"{keyword} must be empty in a new workitem")
    if text(said, "SOPClassUID") not in {"", UPS_PUSH}:
        raise StepRefused(Why.BAD_VALUE, "SOPClassUID is not that of a workitem")
    filled = {tag_of(one): element(one, ()) for one in _FILLED if tag_of(one) not in said}
    made = merged(filled, _without_command(said), _identity(uid, now))
    made.pop(tag_of("TransactionUID"), None)
    return made, bool(filled)


def updated(before: Header, changes: Header, state: StepState, now: datetime) -> dict[str, Any]:
    """Return a workitem with some attributes set anew, each as a whole.

    Raises
    ------
    StepRefused
        If one of them may not be set, or not now.
    """
    _check_no_bulk(changes)
    allowed = merged(_without_command(changes))
    allowed.pop(tag_of("TransactionUID"), None)
    for keyword in _NEVER_SET:
        if tag_of(keyword) in allowed:
            raise StepRefused(Why.NOT_ALLOWED, f"{keyword} cannot be set")
    for keyword in _BY_PERFORMER:
        if state is StepState.SCHEDULED and tag_of(keyword) in allowed:
            raise StepRefused(Why.NOT_CLAIMED_FOR_UPDATE, f"{keyword} is for whoever claims it")
    for keyword in _REQUIRED:
        if _given(allowed, keyword) and not has_value(allowed, keyword):
            raise StepRefused(Why.MISSING, f"{keyword} must have a value")
    _check_values(allowed)
    if not allowed:
        raise StepRefused(Why.MISSING, "nothing is to be set")
    return merged(before, allowed, _modified(now))


def ended(before: Header, to: StepState, now: datetime) -> dict[str, Any]:
    """Return a workitem as it is in a final state.

    Raises
    ------
    StepRefused
        If it lacks what that state requires: what was performed and what came out of it, or why
        it was discontinued.
    """
    match to:
        case StepState.COMPLETED:
            _check_performed(items(before, "UnifiedProcedureStepPerformedProcedureSequence"))
            extra: Header = {}
        case StepState.CANCELED:
            extra = _with_time_of_cancelling(
                items(before, "ProcedureStepProgressInformationSequence"), now
            )
        case _:
            extra = {}
    return merged(before, extra, state_element(to), _modified(now))


def state_element(state: StepState) -> dict[str, Any]:
    """Return Procedure Step State as a part of a data set."""
    return data_set(ProcedureStepState=state.value)


def _check_performed(performed: Sequence[Header]) -> None:
    if len(performed) != 1:
        raise StepRefused(
            Why.NOT_FIT_FOR_END,
            "UnifiedProcedureStepPerformedProcedureSequence must have one item",
        )
    missing = [keyword for keyword in _PERFORMED if not has_value(performed[0], keyword)]
    # It may have no items, where nothing came out; but that must be said.
    if tag_of("OutputInformationSequence") not in performed[0]:
        missing.append("OutputInformationSequence")
    if missing:
        raise StepRefused(Why.NOT_FIT_FOR_END, f"{', '.join(missing)} must be set before")


def _with_time_of_cancelling(progress: Sequence[Header], now: datetime) -> Header:
    if not progress or not items(progress[0], "ProcedureStepDiscontinuationReasonCodeSequence"):
        raise StepRefused(
            Why.NOT_FIT_FOR_END,
            "ProcedureStepDiscontinuationReasonCodeSequence must be set before, in the item of"
            " ProcedureStepProgressInformationSequence",
        )
    timed = merged(data_set(ProcedureStepCancellationDateTime=instant(now)), progress[0])
    return data_set(ProcedureStepProgressInformationSequence=[timed])


def _check_values(said: Header) -> None:
    for keyword, allowed in _ENUMERATED.items():
        if _given(said, keyword) and text(said, keyword) not in allowed:
            what = ", ".join(sorted(allowed))
            raise StepRefused(Why.BAD_VALUE, f"{keyword} must be one of {what}")


def _check_no_bulk(said: Header) -> None:
    for one in every_data_set(said):
        if any("BulkDataURI" in entry or "InlineBinary" in entry for entry in one.values()):
            raise StepRefused(Why.NOT_ALLOWED, "a workitem holds no bulk data")


def _given(said: Header, keyword: str) -> bool:
    return tag_of(keyword) in said


def _without_command(said: Header) -> dict[str, Any]:
    """Return a data set without group 0000, which is for messages."""
    return {tag: entry for tag, entry in said.items() if not tag.startswith("0000")}


def _identity(uid: str, now: datetime) -> dict[str, Any]:
    return merged(
        data_set(SpecificCharacterSet="ISO_IR 192", SOPClassUID=UPS_PUSH, SOPInstanceUID=uid),
        _modified(now),
    )


def _modified(now: datetime) -> dict[str, Any]:
    return data_set(ScheduledProcedureStepModificationDateTime=instant(now))
