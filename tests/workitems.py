"""Workitems as a worklist manager creates them, and what a performer says of them."""

from typing import Any

from dicom_ai_node.domain.json_model import code_item, data_set, merged

CLAIM = "1.2.3.99"
"""The Transaction UID of somebody who has claimed a workitem."""


def order(**changes: object) -> dict[str, Any]:
    """Return a workitem as somebody creates it: all that the standard requires, and no more."""
    said = data_set(
        ScheduledProcedureStepPriority="MEDIUM",
        ProcedureStepLabel="read it",
        WorklistLabel="readers",
        ScheduledProcessingParametersSequence=[],
        ScheduledStationNameCodeSequence=[code_item("WS1", "99TEST", "Workstation 1")],
        ScheduledStationClassCodeSequence=[],
        ScheduledStationGeographicLocationCodeSequence=[],
        ScheduledProcedureStepStartDateTime="20260301120000",
        ScheduledWorkitemCodeSequence=[code_item("110005", "DCM", "Interpretation")],
        CommentsOnTheScheduledProcedureStep="",
        InputReadinessState="READY",
        InputInformationSequence=[],
        PatientName="Nemo^Nobody",
        PatientID="4711",
        PatientBirthDate="19700101",
        PatientSex="O",
        StudyInstanceUID="1.2.3",
        AdmissionID="",
        AdmittingDiagnosesDescription="",
        AdmittingDiagnosesCodeSequence=[],
        ReferencedRequestSequence=[],
        ProcedureStepState="SCHEDULED",
        ProcedureStepProgressInformationSequence=[],
        UnifiedProcedureStepPerformedProcedureSequence=[],
    )
    return merged(said, data_set(**changes))


def without(said: dict[str, Any], tag: str) -> dict[str, Any]:
    """Return a data set that lacks an element."""
    return {each: entry for each, entry in said.items() if each != tag}


def progress(percent: int) -> dict[str, Any]:
    """Return how far somebody is."""
    item = data_set(ProcedureStepProgress=percent)
    return data_set(ProcedureStepProgressInformationSequence=[item])


def performed(**changes: object) -> dict[str, Any]:
    """Return what somebody has done, enough to be COMPLETED."""
    item = data_set(
        PerformedStationNameCodeSequence=[code_item("WS1", "99TEST", "Workstation 1")],
        PerformedProcedureStepStartDateTime="20260301120000",
        PerformedProcedureStepEndDateTime="20260301121500",
        PerformedWorkitemCodeSequence=[code_item("110005", "DCM", "Interpretation")],
        OutputInformationSequence=[],
    )
    changed = merged(item, data_set(**changes))
    return data_set(UnifiedProcedureStepPerformedProcedureSequence=[changed])


def discontinued() -> dict[str, Any]:
    """Return why somebody has stopped, enough to be CANCELED."""
    reason = code_item("110513", "DCM", "Discontinued for unspecified reason")
    item = data_set(ProcedureStepDiscontinuationReasonCodeSequence=[reason])
    return data_set(ProcedureStepProgressInformationSequence=[item])
