"""Intensities as a network was trained on them, the same for every kind of task."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.image import Image
from dicom_ai_node.domain.model import Intensity, ModelFacts, Scaling, Sees

EVEN_TO_PX = 16
"""A grid without windows is padded to a multiple of this, so that every pooling comes out even."""
SMALLEST_RANGE = 1e-6
"""A narrower range of intensities, in the unit of the image, is that of an empty image."""
MEAN_WITHIN = 0.01
"""By how much of itself the mean of a restored image may move before it is set back."""
MOST_MOVED = 0.1
"""By how much of its distance from zero it may move before nothing is believed."""


def scaled(image: Image, facts: ModelFacts) -> NDArray[np.float32]:
    """Return the array of `image` as the network wants it; statistics leave padding out.

    A volume and the slices of a stack are scaled together, other frames each by itself.
    """
    if facts.sees is not Sees.FRAMES:
        return to_range(image.array, ends_of(image.array, image.valid, facts.intensity), facts)
    limits = ends(image, facts)
    return np.stack([to_range(f, e, facts) for f, e in zip(image.array, limits, strict=True)])


def ends(image: Image, facts: ModelFacts) -> list[tuple[float, float]]:
    """Return for every slice or frame which values of `image` become 0 and 1.

    With them the scaling can be undone: what is a step of 1 to the network is a step of
    high - low in the unit of the image.
    """
    if facts.sees is not Sees.FRAMES:
        return [ends_of(image.array, image.valid, facts.intensity)] * len(image.array)
    valid = [None] * len(image.array) if image.valid is None else image.valid
    return [ends_of(f, v, facts.intensity) for f, v in zip(image.array, valid, strict=True)]


def ends_of(
    array: NDArray[np.float32], valid: NDArray[np.bool_] | None, intensity: Intensity
) -> tuple[float, float]:
    """Return (low, high), the values that become 0 and 1; high is always the larger one."""
    measured = array if valid is None or not valid.any() else array[valid]
    match intensity.scaling:
        case Scaling.WINDOW:
            low, high = intensity.low, intensity.high
        case Scaling.PERCENTILE:
            low, high = map(float, np.percentile(measured, [intensity.low, intensity.high]))
        case Scaling.ZSCORE:
            low = float(measured.mean(dtype=np.float64))
            high = low + float(measured.std(dtype=np.float64))
    return low, max(high, low + SMALLEST_RANGE)


def to_range(
    array: NDArray[np.float32], limits: tuple[float, float], facts: ModelFacts
) -> NDArray[np.float32]:
    """Bring values to 0..1 between two ends; what lies beyond is cut off, but not of z-scores."""
    low, high = limits
    part = (array - low) / (high - low)
    if facts.intensity.scaling is not Scaling.ZSCORE:
        part = np.clip(part, 0, 1)
    return np.asarray(part, np.float32)


def padded(stack: NDArray[np.float32], facts: ModelFacts) -> NDArray[np.float32]:
    """Return (items, *grid): scaled items, filled up at the end to what the network takes.

    Padding has the lowest value of the scaled range, and takes no part in any statistics.
    """
    shape = _padded_shape(stack.shape[1:], facts)
    lowest: NDArray[np.float32] = stack.min(axis=tuple(range(1, stack.ndim)), keepdims=True)
    if facts.intensity.scaling is not Scaling.ZSCORE:
        lowest = np.zeros_like(lowest)
    items = np.broadcast_to(lowest, (len(stack), *shape)).copy()
    items[(slice(None), *(slice(0, length) for length in stack.shape[1:]))] = stack
    return items


def _padded_shape(shape: Sequence[int], facts: ModelFacts) -> tuple[int, ...]:
    if facts.window is not None:
        return tuple(map(max, shape, facts.window.roi_size))
    if facts.grid.size_px is not None:
        return tuple(map(max, shape, facts.grid.size_px))
    return tuple(-(-length // EVEN_TO_PX) * EVEN_TO_PX for length in shape)


def shrunk(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return (rows // factor, columns // factor): the mean of every square of pixels."""
    rows, columns = (length // factor for length in image.shape)
    squares = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return np.asarray(squares.mean((1, 3)), np.float32)


def enlarged(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return (rows * factor, columns * factor) by cubic convolution (Keys 1981), same borders.

    The outer borders of the image stay where they are, so that pixel centres move.
    """
    if factor == 1:
        return image
    rows, columns = (_cubic(length, factor) for length in image.shape)
    return np.asarray(rows @ image @ columns.T, np.float32)


def _cubic(length: int, factor: int) -> NDArray[np.float32]:
    """Return (length * factor, length) weights; beyond an end its last pixel goes on."""
    centres = (np.arange(length * factor) + 0.5) / factor - 0.5
    weights = np.zeros((length * factor, length), np.float32)
    for step in (-1, 0, 1, 2):
        neighbour = np.floor(centres).astype(int) + step
        away = np.abs(centres - neighbour)
        near = 1.5 * away**3 - 2.5 * away**2 + 1
        far = -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
        at = np.clip(neighbour, 0, length - 1)
        np.add.at(weights, (np.arange(len(centres)), at), np.where(away <= 1, near, far))
    return weights


def kept_mean(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    zero: float,
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return `after` with the mean of `before`, and a note if it had to be set back.

    A mean that has moved by more than `MEAN_WITHIN` of itself is set back by a factor, which
    leaves `zero` as it is: 0 of whatever is counted, and air of what is in HU.

    Raises
    ------
    TaskFailed
        If that factor is too far from 1 to be an offset: then the image is another one.
    """
    old, new = (_mean(array, valid) for array in (before, after))
    if abs(new - old) <= MEAN_WITHIN * abs(old):
        return after, ()
    if not abs(new - old) <= MOST_MOVED * abs(old - zero):
        raise TaskFailed(f"the mean moved from {old:.4g} to {new:.4g}, which is no restoration")
    held = np.asarray(zero + (after - zero) * ((old - zero) / (new - zero)), np.float32)
    if valid is not None:
        held[~valid] = before[~valid]
    return held, (f"the mean had moved from {old:.4g} to {new:.4g} and was set back",)


def _mean(array: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> float:
    counted = array if valid is None or not valid.any() else array[valid]
    return float(counted.mean(dtype=np.float64))
