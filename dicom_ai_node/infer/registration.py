"""Two volumes of one patient brought together by turning and shifting, as if the body were rigid.

The measure is normalised cross-correlation, so that both have to be of one modality. It is found
coarse to fine from several starts, on points and never on all voxels, and always in the same way:
the same volumes give the same move.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from dicom_ai_node.domain.image import Volume

STEPS_MM: Final = (8.0, 4.0)
"""How coarse the volumes are looked at, one after the other."""
FOR_SHARING: Final = (0.25, 0.0)
"""With which power the shared part of the points counts then: at first it keeps the search from
sliding off to where little is compared, in the end it would pull the volumes together."""
MOST_POINTS: Final = 8_000
LEAST_ALIKE: Final = 0.7
"""Correlation from which two volumes count as brought together."""
LEAST_SHARED: Final = 0.4
"""Part of the points that must lie in both volumes."""
_UNITS: Final = np.array([4.0, 4.0, 4.0, 10.0, 10.0, 10.0])
"""Degrees and mm that a search step is long at first."""
_PATIENCE: Final = {"xtol": 3e-3, "ftol": 3e-5, "maxiter": 5}


@dataclass(frozen=True, slots=True)
class Registration:
    """What brings places of the moving volume into the fixed one, and how alike they are then.

    `move` is (4, 4) in mm of the patient coordinate systems; `correlation` is in -1..1.
    """

    move: NDArray[np.float64]
    correlation: float

    @property
    def is_good(self) -> bool:
        """Whether the volumes are alike enough to believe it."""
        return self.correlation >= LEAST_ALIKE


@dataclass(frozen=True, slots=True)
class _Coarse:
    """A volume as it is looked at: values of about 0..1 on a coarse grid, and its affine."""

    values: NDArray[np.float32]
    affine: NDArray[np.float64]

    @property
    def middle_mm(self) -> NDArray[np.float64]:
        found: NDArray[np.float64] = _placed(self.affine, (np.array(self.values.shape) - 1) / 2)
        return found

    @property
    def weight_mm(self) -> NDArray[np.float64]:
        """Where the bright half of it has its middle."""
        bright = np.argwhere(self.values > self.values.mean())
        found: NDArray[np.float64] = _placed(self.affine, bright.mean(axis=0))
        return found


def rigid(moving: Volume, fixed: Volume) -> Registration:
    """Return the best move that was found from `moving` to `fixed`, good or not."""
    best, score = np.zeros(6), -1.0
    start_mm = middle_mm = np.zeros(3)
    for step_mm, sharing in zip(STEPS_MM, FOR_SHARING, strict=True):
        near, far = _coarse(fixed, step_mm), _coarse(moving, step_mm)
        if step_mm == STEPS_MM[0]:
            middle_mm = near.middle_mm
            starts = [far.middle_mm - middle_mm, far.weight_mm - near.weight_mm, np.zeros(3)]
            start_mm = max(starts, key=_Search(near, far, middle_mm, sharing).at_start)
        search = _Search(near, far, middle_mm, sharing)
        search.start_mm = start_mm
        found = minimize(search.unlike, best, method="Powell", options=_PATIENCE)
        best, score = found.x, -float(found.fun)
    back = _matrix(best, start_mm, middle_mm)
    return Registration(np.linalg.inv(back).astype(np.float64), score)


def _coarse(volume: Volume, step_mm: float) -> _Coarse:
    """Return the volume blurred and thinned out to `step_mm`, its extremes cut off."""
    factors = [max(int(step_mm // spacing), 1) for spacing in volume.geometry.spacing_mm]
    low, high = np.percentile(volume.array[::2, ::4, ::4], (1, 99.5))
    values = np.clip((volume.array - low) / max(float(high - low), 1e-6), 0, 1)
    blurred = ndimage.uniform_filter(values, factors)
    affine = volume.geometry.affine.copy()
    affine[:3, :3] *= factors
    return _Coarse(blurred[tuple(slice(None, None, n) for n in factors)], affine)


def _points(of: _Coarse) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (points, 3) places in mm, evenly over the volume, and what lies there."""
    every = max(1, round((of.values.size / MOST_POINTS) ** (1 / 3)))
    axes = [np.arange(0, size, every) for size in of.values.shape]
    index = np.array(list(product(*axes)))
    return _placed(of.affine, index), of.values[tuple(index.T)].astype(np.float64)


def _placed(affine: NDArray[np.float64], index: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = index @ affine[:3, :3].T + affine[:3, 3]
    return found


def _matrix(
    way: NDArray[np.float64], start_mm: NDArray[np.float64], middle_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what brings places of the fixed volume into the moving one: turns about a middle."""
    turn, shift = np.split(way * _UNITS, 2)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    matrix[:3, 3] = middle_mm - matrix[:3, :3] @ middle_mm + shift + start_mm
    return matrix


class _Search:
    """Tells how alike two coarse volumes are, turned about `middle_mm` and shifted."""

    def __init__(
        self, near: _Coarse, far: _Coarse, middle_mm: NDArray[np.float64], sharing: float
    ) -> None:
        self._points, self._values = _points(near)
        self._far, self._middle_mm, self._sharing = far, middle_mm, sharing
        self._to_index = np.linalg.inv(far.affine)
        self.start_mm = np.zeros(3)

    def at_start(self, start_mm: NDArray[np.float64]) -> float:
        self.start_mm = start_mm
        return -self.unlike(np.zeros(6))

    def unlike(self, way: NDArray[np.float64]) -> float:
        """Return minus the correlation where both volumes are; 1 where they share too little."""
        move = self._to_index @ _matrix(way, self.start_mm, self._middle_mm)
        index = _placed(move, self._points).T
        sizes = np.array(self._far.values.shape)[:, None]
        is_inside = ((index >= 0) & (index <= sizes - 1)).all(axis=0)
        share = float(is_inside.mean())
        if share < LEAST_SHARED:
            return 1.0
        there = ndimage.map_coordinates(self._far.values, index[:, is_inside], order=1)
        here = self._values[is_inside]
        here, there = here - here.mean(), there - there.mean()
        size = float(np.sqrt((here**2).sum() * (there**2).sum()))
        alike = float((here * there).sum() / size) if size > 0 else -1.0
        return float(-alike * share**self._sharing)
