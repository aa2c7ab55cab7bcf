"""The ellipse that lies on the outline of a mask."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FEWEST_POINTS = 12
"""An outline with fewer points says nothing about five parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ellipse:
    """An ellipse by its full axes, in the unit of the spacing that it was fitted with."""

    long_axis: float
    short_axis: float

    @property
    def perimeter(self) -> float:
        """Ramanujan's second approximation; below 1e-4 of the truth for any head."""
        a, b = self.long_axis / 2, self.short_axis / 2
        h = ((a - b) / (a + b)) ** 2
        return math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))


def ellipse_around(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> Ellipse | None:
    """Fit an ellipse to the outline of the largest part of `mask`, in the least-squares sense.

    Parameters
    ----------
    mask
        (rows, columns).
    spacing
        Distance between pixel centres (row, column).

    Returns
    -------
    Ellipse or None
        `None` if the mask is too small or its outline is no closed curve like an ellipse.
    """
    points = _outline(mask) * np.asarray(spacing)
    if len(points) < FEWEST_POINTS:
        return None
    centre, scale = points.mean(axis=0), points.std()
    fitted = _axes((points - centre) / scale)
    if fitted is None:
        return None
    long_axis, short_axis = fitted
    return Ellipse(long_axis=float(long_axis * scale), short_axis=float(short_axis * scale))


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (points, 2) the middles between pixels inside and their neighbours outside.

    These are the points of the contour at one half; pixels at the edge of the image have no
    neighbour there, so that an object that is cut off is not taken to end at the edge.
    """
    parts, count = ndimage.label(mask)
    if not count:
        return np.empty((0, 2))
    largest = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
    filled = ndimage.binary_fill_holes(largest)
    down = np.argwhere(filled[1:] != filled[:-1]) + np.array([0.5, 0.0])
    right = np.argwhere(filled[:, 1:] != filled[:, :-1]) + np.array([0.0, 0.5])
    return np.concatenate([down, right])


def _axes(points: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the full (long, short) axes of the ellipse nearest to `points`.

    Direct least squares (Fitzgibbon) in the numerically stable form of Halir and Flusser 1998:
    of all conics it finds the best one that is an ellipse.
    """
    y, x = points.T
    quadratic = np.stack([x * x, x * y, y * y], axis=1)
    linear = np.stack([x, y, np.ones_like(x)], axis=1)
    try:
        back = -np.linalg.solve(linear.T @ linear, linear.T @ quadratic)
    except np.linalg.LinAlgError:
        return None
    reduced = quadratic.T @ quadratic + quadratic.T @ linear @ back
    # The inverse of the constraint 4ac - b^2 = 1.
    scatter = np.array([reduced[2] / 2, -reduced[1], reduced[0] / 2])
    _, vectors = np.linalg.eig(scatter)
    vectors = np.real(vectors)
    is_ellipse = 4 * vectors[0] * vectors[2] - vectors[1] ** 2 > 0
    if not is_ellipse.any():
        return None
    first = vectors[:, is_ellipse.argmax()]
    return _axes_of_conic(np.concatenate([first, back @ first]))


def _axes_of_conic(conic: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the full axes of a x^2 + b xy + c y^2 + d x + e y + f = 0."""
    a, b, c, d, e, f = conic
    form = np.array([[a, b / 2], [b / 2, c]])
    centre = np.linalg.solve(form, np.array([-d / 2, -e / 2]))
    level = f + (d * centre[0] + e * centre[1]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = -level / np.linalg.eigvalsh(form)
    if not (np.isfinite(squares).all() and (squares > 0).all()):
        return None
    axes = 2 * np.sqrt(np.sort(squares))
    return float(axes[1]), float(axes[0])
