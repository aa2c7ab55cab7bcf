"""What was measured now beside what earlier reports say of the same patient.

Two numbers mean the same if quantity, derivation, unit, finding, site and side are equal. Where a
report has several such numbers of different things, those of the structure that bears the same
name are taken, else none: nothing is compared on a guess. Every study counts once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_ai_node.domain.course import Course, Point
from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.findings import Findings, Measurement, Segment
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.domain.reports import Report, ReportedMeasurement
from dicom_ai_node.infer.content import moment_of
from dicom_ai_node.infer.lesion_history import (
    followed_up,
    known_lesions,
    lesion_courses,
    studies_of_lesions,
    unmatched,
)
from dicom_ai_node.infer.moves import moves_into
from dicom_ai_node.infer.reports import read_report

WHOLE_IMAGE: Final = Code("111030", "DCM", "Image Region")
"""What a report calls the finding of something that was measured of the image as a whole."""

_Meaning: TypeAlias = tuple[str, ...]
_Quantity: TypeAlias = tuple[int | None, Code, Code | None, Code]


@dataclass(frozen=True, slots=True)
class _Now:
    """What was measured of one thing: of a cine on every frame."""

    quantity: _Quantity
    segment: Segment | None
    values: tuple[float, ...]

    @property
    def meaning(self) -> _Meaning:
        _, concept, derivation, unit = self.quantity
        if self.segment is None:
            return _meaning(concept, derivation, unit, WHOLE_IMAGE, None, None)
        it = self.segment
        return _meaning(concept, derivation, unit, it.type, it.place, it.laterality)


def compared(found: Findings, order: InferenceOrder, facts: ModelFacts) -> Findings:
    """Return `found` with the courses of all that was measured now and at an earlier study.

    Notes say how many reports there were, and what could not be compared and why; they give no
    date. Reports that cannot be read are left out.
    """
    if not order.compares or (not found.measurements and found.lesions is None):
        return found
    header = _study(next(iter(order.inputs.values()))[0])
    at = moment_of(header, "Study")
    if at is None:
        return _noted(found, "not compared with earlier studies: this study has no date")
    reports, notes = _earlier(order.earlier, str(header.get("StudyInstanceUID")), at)
    by_study = _by_study(reports, made_by := f"{facts.name} {facts.version}")
    segments = _segments(found, facts)
    courses, unclear = _courses(found.measurements, by_study, segments, at)
    if found.lesions is not None:
        studies = studies_of_lesions(by_study, segments, made_by)
        known = known_lesions(studies, segments)
        frames = {one.place.frame_of_reference_uid for one in known}
        frame = found.lesions.frame_of_reference_uid
        moves, moved = moves_into(frame, frames, order, facts)
        lesions = followed_up(found.lesions, studies, known, moves, segments)
        labels = {it.number: it.label for it in segments}
        courses = [*lesion_courses(lesions, known, studies, at, labels), *courses]
        found = replace(found, lesions=lesions)
        notes += [*moved, *unmatched(known, moves)]
    used = {ref.sop_instance_uid for course in courses for ref in course.reports}
    others = sum(made_by not in it.made_by for it in reports if _uid(it) in used)
    summary = f"compared with {len(used)} reports of earlier studies"
    if others:
        summary += f", {others} of which another model, version or system has made"
    return _noted(replace(found, courses=tuple(courses)), summary, *notes, *unclear)


def _courses(
    measurements: Sequence[Measurement],
    by_study: Sequence[Sequence[Report]],
    segments: Sequence[Segment],
    at: datetime,
) -> tuple[list[Course], list[str]]:
    """Return the courses of all quantities, and what is not clear about others."""
    courses: list[Course] = []
    unclear: dict[str, None] = {}
    measured = _measured(measurements, {item.number: item for item in segments})
    for now in measured:
        is_alone = sum(other.meaning == now.meaning for other in measured) == 1
        points = [_point(now, reports, is_alone=is_alone) for reports in by_study]
        told = sorted((it for it in points if isinstance(it, Point)), key=lambda one: one.at)
        unclear |= {it: None for it in points if isinstance(it, str)}
        if told:
            courses.append(_course(now, [*told, _spread(now.values, at)]))
    return courses, list(unclear)


def _study(path: Path) -> Dataset:
    """Return by what and when the study of a file is known; the file has been read before."""
    wanted = ["StudyInstanceUID", "StudyDate", "StudyTime"]
    return dcmread(path, specific_tags=wanted, stop_before_pixels=True)


def _noted(found: Findings, *notes: str) -> Findings:
    return replace(found, notes=(*found.notes, *notes))


def _segments(found: Findings, facts: ModelFacts) -> Sequence[Segment]:
    return facts.segments if found.segmentation is None else found.segmentation.segments


def _uid(report: Report) -> str:
    return report.reference.sop_instance_uid


def _earlier(paths: Iterable[Path], study: str, at: datetime) -> tuple[list[Report], list[str]]:
    """Return the reports of studies before `at`, each once and none that was replaced."""
    reports: dict[str, Report] = {}
    unread = 0
    for path in paths:
        try:
            report = read_report(path)
        except Rejected:
            unread += 1
            continue
        reports[_uid(report)] = report
    replaced = {uid for report in reports.values() for uid in report.replaces}
    kept = [
        report
        for report in reports.values()
        if _uid(report) not in replaced
        and report.reference.study_instance_uid != study
        and report.studied_at is not None
        and report.studied_at < at
    ]
    return kept, [f"{unread} earlier reports could not be read"] if unread else []


def _by_study(reports: Sequence[Report], made_by: str) -> list[list[Report]]:
    """Return the reports of every study, those of this model before others, the newest first."""

    def study(report: Report) -> str:
        return report.reference.study_instance_uid

    def rank(report: Report) -> tuple[bool, str, str]:
        written = "" if report.written_at is None else report.written_at.isoformat()
        return made_by in report.made_by, written, _uid(report)

    ordered = sorted(reports, key=rank, reverse=True)
    return [list(group) for _, group in groupby(sorted(ordered, key=study), study)]


def _measured(measurements: Sequence[Measurement], known: Mapping[int, Segment]) -> list[_Now]:
    values: dict[_Quantity, list[float]] = {}
    for item in measurements:
        key = (item.of, item.concept, item.derivation, item.unit)
        values.setdefault(key, []).append(item.value)
    return [
        _Now(key, None if key[0] is None else known[key[0]], tuple(of_it))
        for key, of_it in values.items()
        if key[0] is None or key[0] in known
    ]


def _point(now: _Now, reports: Sequence[Report], *, is_alone: bool) -> Point | str | None:
    """Return what the reports of one study say of the same, why that is not clear, or nothing."""
    unclear = None
    for report in reports:
        same = [item for item in report.measurements if _told(item) == now.meaning]
        by_name = [item for item in same if now.segment and item.tracking_id == _name(now)]
        chosen = by_name or (same if is_alone else [])
        if same and len({item.tracking_uid for item in chosen}) != 1:
            unclear = f"{_label(now)}: an earlier report tells of several and not which is which"
        elif chosen and report.studied_at is not None:
            spread = _spread([item.value for item in chosen], report.studied_at)
            return replace(spread, report=report.reference)
    return unclear


def _name(now: _Now) -> str:
    return "" if now.segment is None else now.segment.tracking_id


def _label(now: _Now) -> str:
    return "Whole image" if now.segment is None else now.segment.label


def _told(item: ReportedMeasurement) -> _Meaning | None:
    if item.subject:  # this node does not know which of several subjects it has looked at
        return None
    it = item
    return _meaning(it.concept, it.derivation, it.unit, it.finding, it.site, it.laterality)


def _meaning(
    concept: Code,
    derivation: Code | None,
    unit: Code,
    finding: Code | None,
    site: Code | None,
    laterality: Code | None,
) -> _Meaning:
    """Return what a number means, comparable whatever words and versions its codes come with."""
    codes = (concept, derivation, finding, site, laterality)
    plain = ("" if it is None else f"{it.scheme_designator} {it.value}" for it in codes)
    return _same(unit), *plain


def _same(unit: Code) -> str:
    """Return a unit with its annotation last: its place and that of nothing else is free."""
    value = unit.value
    start, end = value.find("{"), value.find("}")
    if unit.scheme_designator != "UCUM" or not 0 <= start < end:
        return f"{unit.scheme_designator} {value}"
    return f"UCUM {value[:start]}{value[end + 1 :]}{value[start : end + 1]}"


def _spread(values: Sequence[float], at: datetime) -> Point:
    return Point(
        at=at, value=float(np.median(values)), low=float(min(values)), high=float(max(values))
    )


def _course(now: _Now, points: Sequence[Point]) -> Course:
    of, concept, derivation, unit = now.quantity
    return Course(
        of=of,
        label=_label(now),
        concept=concept,
        unit=unit,
        derivation=derivation,
        points=tuple(points),
    )
