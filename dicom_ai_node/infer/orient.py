"""The one order of axes and directions in which a model sees a volume."""

from dataclasses import dataclass, replace
from itertools import permutations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.image import Geometry, Volume

_T = TypeVar("_T", bound=np.generic)

TOWARD = (2, 1, 0)
"""Slices run along z toward the head, rows along y to the back, columns along x to the left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Oriented:
    """A volume with its axes as near to `TOWARD` as permuting and flipping brings them.

    `order[k]` is the axis of the original that became axis k; `flipped[k]` whether it was turned
    round. No voxel is interpolated, so the way back is exact.
    """

    volume: Volume
    order: tuple[int, ...]
    flipped: tuple[bool, ...]

    @property
    def is_original(self) -> bool:
        """Return whether nothing had to be done."""
        return self.order == (0, 1, 2) and not any(self.flipped)

    def back(self, array: NDArray[_T]) -> NDArray[_T]:
        """Return an array whose last three axes are those of `volume` in the original order."""
        leading = array.ndim - 3
        axes = tuple(leading + k for k, is_flipped in enumerate(self.flipped) if is_flipped)
        order = [*range(leading), *(leading + int(k) for k in np.argsort(self.order))]
        return np.flip(array, axes).transpose(order)


def canonical(volume: Volume) -> Oriented:
    """Turn `volume` to slices toward the head, rows toward the back, columns to the left.

    Oblique volumes keep their obliqueness: each axis goes to the direction that it is nearest to.
    """
    geometry = volume.geometry
    directions = geometry.affine[:3, :3] / np.linalg.norm(geometry.affine[:3, :3], axis=0)
    order = max(permutations(range(3)), key=lambda axes: _agreement(directions, axes))
    flipped = tuple(bool(directions[TOWARD[k], order[k]] < 0) for k in range(3))
    if order == (0, 1, 2) and not any(flipped):
        return Oriented(volume=volume, order=order, flipped=flipped)
    array = _turned(volume.array, order, flipped)
    turned = replace(
        volume,
        array=array,
        geometry=_turned_geometry(geometry, order, flipped),
        valid=None if volume.valid is None else _turned(volume.valid, order, flipped),
        # Its slices are no longer the source images.
        sources=(),
    )
    return Oriented(volume=turned, order=order, flipped=flipped)


def _agreement(directions: NDArray[np.float64], order: tuple[int, ...]) -> float:
    return sum(abs(float(directions[TOWARD[k], axis])) for k, axis in enumerate(order))


def _turned(array: NDArray[_T], order: tuple[int, ...], flipped: tuple[bool, ...]) -> NDArray[_T]:
    axes = tuple(k for k, is_flipped in enumerate(flipped) if is_flipped)
    return np.ascontiguousarray(np.flip(array.transpose(order), axes))


def _turned_geometry(old: Geometry, order: tuple[int, ...], flipped: tuple[bool, ...]) -> Geometry:
    affine = old.affine.copy()
    for k, axis in enumerate(order):
        step = old.affine[:3, axis]
        if flipped[k]:
            affine[:3, k] = -step
            affine[:3, 3] += step * (old.shape[axis] - 1)
        else:
            affine[:3, k] = step
    shape = (old.shape[order[0]], old.shape[order[1]], old.shape[order[2]])
    return Geometry(affine, shape, old.frame_of_reference_uid)
