"""How well probabilities put the classes in order, with intervals."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Probabilities: TypeAlias = NDArray[np.float64]
"""(pictures, classes), each row adds up to 1."""

Labels: TypeAlias = NDArray[np.int64]
"""(pictures,) positions of the true classes."""

Measure: TypeAlias = Callable[[Probabilities, Labels], float]

RESAMPLES, SEED, INTERVAL = 1000, 20260, (2.5, 97.5)
"""How often a bootstrap draws, where it begins, and the percentiles that it reports."""


def auc(values: NDArray[np.float64], is_positive: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve: how often a positive lies above a negative.

    Returns
    -------
    float
        0..1, ties counted as half; NaN if all pictures are of one kind.
    """
    positives = int(is_positive.sum())
    negatives = len(is_positive) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = float(rankdata(values)[is_positive].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def mean_auc(found: Probabilities, labels: Labels) -> float:
    """Return the mean AUC of every class against the others."""
    return float(np.mean([auc(found[:, k], labels == k) for k in range(found.shape[1])]))


def accuracy(found: Probabilities, labels: Labels) -> float:
    """Return how often the most probable class is the true one."""
    return float((found.argmax(1) == labels).mean())


def threshold_of(values: NDArray[np.float64], is_positive: NDArray[np.bool_]) -> float:
    """Return the threshold with the largest sum of sensitivity and specificity (Youden 1950).

    It lies in the middle between two values that occur, so that rounding moves nobody across it.
    """
    levels = np.unique(values)
    middles = (levels[1:] + levels[:-1]) / 2 if len(levels) > 1 else levels
    sums = [(values[is_positive] >= m).mean() + (values[~is_positive] < m).mean() for m in middles]
    return float(middles[int(np.argmax(sums))])


def threshold_at(
    values: NDArray[np.float64], is_positive: NDArray[np.bool_], false_alarms: float
) -> float:
    """Return the lowest threshold that no more than `false_alarms` of the negatives reach.

    In the middle between two values that occur, as with `threshold_of`; 1 if all are too high.
    """
    levels = np.unique(values)
    middles = (levels[1:] + levels[:-1]) / 2 if len(levels) > 1 else levels
    allowed = [m for m in middles if (values[~is_positive] >= m).mean() <= false_alarms]
    return float(min(allowed, default=1.0))


def interval(
    measure: Measure, found: Probabilities, labels: Labels, groups: Sequence[str]
) -> tuple[float, float]:
    """Return the 95 % interval of a measure, by drawing whole groups again and again.

    Pictures of one group are alike, so that drawing them singly would make the interval too
    narrow. Draws in which the measure is not defined are left out.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        members[group].append(position)
    blocks = [np.array(positions) for positions in members.values()]
    random = np.random.default_rng(SEED)
    drawn = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([blocks[n] for n in random.integers(len(blocks), size=len(blocks))])
        with np.errstate(invalid="ignore"):
            drawn.append(measure(found[chosen], labels[chosen]))
    low, high = np.nanpercentile(drawn, INTERVAL)
    return float(low), float(high)
