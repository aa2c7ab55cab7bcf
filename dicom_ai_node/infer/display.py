"""What a person sees behind a result: the frames of an image as 8-bit grey."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from dicom_ai_node.domain.findings import Backdrop
from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.infer.suv import SUVBW
from dicom_ai_node.infer.units import HOUNSFIELD

SOFT_TISSUE_HU: Final = (-160.0, 240.0)
SUV_WINDOW: Final = (0.0, 10.0)
PERCENTILES: Final = (1.0, 99.0)
"""Of the valid pixels of all frames shown, where the unit does not suggest a window."""

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
