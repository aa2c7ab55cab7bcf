"""Made disease: spots of known size, put into images of real patients.

What is made like this is called made wherever its scores are told.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FWHM_OF_SIGMA = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))
"""Full width at half maximum of a Gaussian whose standard deviation is 1."""


def blurred(
    array: NDArray[np.floating], fwhm_mm: float, spacing_mm: Sequence[float]
) -> NDArray[np.float32]:
    """Return what a scanner with a Gaussian point spread of this width sees of `array`."""
    sigmas = [fwhm_mm / FWHM_OF_SIGMA / step for step in spacing_mm]
    return np.asarray(ndimage.gaussian_filter(array.astype(np.float32), sigmas, mode="nearest"))


def grain(
    shape: Sequence[int], fwhm_mm: float, spacing_mm: Sequence[float], random: np.random.Generator
) -> NDArray[np.float32]:
    """Return noise of mean 0 and standard deviation 1 whose grains are about `fwhm_mm` wide."""
    noise = blurred(random.standard_normal(tuple(shape)), fwhm_mm, spacing_mm)
    return np.asarray((noise - noise.mean()) / max(float(noise.std()), 1e-6), np.float32)


def blob(
    shape: Sequence[int],
    centre: Sequence[float],
    radius_mm: float,
    spacing_mm: Sequence[float],
    random: np.random.Generator,
) -> NDArray[np.bool_]:
    """Return a lump: an ellipsoid about `centre` with a bumpy surface.

    Parameters
    ----------
    centre
        Its place among the pixels, along the axes of `shape`.
    radius_mm
        Of the ball of about the same volume; axes are drawn from 0.75 to 1.33 times of it.
    """
    stretch = np.exp(random.uniform(-0.29, 0.29, len(shape)))
    stretch /= np.prod(stretch) ** (1 / len(shape))
    grids = np.ogrid[tuple(slice(0, length) for length in shape)]
    squares = [
        ((grid - at) * step / (radius_mm * factor)) ** 2
        for grid, at, step, factor in zip(grids, centre, spacing_mm, stretch, strict=True)
    ]
    distance = np.sqrt(sum(squares[1:], squares[0]))
    bumps = 0.12 * grain(shape, 2 * radius_mm, spacing_mm, random)
    return np.asarray(distance + bumps <= 1)
