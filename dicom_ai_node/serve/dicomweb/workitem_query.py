"""What a search of the worklist asks for, PS3.18 11.9.1: keys, and what is told of each."""

from fastapi import Request

from dicom_ai_node.domain.archive import Key
from dicom_ai_node.domain.json_model import tag_of
from dicom_ai_node.domain.levels import path_of
from dicom_ai_node.serve.dicomweb.workitem_wire import key_of

TOLD = frozenset(map(tag_of, (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "TimezoneOffsetFromUTC",
    "ScheduledProcedureStepPriority", "ScheduledProcedureStepModificationDateTime",
    "ProcedureStepLabel", "WorklistLabel", "ScheduledProcessingParametersSequence",
    "ScheduledStationNameCodeSequence", "ScheduledStationClassCodeSequence",
    "ScheduledStationGeographicLocationCodeSequence", "ScheduledHumanPerformersSequence",
    "ScheduledProcedureStepStartDateTime", "ExpectedCompletionDateTime",
    "ScheduledWorkitemCodeSequence", "CommentsOnTheScheduledProcedureStep",
    "InputReadinessState", "InputInformationSequence", "StudyInstanceUID", "PatientName",
    "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate", "PatientSex", "AdmissionID", "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence", "ReferencedRequestSequence",
    "ReplacedProcedureStepSequence", "ProcedureStepState",
    "ProcedureStepProgressInformationSequence",
)))  # fmt: skip
"""What is told where nobody asks for more, PS3.4 Table CC.2.5-3: what is planned, how far it is."""

_NO_KEYS = frozenset({"limit", "offset", "fuzzymatching", "includefield", "accept", "charset"})


def keys_of(request: Request) -> tuple[Key, ...]:
    """Return the matching keys; raise `Refused` if one of them is no attribute."""
    said = request.query_params.multi_items()
    return tuple(key_of(name, value) for name, value in said if name not in _NO_KEYS)


def told_of(request: Request) -> frozenset[str] | None:
    """Return the attributes that are told of each workitem; `None` for all.

    Of a sequence all is told, whatever in it is named.

    Raises
    ------
    Refused
        If a key or a field is no attribute.
    """
    said = ",".join(request.query_params.getlist("includefield")).split(",")
    named = [name.strip() for name in said if name.strip()]
    fields = {path_of(name)[0] for name in named if name.lower() != "all"}
    if any(name.lower() == "all" for name in named):
        return None
    return TOLD | fields | {key.path[0] for key in keys_of(request)}
