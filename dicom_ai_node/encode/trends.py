"""Findings as courses over studies: what a trend graph shows."""

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.course import Course
from dicom_ai_node.domain.findings import Findings, Segment
from dicom_ai_node.encode.curves import Line, Panel
from dicom_ai_node.encode.plot import MOST_PANELS
from dicom_ai_node.encode.report_courses import unit_of

MOST_DATES = 6
"""Dates that have room below a graph."""
_WHOLE_RGB = (255, 196, 0)
_DAY = timedelta(days=1)


def trends_of(findings: Findings) -> list[Panel]:
    """Return one panel for each of the first quantities that have a course, one below the other."""
    found = findings.segmentation
    segments = {} if found is None else {item.number: item for item in found.segments}
    return [
        _panel(course, None if course.of is None else segments.get(course.of))
        for course in findings.courses[:MOST_PANELS]
    ]


def _panel(course: Course, segment: Segment | None) -> Panel:
    unit = unit_of(course)
    first = course.points[0].at
    at = np.array([(point.at - first) / _DAY for point in course.points])
    now = _digits(course.points[-1].value, 4)
    change = f"{now} {unit}, {'+' if course.change > 0 else ''}{_digits(course.change, 3)}"
    if course.change_percent is not None:
        change += f" ({course.change_percent:+.1f} %)"
    kind = "" if course.derivation is None else f", {course.derivation.meaning.lower()}"
    return Panel(
        title=f"{course.label}: {course.concept.meaning}{kind}: {change} in {_span(course.days)}",
        at=at,
        at_label="date of the study; the last is this one",
        value_label=unit,
        lines=(
            Line(
                course.concept.meaning,
                np.array([point.value for point in course.points]),
                _WHOLE_RGB if segment is None else segment.colour_rgb,
            ),
        ),
        missing="",
        spread=np.array([[point.low, point.high] for point in course.points]),
        ticks=tuple(_ticks(at, first.date())),
    )


def _digits(value: float, count: int) -> str:
    """Return a number with so many digits that count, but never with an exponent."""
    return f"{value:.0f}" if abs(value) >= 10**count else f"{value:.{count}g}"


def _span(days: float) -> str:
    return f"{days:.0f} days" if days >= 2 else f"{24 * days:.0f} h"  # noqa: PLR2004 (days)


def _ticks(at: NDArray[np.float64], first: date) -> list[tuple[float, str]]:
    """Return the dates of studies that stand far enough apart to be read, the last one always."""
    apart = max(float(at[-1]), 1e-9) / MOST_DATES
    kept: list[float] = []
    for place in reversed(at.tolist()):
        if not kept or kept[-1] - place >= apart:
            kept.append(place)
    return [(place, f"{first + timedelta(days=place):%Y-%m-%d}") for place in reversed(kept)]
