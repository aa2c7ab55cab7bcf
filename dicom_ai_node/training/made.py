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


def uptake(
    anatomy: NDArray[np.floating], fwhm_px: float, random: np.random.Generator
) -> NDArray[np.float32]:
    """Return made uptake of a tracer in a slice whose anatomy is known from elsewhere.

    Each grey value takes up its own amount, by a curve of random knots on which air takes up
    nothing; up to three lumps take up two to eight times the mean. A scanner with a point spread
    of `fwhm_px` pixels sees it, and with it a wide halo of scatter that was not taken off.

    Parameters
    ----------
    anatomy
        (rows, columns) in 0..1, 0 where nothing is: an MR, or organs as grey values.
    """
    heights = np.concatenate([[0.0], random.uniform(0.05, 1.0, 7)])
    found = np.interp(anatomy, np.linspace(0, 1, len(heights)), heights)
    inside = np.argwhere(anatomy > 0.1)  # noqa: PLR2004
    for _ in range(int(random.integers(0, 4)) if len(inside) else 0):
        centre = inside[random.integers(len(inside))]
        lump = blob(anatomy.shape, centre, random.uniform(1.5, 5), (1.0, 1.0), random)
        found[lump] = float(found.mean()) * 2 * 4 ** random.uniform(0, 1)
    halo = blurred(found, 30.0, (1.0, 1.0)) + 0.1 * float(found.mean())
    return blurred(found, fwhm_px, (1.0, 1.0)) + np.float32(random.uniform(0, 0.15)) * halo
