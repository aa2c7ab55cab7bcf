"""Which parts of an input are looked at where looking at all of it would take too long.

Used for the guard alone: evenly spread slices or frames, and in them evenly spread windows that
show something.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_PLANES, MOST_WINDOWS = 16, 8
"""So many images with two axes, or windows with three, are looked at."""
CROP_PX = 128
"""Side of the windows of images that a network takes at any size."""
FAINTEST = 0.25
"""A window shows something if its contrast is this part of that of the one with the most."""


@dataclass(frozen=True, slots=True)
class Excerpts:
    """Windows of one size.

    Attributes
    ----------
    places
        For each of them the number of the item, then its first index along every axis.
    size
        Of a window along every axis.
    """

    places: tuple[tuple[int, ...], ...]
    size: tuple[int, ...]

    def of(self, items: NDArray[Any]) -> NDArray[Any]:
        """Return (windows, inputs, *size) of (items, inputs, *axes)."""
        return np.stack([items[item][self._at(corner)] for item, *corner in self.places])

    def _at(self, corner: Sequence[int]) -> tuple[slice, ...]:
        pairs = zip(corner, self.size, strict=True)
        return slice(None), *(slice(start, start + length) for start, length in pairs)


def evenly(count: int, most: int) -> list[int]:
    """Return at most so many of `count` places, with the first and the last."""
    if count <= most:
        return list(range(count))
    return [int(place) for place in np.linspace(0, count - 1, most).round()]


def excerpts(
    items: NDArray[np.float32],
    shape: Sequence[int],
    size: Sequence[int] | None,
    most: int | None = None,
) -> Excerpts:
    """Return what is looked at of (items, inputs, *axes).

    Parameters
    ----------
    shape
        How much of every axis is image and not padding.
    size
        Of a window, or `None` to take items whole.
    most
        So many at the most; if it is not said, `MOST_PLANES` or `MOST_WINDOWS`.
    """
    axes = items.shape[2:]
    most = most or (MOST_PLANES if len(axes) == 2 else MOST_WINDOWS)  # noqa: PLR2004
    chosen = evenly(len(items), most)
    length = axes if size is None else tuple(map(min, size, axes))
    starts = [_starts(have, want) for have, want in zip(shape, length, strict=True)]
    every = [(item, *corner) for item in chosen for corner in product(*starts)]
    if len(every) > len(chosen):
        contrast = [
            float(
                Excerpts((place,), length)
                .of(items)[0]
                .std(axis=tuple(range(1, items.ndim - 1)))
                .max()
            )
            for place in every
        ]
        least = FAINTEST * max(contrast)
        every = [place for place, found in zip(every, contrast, strict=True) if found >= least]
    return Excerpts(tuple(every[n] for n in evenly(len(every), most)), length)


def _starts(have: int, want: int) -> list[int]:
    """Return where windows begin that cover an axis side by side; the last one ends with it."""
    count = max(1, -(-have // want))
    return [int(start) for start in np.linspace(0, max(have - want, 0), count).round()]
