"""Intensities as a network was trained on them, the same for every kind of task."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.image import Image
from dicom_ai_node.domain.model import Intensity, ModelFacts, Scaling, Sees

EVEN_TO_PX = 16
"""A grid without windows is padded to a multiple of this, so that every pooling comes out even."""
SMALLEST_RANGE = 1e-6
"""A narrower range of intensities, in the unit of the image, is that of an empty image."""


def scaled(image: Image, facts: ModelFacts) -> NDArray[np.float32]:
    """Return the array of `image` as the network wants it; statistics leave padding out.

    A volume and the slices of a stack are scaled together, other frames each by itself.
    """
    if facts.sees is not Sees.FRAMES:
        return _scaled_together(image.array, image.valid, facts)
    frames = [
        _scaled_together(frame, None if image.valid is None else image.valid[place], facts)
        for place, frame in enumerate(image.array)
    ]
    return np.stack(frames)


def _scaled_together(
    array: NDArray[np.float32], valid: NDArray[np.bool_] | None, facts: ModelFacts
) -> NDArray[np.float32]:
    intensity = facts.intensity
    measured = array if valid is None or not valid.any() else array[valid]
    if intensity.nonzero and measured.any():
        measured = measured[measured != 0]
    match intensity.scaling:
        case Scaling.WINDOW | Scaling.PERCENTILE:
            return to_range(array, ends_of(measured, intensity))
        case Scaling.ZSCORE:
            mean, deviation = measured.mean(dtype=np.float64), measured.std(dtype=np.float64)
            standard = (array - mean) / max(float(deviation), SMALLEST_RANGE)
            if intensity.nonzero:
                standard[array == 0] = 0
            return np.asarray(standard, np.float32)
        case Scaling.STANDARD:
            clipped = np.clip(array, intensity.low, intensity.high)
            return np.asarray((clipped - intensity.mean) / intensity.deviation, np.float32)


def ends(image: Image, facts: ModelFacts) -> list[tuple[float, float]]:
    """Return for every slice or frame which values of `image` become 0 and 1, as `scaled` does it.

    With them windows and percentiles can be undone: what is a step of 1 to the network is a step
    of high - low in the unit of the image.
    """
    valid = np.ones(image.array.shape, np.bool_) if image.valid is None else image.valid
    if facts.sees is not Sees.FRAMES:
        seen = image.array[valid] if valid.any() else image.array
        return [ends_of(seen, facts.intensity)] * len(image.array)
    return [
        ends_of(frame[v] if v.any() else frame, facts.intensity)
        for frame, v in zip(image.array, valid, strict=True)
    ]


def ends_of(measured: NDArray[np.float32], intensity: Intensity) -> tuple[float, float]:
    """Return (low, high), the values that become 0 and 1; high is always the larger one."""
    low, high = intensity.low, intensity.high
    if intensity.scaling is Scaling.PERCENTILE:
        low, high = map(float, np.percentile(measured, [low, high]))
    return low, max(high, low + SMALLEST_RANGE)


def to_range(array: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.float32]:
    """Bring values to 0..1 between two ends; what lies beyond is cut off."""
    low, high = limits
    return np.asarray(np.clip((array - low) / (high - low), 0, 1), np.float32)


def padded(stack: NDArray[np.float32], facts: ModelFacts) -> NDArray[np.float32]:
    """Return (items, *grid): scaled items, filled up at the end to what the network takes.

    Padding takes no part in any statistics; see `Intensity.pad` for its value.
    """
    shape = _padded_shape(stack.shape[1:], facts)
    lowest: NDArray[np.float32] = stack.min(axis=tuple(range(1, stack.ndim)), keepdims=True)
    pad = facts.intensity.pad
    if pad is not None or facts.intensity.scaling is not Scaling.ZSCORE:
        lowest = np.full_like(lowest, pad or 0)
    items = np.broadcast_to(lowest, (len(stack), *shape)).copy()
    items[(slice(None), *(slice(0, length) for length in stack.shape[1:]))] = stack
    return items


def _padded_shape(shape: Sequence[int], facts: ModelFacts) -> tuple[int, ...]:
    if facts.window is not None:
        return tuple(map(max, shape, facts.window.roi_size))
    if facts.grid.size_px is not None:
        return tuple(map(max, shape, facts.grid.size_px))
    return tuple(-(-length // EVEN_TO_PX) * EVEN_TO_PX for length in shape)
