"""What can be measured on a trajectory: how far, how fast, to and fro how often.

Millimetres only where the image is calibrated, seconds only where its frames have times.
"""

from collections.abc import Sequence

import numpy as np
from pydicom.sr.coding import Code

from dicom_ai_node.domain.findings import Measurement, Trajectory
from dicom_ai_node.domain.motion import along_axis, path_length, period_ms, speeds
from dicom_ai_node.domain.reject import RejectCode

PATH_LENGTH = Code("121211", "DCM", "Path length")
EXCURSION = Code("125327", "DCM", "Excursion Distance")
SPEED = Code("SPEED", "99DAIN", "Speed")
PERIOD = Code("PERIOD", "99DAIN", "Period of motion")
"""PS3.16 has no code for either that is not about blood or gestation."""

MEAN = Code("373098007", "SCT", "Mean")
MAXIMUM = Code("56851009", "SCT", "Maximum")

MILLIMETRE = Code("mm", "UCUM", "mm")
PIXELS = Code("{pixels}", "UCUM", "pixels")
MM_PER_SECOND = Code("mm/s", "UCUM", "mm/s")
PIXELS_PER_SECOND = Code("{pixels}/s", "UCUM", "pixels per second")
SECOND = Code("s", "UCUM", "s")


def motions(
    trajectories: Sequence[Trajectory],
) -> tuple[tuple[Measurement, ...], tuple[str, ...]]:
    """Return path length, excursion, speeds and period of every trajectory, and notes.

    The excursion is the distance between the two ends of the motion along its main axis. Lengths
    and speeds are those of the smoothed path. A period is told only if two cycles were seen.
    """
    found: list[Measurement] = []
    notes: list[str] = []
    for trajectory in trajectories:
        lost = int(np.isnan(trajectory.points).any(axis=1).sum())
        if lost:
            count = len(trajectory.points)
            notes.append(f"{trajectory.of.label}: lost on {lost} of {count} frames")
        found += _motion(trajectory)
    if any(item.spacing_mm is None for item in trajectories):
        notes.append("the image has no calibration: lengths and speeds are in pixels")
    if any(item.times_ms is None for item in trajectories):
        notes.append(f"{RejectCode.TIME_UNKNOWN.name}: no speeds and no period")
    return tuple(found), tuple(notes)


def _motion(trajectory: Trajectory) -> list[Measurement]:
    is_calibrated = trajectory.spacing_mm is not None
    positions = trajectory.points * (trajectory.spacing_mm or (1.0, 1.0))
    along = along_axis(positions)[:, 0]
    if np.isfinite(along).sum() < 2:  # noqa: PLR2004 - a single place is no motion
        return []
    length, speed = (MILLIMETRE, MM_PER_SECOND) if is_calibrated else (PIXELS, PIXELS_PER_SECOND)
    number = trajectory.of.number
    found = [
        Measurement(
            concept=EXCURSION,
            value=float(np.nanmax(along) - np.nanmin(along)),
            unit=length,
            of=number,
        ),
        Measurement(concept=PATH_LENGTH, value=path_length(positions), unit=length, of=number),
    ]
    if trajectory.times_ms is None:
        return found
    times_ms = np.asarray(trajectory.times_ms)
    by_step = speeds(positions, times_ms)
    if len(by_step):
        found += [
            Measurement(
                concept=SPEED, value=float(value), unit=speed, of=number, derivation=derivation
            )
            for derivation, value in ((MEAN, by_step.mean()), (MAXIMUM, by_step.max()))
        ]
    period = period_ms(along, times_ms)
    if period is not None:
        found.append(Measurement(concept=PERIOD, value=period / 1000, unit=SECOND, of=number))
    return found
