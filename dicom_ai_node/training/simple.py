"""Simple methods that a restoring network has to be better than, each with settings to try."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import denoise_nl_means

from dicom_ai_node.domain.restoring import enlarged
from dicom_ai_node.training.pair import Method, Pair, to_unit

STRENGTHS = (0.6, 1.0, 1.5, 2.2, 3.2)
"""Smoothing of non-local means, as a part of the noise that is estimated in each image."""


def noise_of(image: NDArray[np.float32]) -> float:
    """Return the standard deviation of white noise, from the median of diagonal differences.

    After D. Donoho and I. Johnstone, Biometrika 81, 1994: 425; even background does not count.
    """
    detail = (image[:-1, :-1] - image[1:, :-1] - image[:-1, 1:] + image[1:, 1:]) / 2
    there = np.abs(detail[detail != 0])
    return float(np.median(there)) / 0.6745 if there.size else 1e-6


def _back(values: NDArray[np.float64], pair: Pair) -> NDArray[np.float32]:
    low, high = pair.ends
    return np.asarray(values * (high - low) + low, np.float32)


def non_local_means(strengths: Sequence[float] = STRENGTHS) -> list[Method]:
    """Return non-local means (Buades et al. 2005), 5 x 5 patches within 13 x 13 pixels."""

    def method(strength: float) -> Method:
        def restore(pair: Pair) -> NDArray[np.float32]:
            image = to_unit(pair.given, pair.ends)
            sigma = noise_of(image)
            found = denoise_nl_means(
                image, patch_size=5, patch_distance=6, h=strength * sigma, sigma=sigma
            )
            return _back(found, pair)

        return restore

    return [method(strength) for strength in strengths]


def median(sides: Sequence[int] = (3, 5, 7)) -> list[Method]:
    """Return medians over squares of some sides."""

    def method(side: int) -> Method:
        return lambda pair: np.asarray(ndimage.median_filter(pair.given, side), np.float32)

    return [method(side) for side in sides]


def gaussian(sigmas: Sequence[float] = (0.5, 0.8, 1.2, 1.6, 2.2)) -> list[Method]:
    """Return Gaussian smoothing."""

    def method(sigma: float) -> Method:
        return lambda pair: np.asarray(ndimage.gaussian_filter(pair.given, sigma), np.float32)

    return [method(sigma) for sigma in sigmas]


def bicubic(factor: int) -> list[Method]:
    """Return interpolation by cubic convolution, alone and with its blur sharpened away."""

    def sharpened(amount: float) -> Method:
        def restore(pair: Pair) -> NDArray[np.float32]:
            large = enlarged(pair.given, factor)
            return np.asarray(
                large + amount * (large - ndimage.gaussian_filter(large, 1.0)), np.float32
            )

        return restore

    return [sharpened(amount) for amount in (0.0, 0.3, 0.6, 1.0)]
