"""How good a result is: overlap with what people drew, and error of what is measured on it."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.training.ranking import INTERVAL, RESAMPLES, SEED


def dice(result: NDArray[np.uint8], truth: NDArray[np.uint8], number: int) -> float:
    """Return the Dice overlap of one segment; 1 where both are empty."""
    ours, theirs = result == number, truth == number
    together = int(ours.sum()) + int(theirs.sum())
    return 1.0 if together == 0 else 2.0 * int((ours & theirs).sum()) / together


def ellipse_axes_mm(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float]
) -> tuple[float, float]:
    """Return (long, short) full axes of the ellipse with the second moments of `mask`.

    Returns
    -------
    tuple
        (0, 0) for an empty mask.
    """
    points = np.argwhere(mask).astype(np.float64) * np.asarray(spacing_mm)
    if len(points) < 3:  # noqa: PLR2004
        return 0.0, 0.0
    spread = np.cov(points, rowvar=False, bias=True)
    # A pixel is not a point: its own second moment is a twelfth of its side squared.
    spread += np.diag(np.square(spacing_mm)) / 12.0
    short, long = np.sqrt(np.linalg.eigvalsh(spread))
    return 4.0 * float(long), 4.0 * float(short)


def circumference_mm(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    """Return the circumference of that ellipse, after Ramanujan (1914)."""
    a, b = (axis / 2 for axis in ellipse_axes_mm(mask, spacing_mm))
    if not a:
        return 0.0
    h = ((a - b) / (a + b)) ** 2
    return math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))


FEWEST_GROUPS = 5
"""With fewer there is nothing to draw from, and no interval is told."""


def interval_of_mean(values: Sequence[float], groups: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of `values`, by drawing whole groups again and again."""
    blocks: dict[str, list[float]] = defaultdict(list)
    for value, group in zip(values, groups, strict=True):
        blocks[group].append(value)
    sums = np.array([sum(block) for block in blocks.values()])
    counts = np.array([len(block) for block in blocks.values()])
    drawn = np.random.default_rng(SEED).integers(len(blocks), size=(RESAMPLES, len(blocks)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), INTERVAL)
    return float(low), float(high)


def row_of(value: float, interval: tuple[float, float], cases: int) -> dict[str, float]:
    """Return one score with its 95 % interval, as `docs/score.json` holds it."""
    low, high = interval
    return {
        "value": round(value, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "cases": cases,
    }


def summary(values: Sequence[float], groups: Sequence[str]) -> dict[str, float]:
    """Return mean, its 95 % interval, sd, median, smallest and largest of one score.

    `groups` names for every value what it shares with values that are alike, such as a patient.
    """
    row = {"mean": round(fmean(values), 4)}
    if len(set(groups)) >= FEWEST_GROUPS:
        low, high = interval_of_mean(values, groups)
        row |= {"low": round(low, 4), "high": round(high, 4)}
    return row | {
        "sd": round(stdev(values), 4) if len(values) > 1 else 0.0,
        "median": round(median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
        "cases": len(values),
    }


def summaries(
    per_case: Sequence[Mapping[str, float]], groups: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return `summary` of every score that any case has, in order of first appearance."""
    names = list(dict.fromkeys(name for scores in per_case for name in scores))
    found = {}
    for name in names:
        having = [(s[name], g) for s, g in zip(per_case, groups, strict=True) if name in s]
        found[name] = summary([value for value, _ in having], [group for _, group in having])
    return found
