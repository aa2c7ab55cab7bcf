"""The measurement groups about what has changed since earlier studies, PS3.16 TID 1501.

An earlier value is never written as a measurement of this study, and a change never under the name
of the quantity itself: whoever reads the report later must not take either for what was measured
now. There are no standard codes for a change; those of the scheme 99DAIN are our own.
"""

from collections.abc import Sequence
from itertools import groupby

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_ai_node.domain.course import Course, Point
from dicom_ai_node.domain.findings import Findings, Segment
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.reports import ReportReference
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.algorithm import algorithm
from dicom_ai_node.encode.report_groups import sites
from dicom_ai_node.encode.report_quality import SCHEME

QUANTITY = Code("COMPARED", SCHEME, "Quantity that is compared")
CHANGE = Code("CHANGE", SCHEME, "Change since the study before")
RELATIVE_CHANGE = Code("RELCHANGE", SCHEME, "Relative change since the study before")
INTERVAL = Code("INTERVAL", SCHEME, "Time since the study before")
RATE = Code("RATE", SCHEME, "Change per day over all studies")
COMMENT = Code("121106", "DCM", "Comment")
PERCENT, DAY = Code("%", "UCUM", "Percent"), Code("d", "UCUM", "day")
_LONGEST_LABEL = 64
_MOST_TOLD = 20
"""Earlier values in the comment, the latest; the reports that they come from are all named."""


def course_groups(
    findings: Findings, origin: Origin
) -> list[sr.MeasurementsAndQualitativeEvaluations]:
    """Return one group per quantity that was measured at an earlier study, too."""
    found = findings.segmentation
    segments = {item.number: item for item in (found or origin.model).segments}
    return [
        _group(course, None if course.of is None else segments[course.of], origin, place)
        for place, course in enumerate(findings.courses)
    ]


def earlier_evidence(findings: Findings, known: Sequence[Dataset]) -> list[Dataset]:
    """Return Pertinent Other Evidence Sequence, PS3.3 C.17.2.3, with the earlier reports in it.

    `known` are the items that are in it already; an instance is named once.
    """
    reports = {ref.sop_instance_uid: ref for one in findings.courses for ref in one.reports}
    told = [fact.report for fact in findings.clinical if fact.days_before is not None]
    reports |= {ref.sop_instance_uid: ref for ref in told if ref is not None}
    items = list(known)
    ordered = sorted(reports.values(), key=_place)
    for study, in_study in groupby(ordered, key=lambda ref: ref.study_instance_uid):
        item = Dataset()
        item.StudyInstanceUID = study
        item.ReferencedSeriesSequence = [
            _series(uid, list(group))
            for uid, group in groupby(in_study, key=lambda ref: ref.series_instance_uid)
        ]
        items.append(item)
    return items


def _place(ref: ReportReference) -> tuple[str, str, str]:
    return ref.study_instance_uid, ref.series_instance_uid, ref.sop_instance_uid


def _series(uid: str, references: Sequence[ReportReference]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = uid
    item.ReferencedSOPSequence = []
    for ref in references:
        inner = Dataset()
        inner.ReferencedSOPClassUID = ref.sop_class_uid
        inner.ReferencedSOPInstanceUID = ref.sop_instance_uid
        item.ReferencedSOPSequence.append(inner)
    return item


def _group(
    course: Course, segment: Segment | None, origin: Origin, place: int
) -> sr.MeasurementsAndQualitativeEvaluations:
    told = [sr.QualitativeEvaluation(QUANTITY, course.concept)]
    if course.derivation is not None:
        told.append(sr.QualitativeEvaluation(codes.DCM.Derivation, course.derivation))
    name = f"Course of {course.label}: {course.concept.meaning}"[:_LONGEST_LABEL].strip()
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derive_uid(origin.job, "tracking", "course", str(place)), identifier=name
        ),
        finding_type=codes.DCM.ImageRegion if segment is None else segment.type,
        finding_category=None if segment is None else segment.category,
        finding_sites=[] if segment is None else sites(segment),
        algorithm_id=algorithm(origin.model),
        measurements=_changes(course),
        qualitative_evaluations=told,
    )
    comment = sr.TextContentItem(COMMENT, _comment(course), sr.RelationshipTypeValues.CONTAINS)
    group[0].ContentSequence.append(comment)
    return group


def _changes(course: Course) -> list[sr.Measurement]:
    unit = course.unit
    found = [(INTERVAL, course.days, DAY), (CHANGE, course.change, unit)]
    if course.change_percent is not None:
        found.append((RELATIVE_CHANGE, course.change_percent, PERCENT))
    if course.per_day is not None:
        per_day = Code(f"{unit.value}/d", "UCUM", f"{unit.meaning} per day"[:_LONGEST_LABEL])
        found.append((RATE, course.per_day, per_day))
    return [
        sr.Measurement(name=name, value=float(f"{value:.4g}"), unit=of_unit)
        for name, value, of_unit in found
    ]


def _comment(course: Course) -> str:
    unit = unit_of(course)
    earlier = course.points[:-1]
    told = [f"{_value(point)} {unit} on {point.at:%Y-%m-%d}" for point in earlier[-_MOST_TOLD:]]
    return f"Now {_value(course.points[-1])} {unit}; before " + ", ".join(told)


def _value(point: Point) -> str:
    spread = "" if point.low == point.high else f" ({point.low:.4g} to {point.high:.4g})"
    return f"{point.value:.4g}{spread}"


def unit_of(course: Course) -> str:
    """Return the unit as a person reads it: without what UCUM puts in brackets."""
    known = {"[hnsf'U]": "HU", "g/ml{SUVbw}": "SUV", "{SUVbw}g/ml": "SUV", "{pixels}": "pixels"}
    return known.get(course.unit.value, course.unit.value)
