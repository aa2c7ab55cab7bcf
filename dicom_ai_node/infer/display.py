"""What a person sees behind a result: the frames of an image as 8-bit grey."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.domain.pictures import Backdrop
from dicom_ai_node.domain.restoring import enlarged
from dicom_ai_node.infer.suv import SUVBW
from dicom_ai_node.infer.units import HOUNSFIELD

SOFT_TISSUE_HU: Final = (-160.0, 240.0)
SUV_WINDOW: Final = (0.0, 10.0)
PERCENTILES: Final = (1.0, 99.0)
"""Of the valid pixels of all frames shown, where the unit does not suggest a window."""

MOST_CHANGES: Final = 99.5
"""Of the changes that a comparison shows, this percentile is told apart from larger ones."""

_SAMPLE: Final = 1_000_000
"""Percentiles of more pixels than this are taken from evenly chosen ones."""


def backdrop(image: Image, frames: Sequence[int], window: tuple[float, float] | None) -> Backdrop:
    """Return some frames of an image as they are shown, more is brighter.

    Parameters
    ----------
    frames
        Their places in `image.array`, from 0.
    window
        (low, high) in the unit of the image: black and white. `None` for the usual one of the
        unit: soft tissue for HU, 0..10 for SUV, else from the 1st to the 99th percentile.
    """
    picked = list(frames)
    low, high = window or _usual_window(image, picked)
    scale = 255.0 / max(high - low, 1e-6)
    array = np.empty((len(picked), *image.array.shape[1:]), np.uint8)
    for place, frame in enumerate(picked):
        array[place] = np.clip((image.array[frame] - low) * scale + 0.5, 0, 255)
    times = image.times_ms if isinstance(image, Frames) else None
    return Backdrop(
        array=array,
        sources=tuple(image.sources[frame] for frame in picked),
        times_ms=None if times is None else tuple(times[frame] for frame in picked),
    )


def comparison(
    image: Frames,
    restored: NDArray[np.float32],
    frames: Sequence[int],
    window: tuple[float, float] | None,
) -> tuple[Backdrop, float]:
    """Return three pictures side by side: as it came, as it was restored, and what has changed.

    Parameters
    ----------
    restored
        (frames, rows, columns) in the unit of `image`, with as many or a whole number of times
        more rows and columns.
    frames, window
        As for `backdrop`.

    Returns
    -------
    tuple
        The pictures, and the change that is black (minus) or white (plus) in the third.
    """
    before = backdrop(image, frames, window)
    factor = restored.shape[1] // image.array.shape[1]
    after = backdrop(replace(image, array=restored), frames, window or _usual_window(image, frames))
    large = before.array.repeat(factor, axis=1).repeat(factor, axis=2)
    changes = np.stack([restored[frame] - enlarged(image.array[frame], factor) for frame in frames])
    most = _round_up(float(np.percentile(np.abs(changes), MOST_CHANGES)))
    grey = np.clip(127.5 + 127.5 * changes / most + 0.5, 0, 255).astype(np.uint8)
    gap = np.zeros((*large.shape[:2], max(2, large.shape[2] // 64)), np.uint8)
    panels = np.concatenate([large, gap, after.array, gap, grey], axis=2)
    return replace(before, array=panels), most


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20 ..., however small."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value * 0.999)


def _usual_window(image: Image, frames: Sequence[int]) -> tuple[float, float]:
    if image.unit == HOUNSFIELD:
        return SOFT_TISSUE_HU
    if image.unit == SUVBW:
        return SUV_WINDOW
    parts = [
        image.array[frame] if image.valid is None else image.array[frame][image.valid[frame]]
        for frame in frames
    ]
    values = np.concatenate([part.ravel() for part in parts]) if parts else np.empty(0)
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values[:: values.size // _SAMPLE + 1], PERCENTILES)
    return float(low), float(high)
