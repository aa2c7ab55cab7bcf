"""A workitem that somebody has created for this node: which route, on which instances."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TypeAlias

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.json_model import items, text
from dicom_ai_node.domain.rule import Priority
from dicom_ai_node.domain.uids import SeriesInstanceUID, SOPInstanceUID, StudyInstanceUID
from dicom_ai_node.domain.workitem import StepRefused, StepState, Why
from dicom_ai_node.domain.workitem_of_job import OURS

_PRIORITIES: Mapping[str, Priority] = MappingProxyType(
    {"HIGH": Priority.STAT, "MEDIUM": Priority.HIGH, "LOW": Priority.ROUTINE}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody wants this node to do."""

    route: str
    study: StudyInstanceUID
    instances: Mapping[SeriesInstanceUID, frozenset[SOPInstanceUID]]
    priority: Priority


Planning: TypeAlias = Callable[[Wanted, datetime], Job]
"""Returns the job; raises `StepRefused` if there is no such route, or not all inputs are here."""


def wanted(workitem: Header, ae_title: str) -> Wanted | None:
    """Return what a workitem wants of us; `None` if it is for others, or not ready yet.

    It is for us if its Scheduled Station Name is our AE title. Its parameters, or else its label,
    name the route. Who calls it READY says that nothing more will come.

    Raises
    ------
    StepRefused
        If it is for us and ready, but names no instances, or those of several studies.
    """
    stations = items(workitem, "ScheduledStationNameCodeSequence")
    is_ours = ae_title in {text(one, "CodeValue") for one in stations}
    is_ready = text(workitem, "InputReadinessState") == "READY"
    is_new = text(workitem, "ProcedureStepState") == StepState.SCHEDULED.value
    if not (is_ours and is_ready and is_new):
        return None
    sources = items(workitem, "InputInformationSequence")
    studies = {text(one, "StudyInstanceUID") for one in sources}
    instances: dict[SeriesInstanceUID, frozenset[SOPInstanceUID]] = {}
    for one in sources:
        series = SeriesInstanceUID(text(one, "SeriesInstanceUID"))
        named = (text(item, "ReferencedSOPInstanceUID") for item in _references(one))
        uids = frozenset(SOPInstanceUID(uid) for uid in named if uid)
        instances[series] = instances.get(series, frozenset()) | uids
    if len(studies) != 1 or "" in studies or "" in instances or not all(instances.values()):
        raise StepRefused(
            Why.BAD_VALUE,
            "InputInformationSequence must name instances of one study, series by series",
        )
    return Wanted(
        route=_route(workitem),
        study=StudyInstanceUID(studies.pop()),
        instances=instances,
        priority=_PRIORITIES[text(workitem, "ScheduledProcedureStepPriority")],
    )


def _references(source: Header) -> list[Header]:
    return list(items(source, "ReferencedSOPSequence"))


def _route(workitem: Header) -> str:
    for one in items(workitem, "ScheduledProcessingParametersSequence"):
        names = items(one, "ConceptNameCodeSequence")
        if names and (text(names[0], "CodeValue"), text(names[0], "CodingSchemeDesignator")) == (
            "route", OURS,
        ):  # fmt: skip
            return text(one, "TextValue")
    return text(workitem, "ProcedureStepLabel")
