"""Findings as curves over time: what a plot shows of a cine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.findings import Findings, Measurement, Trajectory
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.motion import along_axis

LEAST_FRAMES = 3
"""Fewer frames make no curve."""
_MAXIMUM = "56851009"
"""SNOMED CT Maximum."""
_QUIET = (150, 150, 150)


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: a value per place on the horizontal axis, NaN where there is none."""

    label: str
    values: NDArray[np.float64]
    colour_rgb: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Curves on common axes.

    Attributes
    ----------
    at
        (values,) places on the horizontal axis.
    missing
        What is the matter where the last line has no value.
    spread
        (values, 2) from where to where the values of the last line may lie, or `None`.
    ticks
        Places on the horizontal axis and what stands below them; round numbers if there are none.
    """

    title: str
    at: NDArray[np.float64]
    at_label: str
    value_label: str
    lines: tuple[Line, ...]
    missing: str
    spread: NDArray[np.float64] | None = None
    ticks: tuple[tuple[float, str], ...] = ()


def panels_of(findings: Findings) -> list[Panel]:
    """Return a panel per trajectory, and one per quantity whose extremes over the cine were told.

    The horizontal axis is time where the frames have times, else the number of the frame.
    """
    paths = [_path(item) for item in findings.trajectories if len(item.points) >= LEAST_FRAMES]
    return [*paths, *_quantities(findings)]


def _path(path: Trajectory) -> Panel:
    turned = along_axis(path.points * (path.spacing_mm or (1.0, 1.0)))
    at, at_label = _axis(path.sources, path.sources, path.times_ms)
    return Panel(
        title=f"{path.of.label}: distance from the start",
        at=at,
        at_label=at_label,
        value_label="pixels" if path.spacing_mm is None else "mm",
        lines=(
            Line("across the main axis", turned[:, 1], _QUIET),
            Line("along the main axis of the motion", turned[:, 0], path.of.colour_rgb),
        ),
        missing="lost",
    )


def _quantities(findings: Findings) -> list[Panel]:
    segmentation, backdrop = findings.segmentation, findings.backdrop
    if segmentation is None or backdrop is None:
        return []
    by_quantity: dict[tuple[str, int | None], list[Measurement]] = {}
    for item in findings.measurements:
        if item.frame is not None:
            by_quantity.setdefault((item.concept.value, item.of), []).append(item)
    cyclic = {
        (item.concept.value, item.of)
        for item in findings.measurements
        if item.frame is None and item.derivation and item.derivation.value == _MAXIMUM
    }
    concepts = [concept for concept, _ in by_quantity]
    found = []
    # The same quantity of all segments first: where there is room for few, the first matters most.
    for key in sorted(by_quantity.keys() & cyclic, key=lambda one: (concepts.index(one[0]), one)):
        values, number = by_quantity[key], key[1]
        if len(values) < LEAST_FRAMES:
            continue
        (segment,) = (item for item in segmentation.segments if item.number == number)
        by_frame = {item.frame: item.value for item in values}
        at, at_label = _axis(segmentation.sources, backdrop.sources, backdrop.times_ms)
        curve = np.array([by_frame.get(frame, np.nan) for frame in segmentation.sources])
        meaning = values[0].concept.meaning
        found.append(
            Panel(
                title=f"{segment.label}: {meaning}",
                at=at,
                at_label=at_label,
                value_label=_unit(values[0]),
                lines=(Line(meaning, curve, segment.colour_rgb),),
                missing="not found",
            )
        )
    return found


def _unit(item: Measurement) -> str:
    return "pixels" if item.unit.value == "{pixels}" else item.unit.value


def _axis(
    frames: Sequence[SourceFrame],
    timed: Sequence[SourceFrame],
    times_ms: Sequence[float] | None,
) -> tuple[NDArray[np.float64], str]:
    """Return where `frames` lie on the horizontal axis, and what it is called."""
    if times_ms is not None and tuple(frames) == tuple(timed):
        return np.asarray(times_ms, np.float64) / 1000, "time in s"
    return np.array([float(frame.number) for frame in frames]), "frame"
