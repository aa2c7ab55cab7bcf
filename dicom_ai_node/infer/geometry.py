"""Where slices lie in the patient, and what is wrong with them, one reject code per cause.

Only ImagePositionPatient, ImageOrientationPatient and PixelSpacing count: instance numbers, slice
locations, slice thickness and the patient's position say what somebody meant, not where it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import Geometry
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.planes import Plane

UNIT_WITHIN: Final = 1e-3
"""How far direction cosines may be from unit length, from a right angle and from each other."""

SAME_PLACE_MM: Final = 0.01
"""Closer than this along the normal, two slices lie at the same place."""

EVEN_WITHIN_MM: Final = 0.01
EVEN_WITHIN: Final = 0.01
"""Gaps are even if they differ from their median by at most 0.01 mm or 1 %, what is more."""

SHEAR_WITHIN_PIXELS: Final = 0.5
"""Over the whole stack, slices may drift sideways by at most half a pixel."""

TILT_WITHIN_DEGREES: Final = 1.0
"""GantryDetectorTilt is explained if the slices lean by as much, give or take this."""

FEW_GAPS: Final = 0.1
"""At most this part of all gaps (but one in any case) may be wide to count as missing slices."""


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """A plane in the patient coordinate system, PS3.3 C.7.6.2.1.1.

    Attributes
    ----------
    position_mm
        (3,) centre of the first pixel.
    across, down
        (3,) unit vectors toward the next column and the next row.
    spacing_mm
        Distance between neighbouring pixel centres (row, column).
    """

    plane: Plane
    position_mm: NDArray[np.float64]
    across: NDArray[np.float64]
    down: NDArray[np.float64]
    spacing_mm: tuple[float, float]

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector at right angles to the plane, as the slices are counted."""
        return np.cross(self.across, self.down)

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.plane.ds.Rows), int(self.plane.ds.Columns)


def locate(plane: Plane) -> Slice:
    """Return where a plane lies.

    Raises
    ------
    Rejected
        With GEO_MISSING_ATTRIBUTE (GEO_MULTIFRAME for a frame of a multi-frame image) if
        position, orientation or spacing is absent or impossible.
    """
    position = _numbers(plane, "ImagePositionPatient", 3)
    cosines = _numbers(plane, "ImageOrientationPatient", 6)
    spacing = _numbers(plane, "PixelSpacing", 2)
    across, down = cosines[:3], cosines[3:]
    lengths = np.array([across @ across, down @ down])
    if np.abs(lengths - 1).max() > 2 * UNIT_WITHIN or abs(across @ down) > UNIT_WITHIN:
        raise _missing(plane, "ImageOrientationPatient is not two unit vectors at right angles")
    if spacing.min() <= 0:
        raise _missing(plane, "PixelSpacing is not positive")
    # remove what rounding left, or the affine would not be orthogonal
    across = across / np.linalg.norm(across)
    down = down - (down @ across) * across
    return Slice(
        plane,
        position,
        across,
        down / np.linalg.norm(down),
        (float(spacing[0]), float(spacing[1])),
    )


def in_order(slices: Sequence[Slice]) -> list[Slice]:
    """Return the slices from the first along their normal to the last."""
    return sorted(slices, key=lambda item: depth_mm(item, slices[0].normal))


def depth_mm(item: Slice, normal: NDArray[np.float64]) -> float:
    """Return how far along `normal` a slice lies."""
    return float(item.position_mm @ normal)


def collisions(ordered: Sequence[Slice]) -> list[tuple[Slice, Slice]]:
    """Return neighbours that lie at the same place.

    Raises
    ------
    Rejected
        With GEO_MIXED if slices lie side by side at the same depth.
    """
    normal = ordered[0].normal
    pairs = []
    for one, other in pairwise(ordered):
        if depth_mm(other, normal) - depth_mm(one, normal) > SAME_PLACE_MM:
            continue
        if np.abs(other.position_mm - one.position_mm).max() > min(one.spacing_mm):
            raise Rejected(RejectCode.GEO_MIXED, "slices lie side by side in one plane")
        pairs.append((one, other))
    return pairs


def orthogonal(ordered: Sequence[Slice]) -> Geometry:
    """Return the grid of evenly spaced slices that lie straight above each other.

    Parameters
    ----------
    ordered
        Of one orientation, size and spacing, in order, no two at the same place.

    Raises
    ------
    Rejected
        With IN_COVERAGE for fewer than two slices, GEO_MISSING_ATTRIBUTE without a frame of
        reference, GEO_GANTRY_TILT, GEO_MIXED (slices shifted sideways), GEO_MISSING_SLICE or
        GEO_VARIABLE_SPACING.
    """
    first, last = ordered[0], ordered[-1]
    if len(ordered) < 2:  # noqa: PLR2004 (two slices make a gap)
        raise Rejected(RejectCode.IN_COVERAGE, "one slice is no volume")
    frame_of_reference = str(first.plane.ds.get("FrameOfReferenceUID") or "")
    if not frame_of_reference:
        raise Rejected(RejectCode.GEO_MISSING_ATTRIBUTE, "FrameOfReferenceUID is absent")
    _check_straight(ordered)
    _check_even(ordered)
    step = (depth_mm(last, first.normal) - depth_mm(first, first.normal)) / (len(ordered) - 1)
    affine = np.eye(4)
    affine[:3, 0] = first.normal * step
    affine[:3, 1] = first.down * first.spacing_mm[0]
    affine[:3, 2] = first.across * first.spacing_mm[1]
    affine[:3, 3] = first.position_mm
    return Geometry(affine, (len(ordered), *first.size), frame_of_reference)


