"""What a path over time says: how far, how fast, to and fro how often. Plain numbers, no DICOM.

Positions are (frames, 2) in any unit of length, NaN where nobody knows; times are in milliseconds.
"""

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.float64]
"""(frames, 2), rows and columns."""

LEAST_CYCLES = 2.0
"""A motion repeats only if it is seen to: fewer cycles have no period."""
LEAST_EXPLAINED = 0.5
"""How much of the variance a wave must explain to be called one."""
_PERIODS, _ROUNDING = 400, 1e-9


def along_axis(positions: Positions) -> Positions:
    """Return (frames, 2): distances from the first known place along the main axis, and across.

    The main axis is the one along which positions spread most; its sign makes the larger
    excursion positive.
    """
    known = positions[~np.isnan(positions).any(axis=1)]
    if not len(known):
        return positions.copy()
    _, _, axes = np.linalg.svd(known - known.mean(axis=0), full_matrices=True)
    turned: Positions = (positions - known[0]) @ axes.T
    for column in (0, 1):
        values = turned[:, column]
        if -np.nanmin(values) > np.nanmax(values):
            turned[:, column] = -values
    return turned


def smoothed(positions: Positions) -> Positions:
    """Return positions with every known one between two known ones as (1, 2, 1) / 4 of the three.

    A path is a sum of distances, to which the jitter of every single place would add.
    """
    result = positions.copy()
    middle = (positions[:-2] + 2 * positions[1:-1] + positions[2:]) / 4
    is_known = ~np.isnan(middle).any(axis=1)
    result[1:-1][is_known] = middle[is_known]
    return result


def steps(positions: Positions) -> NDArray[np.float64]:
    """Return (frames - 1,) distances between neighbouring frames of the smoothed path."""
    lengths: NDArray[np.float64] = np.linalg.norm(np.diff(smoothed(positions), axis=0), axis=1)
    return lengths


def path_length(positions: Positions) -> float:
    """Return the length of the way; where positions are missing it is straight."""
    known = positions[~np.isnan(positions).any(axis=1)]
    return float(steps(known).sum()) if len(known) > 1 else 0.0


def speeds(positions: Positions, times_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the speeds between neighbouring frames, in units of length per second."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = steps(positions) / (np.diff(times_ms) / 1000)
    return np.asarray(found[np.isfinite(found)])


def period_ms(values: NDArray[np.float64], times_ms: NDArray[np.float64]) -> float | None:
    """Return after which time `values` (frames,) repeat, or `None` if they are not seen to.

    A sine and a straight line are fitted at every period from four frames to half of the time that
    was seen; the best one counts if it explains most of what the line leaves.
    """
    known = np.isfinite(values)
    y, t = values[known], times_ms[known]
    if len(y) < 8 or np.ptp(t) <= 0 or np.ptp(y) <= 0:  # noqa: PLR2004 (four unknowns)
        return None
    span = float(np.ptp(t))
    line = np.stack([np.ones_like(t), (t - t[0]) / span], axis=1)
    left = _rest(line, y)
    if left <= _ROUNDING * float(np.square(y - y.mean()).sum()):
        return None
    shortest = max(4 * float(np.median(np.diff(t))), span / len(y))
    periods = np.geomspace(shortest, span / LEAST_CYCLES, _PERIODS)
    rests = [_rest(np.hstack([line, _wave(t, period)]), y) for period in periods]
    best = int(np.argmin(rests))
    if rests[best] > (1 - LEAST_EXPLAINED) * left:
        return None
    # The longest possible period fits best where a motion does not repeat at all.
    if best == _PERIODS - 1:
        return None
    return float(periods[best])


def _wave(t: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    phase = 2 * np.pi * t / period
    return np.stack([np.sin(phase), np.cos(phase)], axis=1)


def _rest(columns: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the sum of squares that the best combination of `columns` leaves of `y`."""
    weights, *_ = np.linalg.lstsq(columns, y, rcond=None)
    return float(np.square(y - columns @ weights).sum())
