"""How the slices of a series lie behind each other, from their headers alone."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from dicom_ai_node.domain.study import Instance

Vector: TypeAlias = tuple[float, float, float]

SAME_PLACE_MM = 0.01
"""Slices closer than this, in mm, lie at the same place: time points, echoes, duplicates."""
PARALLEL_COSINE = 0.9999
"""Normals with at least this cosine (0.8 degrees) are parallel."""
EVEN_WITHIN = 0.1
"""A gap that deviates from a multiple of the spacing by more than this part of it is uneven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Parallel slices.

    Attributes
    ----------
    normal
        Unit vector (x, y, z) in the patient coordinate system: row direction x column
        direction, PS3.3 C.7.6.2.1.1.
    positions_mm
        Where there is a slice along the normal, ascending, each place once, in mm.
    """

    normal: Vector
    positions_mm: tuple[float, ...]

    @property
    def spacing_mm(self) -> float | None:
        """The (lower) median gap in mm, or `None` for a single place."""
        gaps = self._gaps_mm()
        return sorted(gaps)[(len(gaps) - 1) // 2] if gaps else None

    @property
    def is_even(self) -> bool | None:
        """Whether all gaps are equal, or `None` for a single place."""
        return None if self.spacing_mm is None else self.missing == 0

    @property
    def missing(self) -> int | None:
        """How many slices are missing, or `None` if the gaps are no multiples of one spacing."""
        spacing = self.spacing_mm
        if spacing is None:
            return None
        steps = [gap / spacing for gap in self._gaps_mm()]
        if any(round(step) < 1 or abs(step - round(step)) > EVEN_WITHIN for step in steps):
            return None
        return sum(round(step) - 1 for step in steps)

    def _gaps_mm(self) -> list[float]:
        return [after - before for before, after in pairwise(self.positions_mm)]


def stacks(instances: Iterable[Instance]) -> tuple[Stack, ...]:
    """Return one stack per orientation, in the order in which the orientations come.

    Instances without a usable ImageOrientationPatient and ImagePositionPatient are left out.
    """
    found: list[tuple[Vector, list[float]]] = []
    for instance in instances:
        placed = _placed(instance)
        if placed is None:
            continue
        normal, position = placed
        for known, distances in found:
            if _dot(known, normal) >= PARALLEL_COSINE:
                distances.append(_dot(known, position))
                break
        else:
            found.append((normal, [_dot(normal, position)]))
    return tuple(
        Stack(normal=normal, positions_mm=_places(distances)) for normal, distances in found
    )


def numbers(text: str) -> tuple[float, ...]:
    """Return the values of a numeric attribute, or nothing if one of them is no finite number."""
    try:
        values = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return ()
    return values if all(math.isfinite(value) for value in values) else ()


def _placed(instance: Instance) -> tuple[Vector, Vector] | None:
    match numbers(instance.attributes.get("ImageOrientationPatient", "")):
        case (rx, ry, rz, cx, cy, cz):
            normal = (ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx)
        case _:
            return None
    length = math.hypot(*normal)
    match numbers(instance.attributes.get("ImagePositionPatient", "")):
        case (x, y, z) if length > 0 and math.isfinite(length):
            return (normal[0] / length, normal[1] / length, normal[2] / length), (x, y, z)
        case _:
            return None


def _places(distances: Sequence[float]) -> tuple[float, ...]:
    places: list[float] = []
    for distance in sorted(distances):
        if not places or distance - places[-1] > SAME_PLACE_MM:
            places.append(distance)
    return tuple(places)


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
