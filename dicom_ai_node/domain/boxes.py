"""Boxes in an image: how a centre-point network says them, and when two of them are the same.

A border lies at a whole number: 0 is the upper or left border of the first pixel, 0.5 its centre,
and the number of rows or columns the far border of the last one. PS3.3 counts the same way in
the graphic data of reports (C.18.6) and of presentation states in pixel units (C.10.5).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BORDERS = 4
"""Channels that say where a box ends: distances to its top, left, bottom and right border."""

SAME_IOU = 0.5
"""Two boxes of one class that overlap by more than this are one."""

FAINTEST = 0.02
"""A place of less heat than this (of 1) is no candidate: there would be no end of them."""


@dataclass(frozen=True, slots=True)
class Corners:
    """A box by its borders, in pixels as this module counts them."""

    top: float
    left: float
    bottom: float
    right: float

    @property
    def area(self) -> float:
        """Return the area in square pixels; 0 for a box that has no inside."""
        return max(self.bottom - self.top, 0.0) * max(self.right - self.left, 0.0)

    def times(self, rows: float, columns: float) -> "Corners":
        """Return the box in an image that is so many times as high and as wide."""
        return Corners(
            self.top * rows, self.left * columns, self.bottom * rows, self.right * columns
        )

    def clipped(self, rows: float, columns: float) -> "Corners":
        """Return the part that lies in an image of that size."""
        return Corners(
            min(max(self.top, 0.0), rows),
            min(max(self.left, 0.0), columns),
            min(max(self.bottom, 0.0), rows),
            min(max(self.right, 0.0), columns),
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A box that a network proposes: the place of its class, counted from 0, and its logit."""

    of: int
    logit: float
    corners: Corners


def iou(one: Corners, other: Corners) -> float:
    """Return the area that two boxes share, as a part of the area that they cover together."""
    shared = Corners(
        max(one.top, other.top),
        max(one.left, other.left),
        min(one.bottom, other.bottom),
        min(one.right, other.right),
    ).area
    covered = one.area + other.area - shared
    return shared / covered if covered > 0 else 0.0


def candidates(answer: NDArray[np.float32], shape: tuple[int, int], limit: int) -> list[Candidate]:
    """Return the boxes that a network's answer to one image proposes, the surest first.

    Parameters
    ----------
    answer
        (classes + 4, rows, columns) logits. A class is hottest at the centres of its boxes; the
        last four are, after the logistic function, the distances from a pixel's centre to
        the top, left, bottom and right border as parts of the rows or columns.
    shape
        (rows, columns) of the part that shows the image; the rest is padding.
    limit
        So many are returned at the most.
    """
    heat, borders = answer[:-BORDERS, : shape[0], : shape[1]], answer[-BORDERS:]
    least = float(np.log(FAINTEST / (1 - FAINTEST)))
    places = np.argwhere(_is_local_maximum(heat) & (heat > least))
    hottest = sorted(places.tolist(), key=lambda place: (-float(heat[tuple(place)]), place))
    found: list[Candidate] = []
    for of, row, column in hottest:
        corners = _corners(borders, row, column).clipped(*shape)
        is_new = all(one.of != of or iou(one.corners, corners) <= SAME_IOU for one in found)
        if corners.area > 0 and is_new:
            found.append(Candidate(of, float(heat[of, row, column]), corners))
        if len(found) == limit:
            break
    return found


def _is_local_maximum(heat: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say where none of the eight neighbours is hotter."""
    rows, columns = heat.shape[1:]
    around = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    shifts = [around[:, r : r + rows, c : c + columns] for r in range(3) for c in range(3)]
    highest: NDArray[np.bool_] = heat >= np.max(shifts, axis=0)
    return highest


def _corners(borders: NDArray[np.float32], row: int, column: int) -> Corners:
    rows, columns = borders.shape[1:]
    top, left, bottom, right = 1 / (1 + np.exp(-borders[:, row, column].astype(np.float64)))
    return Corners(
        float(row + 0.5 - top * rows),
        float(column + 0.5 - left * columns),
        float(row + 0.5 + bottom * rows),
        float(column + 0.5 + right * columns),
    )
