"""Outlines of a mask as polygons that run along the borders of its pixels.

So they enclose exactly the pixels that they were made of, to whoever fills them or sums up their
areas, and nothing is smoothed away.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Corner: TypeAlias = tuple[int, int]
"""A corner of pixels: (row, column) of the pixel below and to the right of it."""

_RIGHT, _DOWN, _LEFT, _UP = (0, 1), (1, 0), (0, -1), (-1, 0)
_TURN = {_RIGHT: _DOWN, _DOWN: _LEFT, _LEFT: _UP, _UP: _RIGHT}
"""Toward the inside, which lies on the right hand: pixels that share a corner stay two."""


def contours(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return one closed polygon per connected part of a mask (rows, columns).

    Parts hang together over sides, not over corners. A hole is cut out by a keyhole: the outline
    goes to it and back along one line of no width, PS3.3 C.8.8.6.3.

    Returns
    -------
    list
        (points, 2) each: (row, column), whole numbers at the centres of pixels, so that all
        points lie halfway between two; the last point is not the first one again.
    """
    parts, _ = ndimage.label(mask)
    found = []
    for number, window in enumerate(ndimage.find_objects(parts), start=1):
        outline = _with_keyholes(_loops(parts[window] == number))
        corners = np.asarray(_without_idle(outline), np.float64)
        offset = [window[0].start, window[1].start]
        found.append(corners + offset - 0.5)
    return found


def _loops(part: NDArray[np.bool_]) -> list[list[Corner]]:
    """Return the closed ways around one part, the inside on the right, the outermost first."""
    steps: dict[Corner, list[Corner]] = {}
    padded = np.pad(part, 1)
    for direction, corner, outside in (
        (_RIGHT, (0, 0), padded[:-2, 1:-1]),
        (_DOWN, (0, 1), padded[1:-1, 2:]),
        (_LEFT, (1, 1), padded[2:, 1:-1]),
        (_UP, (1, 0), padded[1:-1, :-2]),
    ):
        for row, column in np.argwhere(part & ~outside) + corner:
            steps.setdefault((int(row), int(column)), []).append(direction)
    loops = []
    while steps:
        # The uppermost corner that is left: of the first way it is the outermost one.
        start = min(steps)
        loops.append(_walked(start, steps))
    return loops


def _walked(start: Corner, steps: dict[Corner, list[Corner]]) -> list[Corner]:
    """Walk from `start` until there again, taking every step that is gone out of `steps`."""
    loop: list[Corner] = []
    here, direction = start, _RIGHT
    while here != start or not loop:
        ways = steps[here]
        direction = _TURN[direction] if _TURN[direction] in ways else ways[0]
        ways.remove(direction)
        if not ways:
            del steps[here]
        loop.append(here)
        here = (here[0] + direction[0], here[1] + direction[1])
    return loop


def _with_keyholes(loops: Sequence[list[Corner]]) -> list[Corner]:
    """Return the outermost way with every hole cut out of it, straight up from its top."""
    outline = list(loops[0])
    # In the order of their tops, so that what lies above a hole is already part of the outline.
    for hole in sorted(loops[1:], key=min):
        top = min(hole)
        above = max(corner for corner in outline if corner[1] == top[1] and corner[0] < top[0])
        place, first = outline.index(above), hole.index(top)
        around = [*hole[first:], *hole[:first], top]
        outline[place + 1 : place + 1] = [*around, above]
    return outline


def _without_idle(loop: Sequence[Corner]) -> Iterable[Corner]:
    """Leave out the corners at which the way goes straight on."""
    return [
        here
        for before, here, after in zip(
            [loop[-1], *loop[:-1]], loop, [*loop[1:], loop[0]], strict=True
        )
        if not _is_straight(before, here, after)
    ]


def _is_straight(before: Corner, here: Corner, after: Corner) -> bool:
    come = (here[0] - before[0], here[1] - before[1])
    go = (after[0] - here[0], after[1] - here[1])
    is_parallel = come[0] * go[1] == come[1] * go[0]
    return is_parallel and come[0] * go[0] + come[1] * go[1] > 0
