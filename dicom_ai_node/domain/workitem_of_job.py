"""A job of the node as a workitem: its data set, made from what the ledger says of the job.

A job that a person sets going again after it has stopped is another workitem, because what is
CANCELED stays so; the second one says which it replaces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from types import MappingProxyType
from typing import Any

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.job import Job, Result, Stage
from dicom_ai_node.domain.json_model import code_item, data_set, instant, merged
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Priority
from dicom_ai_node.domain.uids import JobKey, SOPClassUID, SOPInstanceUID, derive_uid
from dicom_ai_node.domain.workitem import UPS_PUSH, StepState

OURS = "99DAIN"
"""Coding scheme of what no standard has a code for: stations and routes of this node."""

_STATES: Mapping[Stage, StepState] = MappingProxyType({
    Stage.READY: StepState.SCHEDULED,
    Stage.INFERRING: StepState.IN_PROGRESS,
    Stage.INFERRED: StepState.IN_PROGRESS,
    Stage.ENCODING: StepState.IN_PROGRESS,
    Stage.DELIVERING: StepState.IN_PROGRESS,
    Stage.DELIVERED: StepState.COMPLETED,
    Stage.REJECTED: StepState.CANCELED,
    Stage.PARKED: StepState.CANCELED,
    Stage.QUARANTINED: StepState.CANCELED,
    Stage.SUPERSEDED: StepState.CANCELED,
    Stage.CANCELLED: StepState.CANCELED,
})  # fmt: skip
_PERCENT: Mapping[Stage, tuple[int, int]] = MappingProxyType({
    Stage.INFERRING: (10, 50), Stage.INFERRED: (50, 50), Stage.ENCODING: (60, 80),
    Stage.DELIVERING: (80, 80), Stage.DELIVERED: (100, 100),
})  # fmt: skip
"""How far a job is at the beginning of a leg and at its end, roughly."""
_PRIORITIES: Mapping[Priority, str] = MappingProxyType({
    # PS3.3 C.30.1: HIGH is what is called STAT elsewhere, LOW is routine.
    Priority.STAT: "HIGH", Priority.HIGH: "MEDIUM", Priority.ROUTINE: "LOW",
})  # fmt: skip
_REASONS: Mapping[str, str] = MappingProxyType({
    "110501": "Equipment failure",
    "110513": "Discontinued for unspecified reason",
    "110521": "Objects incorrectly formatted",
    "110522": "Object Types not supported",
    "110523": "Object Set incomplete",
    "110527": "Resource inadequate",
    "110528": "Discontinued Procedure Step rescheduled",
})  # fmt: skip
"""Codes of PS3.16 CID 9300 that the node gives."""
_PATIENT_AND_STUDY = (
    "00080050", "00100010", "00100020", "00100021", "00100030", "00100040", "0020000D",
)  # fmt: skip
"""Accession, name, ID and its issuer, birth date, sex, Study Instance UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """Who does the work: this node, and what each of its routes does."""

    ae_title: str
    kinds: Mapping[str, str]

    def codes(self) -> list[dict[str, Any]]:
        """Return the items of a station name code sequence."""
        return [code_item(self.ae_title, OURS, self.ae_title)]

    def workitem_codes(self, route: str) -> list[dict[str, Any]]:
        """Return what a route does, PS3.16 CID 9231."""
        if self.kinds.get(route) in {"restore", "retrieve"}:
            return [code_item("110001", "DCM", "Image Processing")]
        return [code_item("110004", "DCM", "Computer Aided Detection")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a job has done so far: since when, until when, and what came out of it."""

    began_at: datetime
    now: datetime
    results: tuple[Result, ...] = ()


def workitem_uid(key: JobKey, turn: int) -> SOPInstanceUID:
    """Return the UID of the workitem that a job is; `turn` counts how often it began anew."""
    return SOPInstanceUID(derive_uid(key, "workitem", str(turn)))


def state_of(job: Job) -> StepState:
    """Return how a job stands as a workitem; one that waits for its next attempt has begun."""
    if job.stage is Stage.READY and job.attempts > 0:
        return StepState.IN_PROGRESS
    return _STATES[job.stage]


def scheduled(job: Job, uid: str, study: Header, station: Station) -> dict[str, Any]:
    """Return what is to be done, for whom, and what with; `study` is the header of its study."""
    parameters = [
        _text_item("route", OURS, "Route", job.route),
        _text_item("111001", "DCM", "Algorithm Name", job.model),
        _text_item("111003", "DCM", "Algorithm Version", job.model_digest),
    ]
    # Of an item of Referenced Request Sequence what is known; the rest of its Type 2 is empty.
    request = data_set(
        StudyInstanceUID=job.study_instance_uid,
        AccessionNumber=_value(study, "00080050"),
        RequestedProcedureID="",
        RequestedProcedureDescription="",
        RequestedProcedureCodeSequence=[],
        ReferencedStudySequence=[],
    )
    said = data_set(
        SpecificCharacterSet="ISO_IR 192",
        SOPClassUID=UPS_PUSH,
        SOPInstanceUID=uid,
        ScheduledProcedureStepPriority=_PRIORITIES[job.priority],
        ScheduledProcedureStepModificationDateTime=instant(job.created_at),
        ProcedureStepLabel=job.route,
        WorklistLabel=station.ae_title,
        ScheduledProcessingParametersSequence=parameters,
        ScheduledStationNameCodeSequence=station.codes(),
        ScheduledStationClassCodeSequence=[],
        ScheduledStationGeographicLocationCodeSequence=[],
        ScheduledProcedureStepStartDateTime=instant(job.created_at),
        ScheduledWorkitemCodeSequence=station.workitem_codes(job.route),
        CommentsOnTheScheduledProcedureStep="",
        InputReadinessState="READY",
        InputInformationSequence=[],
        AdmissionID="",
        AdmittingDiagnosesDescription="",
        AdmittingDiagnosesCodeSequence=[],
        ReferencedRequestSequence=[request],
        ProcedureStepState=StepState.SCHEDULED.value,
        ProcedureStepProgressInformationSequence=[],
        UnifiedProcedureStepPerformedProcedureSequence=[],
    )
    nobody = data_set(PatientName="", PatientID="", PatientBirthDate="", PatientSex="")
    known = {tag: study[tag] for tag in _PATIENT_AND_STUDY if tag in study}
    return merged(nobody, known, data_set(StudyInstanceUID=job.study_instance_uid), said)


def replacing(uid: str) -> dict[str, Any]:
    """Return what says that a workitem takes the place of another one."""
    item = data_set(ReferencedSOPClassUID=UPS_PUSH, ReferencedSOPInstanceUID=uid)
    return data_set(ReplacedProcedureStepSequence=[item])


def performed(job: Job, state: StepState, done: Done, station: Station) -> dict[str, Any]:
    """Return how far a job is, what came out of it, and why it has stopped if it has."""
    changed = data_set(
        ProcedureStepState=state.value,
        ScheduledProcedureStepModificationDateTime=instant(done.now),
    )
    if state is StepState.SCHEDULED:
        return changed
    progress = _how_far(job)
    if state is StepState.CANCELED:
        progress = merged(progress, _discontinued(job, done.now))
    end = instant(done.now) if state in {StepState.COMPLETED, StepState.CANCELED} else ""
    step = data_set(
        ActualHumanPerformersSequence=[],
        PerformedStationNameCodeSequence=station.codes(),
        PerformedStationClassCodeSequence=[],
        PerformedStationGeographicLocationCodeSequence=[],
        PerformedProcedureStepStartDateTime=instant(done.began_at),
        PerformedProcedureStepEndDateTime=end,
        PerformedProcedureStepDescription=job.route,
        CommentsOnThePerformedProcedureStep="",
        PerformedWorkitemCodeSequence=station.workitem_codes(job.route),
        OutputInformationSequence=outputs(job, done.results),
    )
    return merged(
        changed,
        data_set(
            ProcedureStepProgressInformationSequence=[progress],
            UnifiedProcedureStepPerformedProcedureSequence=[step],
        ),
    )


def at_work(job: Job) -> dict[str, Any]:
    """Return how far a job is that a worker holds, in the place of what was told of its leg."""
    return data_set(ProcedureStepProgressInformationSequence=[_how_far(job)])


def _how_far(job: Job) -> dict[str, Any]:
    low, high = _PERCENT.get(job.stage, (0, 0))
    return data_set(
        ProcedureStepProgress=round(low + (high - low) * job.progress),
        ProcedureStepProgressDescription=f"{job.stage}: {job.doing}"
        if job.doing
        else job.stage.value,
    )


def inputs(job: Job, classes: Mapping[str, SOPClassUID]) -> list[dict[str, Any]]:
    """Return the items of Input Information Sequence; `classes` by SOP Instance UID."""
    by_series = sorted(job.inputs, key=lambda one: one.series_instance_uid)
    return [
        _instances(
            job.study_instance_uid,
            series,
            [(classes.get(one.sop_instance_uid, ""), one.sop_instance_uid) for one in group],
        )
        for series, group in groupby(by_series, key=lambda one: one.series_instance_uid)
    ]


def outputs(job: Job, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the items of Output Information Sequence."""
    by_series = sorted(results, key=lambda one: one.series_instance_uid)
    return [
        _instances(
            job.study_instance_uid,
            series,
            [(one.sop_class_uid, one.sop_instance_uid) for one in group],
        )
        for series, group in groupby(by_series, key=lambda one: one.series_instance_uid)
    ]


def _instances(study: str, series: str, instances: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return references to instances of one series and the way to them, PS3.3 C.30.3."""
    references = [
        data_set(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=uid)
        for sop_class, uid in instances
    ]
    # Whoever serves it knows the beginning of the address.
    url = data_set(RetrieveURL=f"/studies/{study}/series/{series}")
    return data_set(
        ReferencedSOPSequence=references,
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        TypeOfInstances="DICOM",
        WADORSRetrievalSequence=[url],
    )


def _discontinued(job: Job, now: datetime) -> dict[str, Any]:
    code = _reason(job)
    return data_set(
        ProcedureStepCancellationDateTime=instant(now),
        ReasonForCancellation=job.note or str(job.stage),
        ProcedureStepDiscontinuationReasonCodeSequence=[code_item(code, "DCM", _REASONS[code])],
    )


def _reason(job: Job) -> str:
    match job.stage:
        case Stage.REJECTED:
            name = job.note.split(":", maxsplit=1)[0]
            known = RejectCode.__members__.get(name)
            return known.ups_reason if known else "110513"
        case Stage.QUARANTINED:
            return "110501"
        case Stage.SUPERSEDED:
            return "110528"
        case _:
            return "110513"


def _text_item(value: str, scheme: str, meaning: str, said: str) -> dict[str, Any]:
    name = [code_item(value, scheme, meaning)]
    return data_set(ValueType="TEXT", ConceptNameCodeSequence=name, TextValue=said)


def _value(header: Header, tag: str) -> str:
    found = header.get(tag, {}).get("Value") or [""]
    return str(found[0] or "")
