"""From where objects are to which pixel belongs to which: nuclei that touch become two.

A network of this kind gives three channels: background, rim and core, the core being the part of
an object that lies deep in it. Cores do not touch where objects do, so that each is the seed of
one object (Beucher and Meyer 1993, the watershed controlled by markers).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon
from skimage.measure import find_contours
from skimage.segmentation import watershed

RIM, CORE = 1, 2
"""Channels of the network; 0 is the background."""

CORE_DEPTH = 0.45
"""A pixel is core from this part of the greatest depth of its object on."""

BRIGHT = 127.5
"""Half of what eight bits hold: a picture whose median is brighter was lit from behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What counts as an object: probability of its core, of belonging to it at all, its size."""

    core: float = 0.5
    inside: float = 0.5
    smallest_px: int = 12


def histogram_of(image: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return (256,) how often each value of 0..255 occurs."""
    return np.bincount(image.round().clip(0, 255).astype(np.uint8).ravel(), minlength=256)


def brightened(
    image: NDArray[np.float32], histogram: NDArray[np.int64], percent: tuple[float, float]
) -> NDArray[np.float32]:
    """Return `image` (0..255) in 0..1, objects brighter than what is around them.

    A picture that was lit from behind, and so is mostly bright, is inverted: there, objects are
    what is stained. Then the range between two percentiles is stretched.

    Parameters
    ----------
    histogram
        That of the whole picture, which `image` may be a part of.
    """
    if _percentile(histogram, 50) > BRIGHT:
        image, histogram = 255 - image, histogram[::-1]
    low, high = (_percentile(histogram, at) for at in percent)
    scaled = np.clip((image - low) / max(high - low, 1.0), 0, 1)
    return np.asarray(scaled, np.float32)


def _percentile(histogram: NDArray[np.int64], percent: float) -> float:
    """Return what `numpy.percentile` gives for the pixels that were counted."""
    counted = np.cumsum(histogram)
    rank = (int(counted[-1]) - 1) * percent / 100
    below, above = (int(np.searchsorted(counted, int(at), "right")) for at in (rank, rank + 1))
    above = min(above, len(histogram) - 1) if rank % 1 else below
    return below + (above - below) * (rank % 1)


def rim_and_core(objects: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return what a network has to learn: 0 background, 1 rim, 2 core, of (rows, columns)."""
    wanted = np.zeros(objects.shape, np.uint8)
    # A border of background, so that an object which is cut off is deepest at the cut, not inside.
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        if box is None:
            continue
        mask = objects[box] == number
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        wanted[box][mask] = RIM
        wanted[box][mask & (depth >= CORE_DEPTH * depth.max())] = CORE
    return wanted


def separate(probabilities: NDArray[np.float32], limits: Limits) -> NDArray[np.int32]:
    """Return one number per object, from 1 on without gaps, 0 for the background.

    Parameters
    ----------
    probabilities
        (3, rows, columns) of background, rim and core, together 1.
    limits
        What counts as an object.

    Returns
    -------
    NDArray
        (rows, columns) int32. An object without a core of its own, for it is small, counts too.
    """
    core = probabilities[CORE]
    inside = ndimage.binary_fill_holes(core + probabilities[RIM] > limits.inside)
    seeds, count = ndimage.label((core > limits.core) & inside)
    parts, _ = ndimage.label(inside)
    seeded = np.unique(parts[seeds > 0])
    lone = inside & ~np.isin(parts, seeded)
    seeds[lone] = parts[lone] + count
    objects = watershed(-ndimage.gaussian_filter(core, 1.0), seeds, mask=inside)
    return renumbered(objects, limits.smallest_px)


def renumbered(objects: NDArray[np.int32], smallest_px: int = 1) -> NDArray[np.int32]:
    """Return `objects` without the ones that are too small, numbered from 1 on without gaps."""
    sizes = np.bincount(objects.ravel())
    kept = sizes >= smallest_px
    kept[0] = False
    numbers = np.zeros(len(sizes), np.int32)
    numbers[kept] = np.arange(1, int(kept.sum()) + 1)
    return numbers[objects]


def outlines_of(objects: NDArray[np.int32]) -> list[NDArray[np.float32]]:
    """Return the outline of every object as (points, 2) rows and columns, in their order.

    It runs half-way between the pixels of the object and those around it, so that `inside` gives
    the same pixels again. Holes are not outlined.
    """
    found = []
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        mask = np.pad(objects[box] == number, 1).astype(np.float32)
        longest = max(find_contours(mask, 0.5), key=len)[:-1]
        corner = (box[0].start - 1, box[1].start - 1)
        found.append((longest + corner).astype(np.float32))
    return found


def inside(outline: NDArray[np.float32], shape: tuple[int, int]) -> tuple[NDArray[np.intp], ...]:
    """Return (rows, columns) of the pixels of an image whose centre lies inside an outline."""
    rows, columns = polygon(outline[:, 0], outline[:, 1], shape)
    return rows, columns
