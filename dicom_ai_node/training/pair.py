"""An image that was made worse with what it was, and how near a restoration comes to that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An image that was made worse, and what it was.

    Attributes
    ----------
    given
        (rows, columns) float32 in the unit of the model's facts.
    wanted
        (rows, columns) times the factor of the model.
    ends
        (low, high) of the intensity scaling: of the window, or of the volume it came from.
    group
        What must stay on one side of a split, and what an interval draws: a patient.
    zero
        The value of nothing at all, which is that of air in HU.
    """

    given: Plane
    wanted: Plane
    ends: tuple[float, float]
    group: str
    zero: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PairParts:
    """Training fits the weights, validation chooses, test is scored once at the end."""

    training: Sequence[Pair]
    validation: Sequence[Pair]
    test: Sequence[Pair]


Method = Callable[[Pair], Plane]
"""Restores the given image of a pair without any learning."""


def to_unit(array: Plane, ends: tuple[float, float]) -> Plane:
    """Bring values to 0..1 between two ends, as the node does."""
    return np.asarray(np.clip((array - ends[0]) / max(ends[1] - ends[0], 1e-6), 0, 1), np.float32)


def psnr(found: Plane, wanted: Plane, ends: tuple[float, float]) -> float:
    """Return the peak signal to noise ratio in dB, both clipped to the window `ends`."""
    error = float(np.mean((to_unit(found, ends) - to_unit(wanted, ends)) ** 2, dtype=np.float64))
    return float(-10 * np.log10(max(error, 1e-12)))


def ssim(found: Plane, wanted: Plane, ends: tuple[float, float]) -> float:
    """Return the structural similarity (Wang et al. 2004) in the window `ends`."""
    one, other = to_unit(found, ends), to_unit(wanted, ends)
    return float(
        structural_similarity(
            one,
            other,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
