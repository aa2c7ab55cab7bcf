"""How well objects that were found agree with objects that somebody drew, one by one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME = 0.5
"""Above this overlap (IoU) an object can match only one other, so that pairs are unique."""

STRICT = tuple(np.arange(0.5, 1.0, 0.05).round(2).tolist())
"""Overlaps over which the score of the 2018 Data Science Bowl is the mean."""

Objects = NDArray[np.int32]
"""(rows, columns), 0 background, each object another number."""


@dataclass(frozen=True, slots=True)
class Overlaps:
    """How many pixels objects share: (drawn, found) shared, (drawn,) and (found,) sizes."""

    shared: NDArray[np.int64]
    drawn: NDArray[np.int64]
    found: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """(drawn, found) shared pixels by those of either."""
        either = self.drawn[:, None] + self.found[None] - self.shared
        return np.asarray(self.shared / np.maximum(either, 1))


def overlaps_of(drawn: Objects, found: Objects) -> Overlaps:
    """Count the pixels of every pair of objects."""
    one = np.unique(drawn, return_inverse=True)[1].reshape(drawn.shape) + (drawn.min() > 0)
    other = np.unique(found, return_inverse=True)[1].reshape(found.shape) + (found.min() > 0)
    rows, columns = int(one.max()) + 1, int(other.max()) + 1
    flat = np.bincount((one * columns + other).ravel(), minlength=rows * columns)
    table = flat.reshape(rows, columns)
    return Overlaps(table[1:, 1:], table.sum(1)[1:], table.sum(0)[1:])


def scores(drawn: Objects, found: Objects) -> dict[str, float]:
    """Return all measures of one picture; two empty ones agree.

    `Dice` of what is inside any object, `AJI` (aggregated Jaccard index, Kumar et al. 2017), `F1`
    of objects that overlap by more than half, `PQ` (panoptic quality, Kirillov et al. 2019), the
    score of the 2018 Data Science Bowl, and how far the number of objects is off.
    """
    pairs = overlaps_of(drawn, found)
    iou = pairs.iou
    together = len(pairs.drawn) + len(pairs.found)
    matched = iou[iou > SAME]
    pixels = int(pairs.drawn.sum() + pairs.found.sum())
    return {
        "Dice": 2 * int(pairs.shared.sum()) / pixels if pixels else 1.0,
        "AJI": _aji(pairs, iou),
        "F1 at IoU 0.5": 2 * len(matched) / together if together else 1.0,
        "PQ": 2 * float(matched.sum()) / together if together else 1.0,
        "Data Science Bowl score": _bowl(iou, together),
        "count, absolute error": float(abs(len(pairs.found) - len(pairs.drawn))),
        "count, error": float(len(pairs.found) - len(pairs.drawn)),
    }


def _aji(pairs: Overlaps, iou: NDArray[np.float64]) -> float:
    if not len(pairs.drawn) or not len(pairs.found):
        return float(len(pairs.drawn) == len(pairs.found))
    best = iou.argmax(1)
    drawn = np.arange(len(best))
    touched = iou[drawn, best] > 0
    shared = int(pairs.shared[drawn, best][touched].sum())
    either = int(pairs.drawn.sum() + pairs.found[best][touched].sum()) - shared
    unused = np.setdiff1d(np.arange(len(pairs.found)), best[touched])
    return shared / (either + int(pairs.found[unused].sum()))


def _bowl(iou: NDArray[np.float64], together: int) -> float:
    if not together:
        return 1.0
    hits = [int((iou > threshold).sum()) for threshold in STRICT]
    return float(np.mean([hit / (together - hit) for hit in hits]))