def thickness_mm(ordered: Sequence[Slice]) -> tuple[float, ...] | None:
    """Return how much of the normal each slice stands for: half the way to either neighbour.

    The first and the last stand for as much outward as inward. A single slice stands for its
    SliceThickness, or `None` if that is absent.
    """
    if len(ordered) == 1:
        declared = ordered[0].plane.numbers("SliceThickness")
        return declared if declared and declared[0] > 0 else None
    gaps = _gaps_mm(ordered)
    padded = np.concatenate([gaps[:1], gaps, gaps[-1:]])
    return tuple(float(value) for value in (padded[:-1] + padded[1:]) / 2)


def oddities(ordered: Sequence[Slice]) -> tuple[str, ...]:
    """Return a sentence for each thing that `orthogonal` would reject, for slices seen singly."""
    notes = []
    for check in (_check_straight, _check_even):
        try:
            check(ordered)
        except Rejected as reason:
            notes.append(str(reason))
    return tuple(notes)


def _check_straight(ordered: Sequence[Slice]) -> None:
    """Raise if the step from slice to slice is not parallel to the normal."""
    first = ordered[0]
    if len(ordered) < 2:  # noqa: PLR2004
        return
    offsets = np.array([item.position_mm - first.position_mm for item in ordered])
    along = offsets @ first.normal
    aside = offsets - along[:, None] * first.normal
    allowed_mm = SHEAR_WITHIN_PIXELS * min(first.spacing_mm)
    if np.linalg.norm(aside, axis=1).max() > allowed_mm:
        slope = aside[-1] / along[-1]
        angle = np.degrees(np.arctan(np.linalg.norm(slope)))
        if np.linalg.norm(aside - along[:, None] * slope, axis=1).max() > allowed_mm:
            raise Rejected(RejectCode.GEO_MIXED, "slices are shifted sideways, not by a tilt")
        raise Rejected(RejectCode.GEO_GANTRY_TILT, f"the slices are sheared by {angle:.1f} degrees")
    _check_declared_tilt(first)


def _check_declared_tilt(first: Slice) -> None:
    """Raise if a tilt is declared that orientation and positions know nothing of."""
    declared = first.plane.numbers("GantryDetectorTilt")
    if not declared or abs(declared[0]) <= TILT_WITHIN_DEGREES:
        return
    upright = np.degrees(np.arccos(np.clip(np.abs(first.normal).max(), 0, 1)))
    if abs(upright - abs(declared[0])) > TILT_WITHIN_DEGREES:
        raise Rejected(
            RejectCode.GEO_GANTRY_TILT,
            f"GantryDetectorTilt is {declared[0]:.1f} degrees, the slices stand upright",
        )


def _check_even(ordered: Sequence[Slice]) -> None:
    """Raise if the gaps differ, saying whether slices are missing or the spacing varies."""
    if len(ordered) < 2:  # noqa: PLR2004
        return
    gaps = _gaps_mm(ordered)
    usual = float(np.median(gaps))
    if np.abs(gaps - usual).max() <= _tolerance_mm(usual):
        return
    steps = np.round(gaps / usual)
    wide = np.flatnonzero(steps > 1)
    fits = np.abs(gaps - steps * usual) <= _tolerance_mm(usual) * np.maximum(steps, 1)
    if fits.all() and steps.min() >= 1 and len(wide) <= max(1, FEW_GAPS * len(gaps)):
        depths = [depth_mm(item, ordered[0].normal) for item in ordered]
        missing = [
            f"{depths[at] + usual * step:.1f}" for at in wide for step in range(1, int(steps[at]))
        ]
        raise Rejected(
            RejectCode.GEO_MISSING_SLICE,
            f"{len(missing)} missing at {', '.join(missing[:10])} mm along the normal",
        )
    raise Rejected(
        RejectCode.GEO_VARIABLE_SPACING, f"gaps of {gaps.min():.3f} to {gaps.max():.3f} mm"
    )


def _tolerance_mm(usual_mm: float) -> float:
    # positions are decimal strings: a gap of exactly the tolerance must not fail by rounding
    return max(EVEN_WITHIN_MM, EVEN_WITHIN * usual_mm) + 1e-6


def _gaps_mm(ordered: Sequence[Slice]) -> NDArray[np.float64]:
    normal = ordered[0].normal
    return np.diff([depth_mm(item, normal) for item in ordered])


def _numbers(plane: Plane, keyword: str, count: int) -> NDArray[np.float64]:
    values = np.array(plane.numbers(keyword), np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise _missing(plane, f"{keyword} is absent or not {count} numbers")
    return values


def _missing(plane: Plane, what: str) -> Rejected:
    if "PerFrameFunctionalGroupsSequence" in plane.ds:
        return Rejected(RejectCode.GEO_MULTIFRAME, what)
    return Rejected(RejectCode.GEO_MISSING_ATTRIBUTE, what)
