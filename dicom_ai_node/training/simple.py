"""Simple methods that a restoring network has to be better than, each with settings to try."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.exposure import equalize_adapthist
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


def _back(values: NDArray[np.floating], pair: Pair) -> NDArray[np.float32]:
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


def unsharp(
    sigmas_px: Sequence[float] = (2.0, 20.0, 40.0, 80.0), amounts: Sequence[float] = (0.3, 0.6, 1.0)
) -> list[Method]:
    """Return unsharp masks: the difference from a Gaussian is made larger by a part of it."""

    def method(sigma_px: float, amount: float) -> Method:
        def restore(pair: Pair) -> NDArray[np.float32]:
            soft = ndimage.gaussian_filter(pair.given, sigma_px)
            return _kept(pair.given + amount * (pair.given - soft), pair)

        return restore

    return [method(sigma_px, amount) for sigma_px in sigmas_px for amount in amounts]


def clahe(limits: Sequence[float] = (0.001, 0.003, 0.01)) -> list[Method]:
    """Return contrast-limited adaptive histogram equalisation (Zuiderveld 1994), 8 x 8 tiles."""

    def method(limit: float) -> Method:
        def restore(pair: Pair) -> NDArray[np.float32]:
            found = equalize_adapthist(to_unit(pair.given, pair.ends), clip_limit=limit)
            return _kept(_back(found, pair), pair)

        return restore

    return [method(limit) for limit in limits]


def gamma(exponents: Sequence[float] = (0.7, 0.85, 1.2, 1.5, 2.0)) -> list[Method]:
    """Return grey values raised to a power."""

    def method(exponent: float) -> Method:
        def restore(pair: Pair) -> NDArray[np.float32]:
            return _kept(_back(to_unit(pair.given, pair.ends) ** exponent, pair), pair)

        return restore

    return [method(exponent) for exponent in exponents]


def subtracted(
    parts: Sequence[float] = (0.3, 0.45, 0.6, 0.7, 0.8), nepers: float = 2.5, spread: float = 0.1
) -> list[Method]:
    """Return a broad copy of the intensity subtracted from it, everywhere the same part.

    After L. Love, R. Kruger, Medical Physics 14, 1987: 178: scatter as a convolution. `nepers` is
    the natural logarithm of the intensity of black over that of white, `spread` the standard
    deviation of the Gaussian as a part of the longest side.
    """

    def method(part: float) -> Method:
        def restore(pair: Pair) -> NDArray[np.float32]:
            there = pair.given > pair.ends[0]
            counted = np.exp(-nepers * to_unit(pair.given, pair.ends))
            veil = part * ndimage.gaussian_filter(counted * there, spread * max(counted.shape))
            straight = np.maximum(counted - veil, 0.06 * counted)
            return _kept(_back(-np.log(straight) / nepers, pair), pair)

        return restore

    return [method(part) for part in parts]


def after(first: Method, methods: Sequence[Method]) -> list[Method]:
    """Return methods that are given what another one has restored."""

    def method(second: Method) -> Method:
        return lambda pair: _kept(second(replace(pair, given=first(pair))), pair)

    return [method(second) for second in methods]


def _kept(found: NDArray[np.floating], pair: Pair) -> NDArray[np.float32]:
    """Return a result with black left black, and the rest in the window of what was given."""
    return in_window_of(pair.given, found, pair.given > pair.ends[0])


def in_window_of(
    shown: NDArray[np.float32], found: NDArray[np.floating], there: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return `found` with mean and standard deviation of `shown` where `there`, `shown` elsewhere.

    How wide a window an image is shown in is for whoever looks at it; two images are compared in
    the same one.
    """
    if not there.any():
        return shown
    mean, deviation = shown[there].mean(), shown[there].std()
    standard = (found - found[there].mean()) / max(float(found[there].std()), 1e-6)
    return np.where(there, mean + deviation * standard, shown).astype(np.float32)
