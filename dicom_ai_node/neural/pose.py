"""How a stiff thing has moved, from points on it of which some are wrong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ROUNDS = 3
APART_PX = 3.0
"""A point that ends further from where the others say it should be does not count."""
LEAST_AGREE = 0.3
"""A structure is lost where fewer of its points, each by how sure it is, agree on its motion."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Turned by `rotation` (2, 2) and shifted: `where = rotation @ (point - middle) + moved`."""

    rotation: NDArray[np.float64]
    middle: NDArray[np.float64]
    moved: NDArray[np.float64]

    @classmethod
    def shift(cls, before: NDArray[np.float64], after: NDArray[np.float64]) -> "Pose":
        """Return the motion of a single point, which does not turn."""
        return cls(np.eye(2), before, after)

    def forth(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where `points` (..., 2) have gone to."""
        gone: NDArray[np.float64] = (points - self.middle) @ self.rotation.T + self.moved
        return gone

    def back(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where what is at `points` (..., 2) now has been."""
        been: NDArray[np.float64] = (points - self.moved) @ self.rotation + self.middle
        return been


def pose(
    before: NDArray[np.float64], after: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[Pose, float]:
    """Return the motion that takes `before` to `after`, both (points, 2), and who agrees with it.

    Least squares (Kabsch 1976) over the points that agree, each with its weight; fewer than three
    cannot tell a turn from a shift and only shift.

    Returns
    -------
    tuple
        The motion, and the weight of the points that agree as a part of all points.
    """
    agree = weights > 0
    found = _fitted(before, after, weights * agree)
    for _ in range(ROUNDS):
        apart = np.linalg.norm(found.forth(before) - after, axis=1)
        limit = max(APART_PX, float(np.median(apart[weights > 0])) if (weights > 0).any() else 0.0)
        agree = (weights > 0) & (apart <= limit)
        found = _fitted(before, after, weights * agree)
    apart = np.linalg.norm(found.forth(before) - after, axis=1)
    agree &= apart <= APART_PX
    return found, float((weights * agree).sum() / len(weights))


def _fitted(
    before: NDArray[np.float64], after: NDArray[np.float64], weights: NDArray[np.float64]
) -> Pose:
    total = weights.sum()
    if total <= 0:
        return Pose(np.eye(2), before.mean(axis=0), before.mean(axis=0))
    share = weights[:, None] / total
    middle, moved = (share * before).sum(axis=0), (share * after).sum(axis=0)
    if (weights > 0).sum() < 3:  # noqa: PLR2004
        return Pose(np.eye(2), middle, moved)
    left, _, right = np.linalg.svd((share * (after - moved)).T @ (before - middle))
    sign = np.sign(np.linalg.det(left @ right))
    return Pose(left @ np.diag([1.0, sign]) @ right, middle, moved)


def points_on(mask: NDArray[np.bool_], most: int) -> NDArray[np.float32]:
    """Return up to `most` pixels of `mask` (rows, columns), spread evenly, as (points, 2)."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return np.zeros((0, 2), np.float32)
    step = max(1.0, float(np.sqrt(len(rows) / most)))
    while True:
        on_grid: NDArray[np.bool_] = (np.floor(rows % step) == step // 2) & (
            np.floor(columns % step) == step // 2
        )
        if on_grid.sum() <= most:
            break
        step += 1
    if not on_grid.any():
        on_grid[len(rows) // 2] = True
    return np.stack([rows[on_grid], columns[on_grid]], axis=1).astype(np.float32)


def moved(mask: NDArray[np.bool_], by: Pose) -> NDArray[np.float32]:
    """Return how much of each pixel `mask` (rows, columns) covers where the motion has taken it."""
    there = np.moveaxis(np.indices(mask.shape, np.float64), 0, -1)
    been = np.moveaxis(by.back(there), -1, 0)
    covered: NDArray[np.float32] = ndimage.map_coordinates(
        mask.astype(np.float32), been, order=1, mode="constant"
    )
    return covered
