"""What earlier reports tell of lesions, and what has become of each and of all together."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from pydicom.sr.coding import Code

from dicom_ai_node.domain.course import Course, Point
from dicom_ai_node.domain.findings import Segment
from dicom_ai_node.domain.lesions import (
    LONG_AXIS,
    MILLIMETRE,
    SUM_OF_DIAMETERS,
    Fate,
    Lesions,
    Response,
    lesion_name,
    targets,
)
from dicom_ai_node.domain.reports import Report, ReportedMeasurement, ReportReference
from dicom_ai_node.infer.followed import Known, Moves, matched

_NUMBER: Final = re.compile(r".* no\. ([1-9][0-9]{0,3})")


def studies_of_lesions(
    by_study: Iterable[Sequence[Report]], segments: Sequence[Segment], made_by: str
) -> list[Report]:
    """Return one report for each study at which lesions were looked for, the first study first.

    One of this model says so even if it tells of none, one of another system only if it does.
    """
    found = []
    for reports in by_study:
        telling = [one for one in reports if any(_lesions_in(one, segments))]
        found += telling[:1] or [one for one in reports if made_by in one.made_by][:1]
    return sorted(found, key=lambda one: (str(one.studied_at), one.reference.sop_instance_uid))


def _lesions_in(
    report: Report, segments: Sequence[Segment]
) -> Iterable[tuple[ReportedMeasurement, Segment]]:
    for item in report.measurements:
        if item.concept == LONG_AXIS and item.unit.value == "mm" and item.tracking_uid:
            for segment in segments:
                is_of = item.finding is not None and item.finding == segment.type
                if is_of and item.place is not None:
                    yield item, segment
                    break


def known_lesions(studies: Sequence[Report], segments: Sequence[Segment]) -> tuple[Known, ...]:
    """Return the lesions that reports tell of, one report per study and the first study first.

    A lesion is what has a longest diameter, a place in the patient and a tracking UID. Where
    another system has given no number, it gets the next.
    """
    found: dict[str, Known] = {}
    for report in studies:
        for item, segment in _lesions_in(report, segments):
            before = found.get(item.tracking_uid)
            if item.place is None:
                continue
            found[item.tracking_uid] = Known(
                tracking_uid=item.tracking_uid,
                number=before.number if before else _number(item, found.values()),
                of=segment.number,
                place=item.place,
                sizes={**(before.sizes if before else {}), report.reference: item.value},
                is_there=report is studies[-1],
            )
    return tuple(found.values())


def _number(item: ReportedMeasurement, others: Iterable[Known]) -> int:
    taken = {one.number for one in others}
    named = _NUMBER.fullmatch(item.tracking_id)
    if named and int(named[1]) not in taken:
        return int(named[1])
    return next(number for number in range(1, len(taken) + 2) if number not in taken)


def followed_up(
    now: Lesions,
    studies: Sequence[Report],
    known: Sequence[Known],
    moves: Moves,
    segments: Sequence[Segment],
) -> Lesions:
    """Return the lesions of this study with what has become of them since `studies`."""
    if not studies:
        return now
    organs = {it.number: (it.site or it.type).value for it in segments}
    found = matched(now, known, moves)
    return replace(found, response=response(found, known, studies, organs))


def unmatched(known: Sequence[Known], moves: Moves) -> list[str]:
    """Return why some earlier lesions were not looked for, if that is so."""
    elsewhere = sum(one.place.frame_of_reference_uid not in moves for one in known)
    if not elsewhere:
        return []
    return [f"{elsewhere} earlier lesions lie in another frame of reference and were not matched"]


def response(
    now: Lesions, known: Sequence[Known], studies: Sequence[Report], organs: Mapping[int, str]
) -> Response | None:
    """Return how the target lesions have changed, `None` if there are none or they are unclear.

    Targets are chosen at the first study. A target that is gone counts as 0; the parts of one that
    fell apart count together.

    Parameters
    ----------
    organs
        In which organ the lesions of each segment are.
    """
    if any(one.fate is Fate.UNKNOWN for one in now.present) or not studies:
        return None
    first = studies[0].reference
    sizes = [(k.number, k.sizes[first], organs[k.of]) for k in known if first in k.sizes]
    chosen = targets(sizes)
    if not chosen:
        return None
    sums = [sum_at(report.reference, known, chosen) for report in studies]
    uids = {one.tracking_uid for one in known if one.number in chosen}
    of_target = [it for it in now.present if it.tracking_uid in uids or it.part_of in uids]
    return Response(
        targets=chosen,
        sum_mm=sum(it.long_mm for it in of_target),
        baseline_mm=sums[0],
        nadir_mm=min(sums),
        new=sum(it.fate is Fate.NEW for it in now.present),
    )


def sum_at(study: ReportReference, known: Sequence[Known], chosen: Sequence[int]) -> float:
    """Return the sum of the longest diameters of the chosen lesions at an earlier study."""
    return sum(one.sizes.get(study, 0.0) for one in known if one.number in chosen)


def lesion_courses(
    now: Lesions,
    known: Sequence[Known],
    studies: Sequence[Report],
    at: datetime,
    label_of: Mapping[int, str],
) -> tuple[Course, ...]:
    """Return the course of the sum of all targets, and of each lesion that was followed."""
    found: list[Course] = []
    if now.response is not None:
        chosen = now.response.targets
        told = [(report, sum_at(report.reference, known, chosen)) for report in studies]
        name = f"Target lesions {', '.join(map(str, sorted(chosen)))}"
        of = next(one.of for one in known if one.number in chosen)
        found.append(_course(of, name, SUM_OF_DIAMETERS, told, (at, now.response.sum_mm)))
    for lesion in now.present:
        sizes = next((k.sizes for k in known if k.tracking_uid == lesion.tracking_uid), {})
        told = [(one, sizes[one.reference]) for one in studies if one.reference in sizes]
        if told:
            name = lesion_name(label_of[lesion.of], lesion.number)
            found.append(_course(lesion.of, name, LONG_AXIS, told, (at, lesion.long_mm)))
    return tuple(found)


def _course(
    of: int,
    label: str,
    concept: Code,
    told: Sequence[tuple[Report, float]],
    now: tuple[datetime, float],
) -> Course:
    points = [
        Point(at=report.studied_at, value=value, low=value, high=value, report=report.reference)
        for report, value in told
        if report.studied_at is not None
    ]
    at, value = now
    points.append(Point(at=at, value=value, low=value, high=value))
    return Course(of=of, label=label, concept=concept, unit=MILLIMETRE, points=tuple(points))
