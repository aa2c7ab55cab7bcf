"""Images as they would have been with less dose, counts, sharpness or coherence: made, and said so.

Every function takes (rows, columns) float arrays and a `numpy.random.Generator`, and returns what
a scanner might have given; the image that went in is the truth that a restoration has to find.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import digamma
from skimage.transform import radon

from dicom_ai_node.domain.restoring import shrunk

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Haze:
    """How an X-ray without a grid and with little dose is worse than it could be.

    Attributes
    ----------
    scatter_to_primary
        Mean scattered over mean primary intensity behind the patient; 0.3 of a hand, 2 and more
        of an abdomen without a grid.
    spread_px, blur_px
        Standard deviations of the scatter, tens of mm, and of the focal spot's shadow.
    quanta
        Counted in a pixel that nothing lies before.
    electrons
        Standard deviation of the electronics, in quanta.
    nepers
        Natural logarithm of the intensity of black over that of white.
    """

    scatter_to_primary: float
    spread_px: float
    blur_px: float
    quanta: float
    electrons: float = 4.0
    nepers: float = 2.5


WATER_PER_MM = 0.0193
"""Linear attenuation of water at about 70 keV (NIST XCOM: 0.193 per cm)."""

ELECTRONIC = 0.2
"""Variance of the electronics as a part of that of the photons, in the ray with fewest photons."""

ANGLES, COARSE_PX, COARSE_ANGLES = 360, 128, 45
"""Views of the noise, and size and views of the image whose line integrals give its variance."""

DYNAMIC_RANGE_DB = 60.0
"""What 0..255 of a log-compressed ultrasound image stand for."""

BLACK = 2.0
"""Grey value, of 0..255, up to which nothing of a patient is in an X-ray."""

UNEVEN = 0.15
"""Standard deviation of the veil's strength from place to place, as a part of it."""

DETECTOR_PX = 0.5
"""Standard deviation by which an X-ray detector smears its noise."""


def with_ct_noise(hu: Plane, spacing_mm: float, level_hu: float, random: Generator) -> Plane:
    """Return a CT slice with the noise of a lower dose, in tissue `level_hu` in the mean square.

    Filtered back-projection is linear, so that noise is made in the projections and
    back-projected alone. A ray with line integral p has the variance exp(p) of counted photons
    (Poisson) and of the electronics exp(2 p), as in B. Whiting et al., Medical Physics 33, 2006:
    3290. Parallel beam, ramp with a Hann window of random width for the kernel; the line
    integrals come from a coarse image, for the variance they give is smooth.
    """
    variance = _ray_variance(hu, spacing_mm)
    noise = _back_projected(random.standard_normal((ANGLES, _detectors(hu))), variance, random)
    noise = noise[: hu.shape[0], : hu.shape[1]]
    tissue = hu > -300  # noqa: PLR2004 (HU: neither air nor lung)
    measured = noise[tissue] if tissue.any() else noise
    return np.asarray(hu + noise * (level_hu / float(measured.std())), np.float32)


def _detectors(hu: Plane) -> int:
    return int(np.ceil(np.sqrt(2) * max(hu.shape))) + 2


def _ray_variance(hu: Plane, spacing_mm: float) -> NDArray[np.float64]:
    """Return (angles, detectors): how the variance of a line integral differs from ray to ray."""
    side = max(hu.shape)
    square = np.full((side, side), -1000.0)
    square[: hu.shape[0], : hu.shape[1]] = hu
    factor = min(1.0, COARSE_PX / side)
    coarse = ndimage.zoom(square, factor, order=1, grid_mode=True, mode="nearest")
    attenuation = WATER_PER_MM * np.clip(1 + coarse / 1000, 0, None) * spacing_mm / factor
    views = np.linspace(0, 180, COARSE_ANGLES, endpoint=False)
    sums = np.clip(radon(attenuation, views, circle=False).T, 0, None)
    # One more view at the end closes the half circle: it is the first one, reversed.
    sums = np.concatenate([sums, sums[:1, ::-1]])
    rows = np.linspace(0, COARSE_ANGLES, ANGLES, endpoint=False)
    columns = np.linspace(0, sums.shape[1] - 1, _detectors(hu))
    fine = ndimage.map_coordinates(sums, np.meshgrid(rows, columns, indexing="ij"), order=1)
    return np.asarray(np.exp(fine) * (1 + ELECTRONIC * np.exp(fine - fine.max())), np.float64)


def _back_projected(
    white: NDArray[np.float64], variance: NDArray[np.float64], random: Generator
) -> NDArray[np.float64]:
    """Filter and back-project noise; returns the square that the detector sees, in any unit."""
    count = white.shape[1]
    frequency = np.fft.rfftfreq(2 * count)
    end = 0.5 * random.uniform(0.55, 1.0)
    window = np.where(frequency < end, 0.5 + 0.5 * np.cos(np.pi * frequency / end), 0)
    spectrum = np.fft.rfft(white * np.sqrt(variance), 2 * count) * frequency * window
    # Four times finer by padding the spectrum, so that the nearest sample is near enough.
    filtered = np.fft.irfft(spectrum, 8 * count)[:, : 4 * count]
    side = int((count - 2) / np.sqrt(2))
    centre = (np.arange(side) - (side - 1) / 2) * 4
    total = np.zeros((side, side))
    for view, angle in zip(
        filtered, np.linspace(0, np.pi, len(white), endpoint=False), strict=True
    ):
        across = centre * np.cos(angle) + 2 * count
        place = (across[None, :] - (centre * np.sin(angle))[:, None]).astype(np.intp)
        total += view[np.clip(place, 0, 4 * count - 1)]
    return total


def with_pet_noise(uptake: Plane, level: float, fwhm_px: float, random: Generator) -> Plane:
    """Return a PET slice of fewer counts; `level` is its noise at the mean uptake, as a part of it.

    Counts are Poisson around the uptake and a flat tenth of its mean (randoms and scatter, taken
    off again), and what comes of them is smoothed by a Gaussian of `fwhm_px` as reconstructions
    are: the noise follows the root of the local uptake, as it does after OSEM (H. Barrett,
    D. Wilson, B. Tsui, Physics in Medicine and Biology 39, 1994: 833). Never below 0, and the total
    is kept, as reconstructions of that kind do.
    """
    warm = uptake > 0.1 * float(np.percentile(uptake, 99.5))
    mean = float(uptake[warm].mean()) if warm.any() else 1.0
    sigma = fwhm_px / 2.355
    # Smoothing with a Gaussian divides the standard deviation of white noise by 2 sqrt(pi) sigma.
    counts = 1.1 / (level * max(2 * np.sqrt(np.pi) * sigma, 1.0)) ** 2
    expected = counts * (np.clip(uptake, 0, None) / mean + 0.1)
    noise = ndimage.gaussian_filter((random.poisson(expected) - expected) / counts * mean, sigma)
    noisy = np.clip(uptake + noise, 0, None)
    return np.asarray(noisy * (uptake.sum() / max(float(noisy.sum()), 1e-9)), np.float32)


def with_speckle(
    grey: Plane, looks: int, grain_px: tuple[float, float], random: Generator
) -> Plane:
    """Return a log-compressed ultrasound image (0..255) with fully developed speckle.

    The echo of many scatterers is a complex Gaussian field, smoothed by the point spread function
    (`grain_px`, its standard deviation along rows and columns); its intensity is exponential, its
    envelope Rayleigh, and the mean of `looks` of them gamma distributed (C. Burckhardt, IEEE
    Transactions on Sonics and Ultrasonics 25, 1978: 1). It multiplies the echo, so that it is
    added to the logarithm; the mean of the logarithm is kept. Black stays black.
    """
    power = np.zeros(grey.shape)
    for _ in range(2 * looks):  # real and imaginary parts
        field = ndimage.gaussian_filter(random.standard_normal(grey.shape), grain_px)
        power += (field / field.std()) ** 2 / (2 * looks)
    decibel = 10 / np.log(10) * (np.log(np.maximum(power, 1e-9)) - digamma(looks) + np.log(looks))
    echo = np.clip(grey / 16, 0, 1)
    return np.asarray(np.clip(grey + echo * decibel * 255 / DYNAMIC_RANGE_DB, 0, 255), np.float32)


def with_haze(grey: Plane, haze: Haze, random: Generator) -> Plane:
    """Return an X-ray (0..255, bone white) as a detector without a grid would have given it.

    The grey values are taken for the logarithm of the transmitted intensity. In the intensity, the
    focal spot blurs, and scatter is laid over: a broad copy of what comes through the patient,
    uneven by a part of `UNEVEN` over the field; a veil that takes contrast away where least comes
    through. Quanta and electronics add noise, which the detector smears a little. The logarithm is
    shown with the width it had, and with the mean it had: what a veil adds to all of an image, no
    image tells. Black stays black: shutters, and rays that met nobody.

    After J. Boone, J. Seibert, Medical Physics 15, 1988: 721 (scatter as a convolution).
    """
    there = grey > BLACK
    if not there.any():
        return grey
    primary = ndimage.gaussian_filter(np.exp(-haze.nepers * grey / 255.0), haze.blur_px)
    veil = _widely(primary * there, haze.spread_px)
    uneven = _widely(random.standard_normal(grey.shape), 2 * haze.spread_px)
    veil *= np.clip(1 + UNEVEN * uneven / max(float(uneven.std()), 1e-9), 0.5, None)
    veil *= haze.scatter_to_primary * primary[there].mean() / max(float(veil[there].mean()), 1e-9)
    expected = haze.quanta * (primary + veil)
    noise = (
        random.poisson(expected) - expected + haze.electrons * random.standard_normal(grey.shape)
    )
    counted = expected + ndimage.gaussian_filter(noise, DETECTOR_PX)
    shown = -np.log(np.maximum(counted / haze.quanta, 1e-4)) * 255.0 / haze.nepers
    shown += grey[there].mean() - shown[there].mean()
    return np.where(there, np.clip(shown, 0, 255), grey).astype(np.float32)


def _widely(image: NDArray[np.floating], sigma_px: float) -> NDArray[np.float64]:
    """Return the image blurred by a wide Gaussian, computed on fewer pixels."""
    part = min(1.0, 4 / sigma_px)
    few = ndimage.zoom(image, part, order=1, grid_mode=True, mode="nearest")
    soft = ndimage.gaussian_filter(
        few, [sigma_px * n / m for n, m in zip(few.shape, image.shape, strict=True)]
    )
    back = [m / n for n, m in zip(few.shape, image.shape, strict=True)]
    return np.asarray(ndimage.zoom(soft, back, order=1, grid_mode=True, mode="nearest"), np.float64)


def halved(image: Plane, sigma_px: float) -> Plane:
    """Return the image with half the rows and columns: blurred, then means of two by two pixels.

    The mean is what a pixel of twice the side collects (partial volume); the Gaussian of
    `sigma_px` stands for the rest of the point spread. Odd rows and columns at the end are lost.
    """
    return shrunk(ndimage.gaussian_filter(image.astype(np.float32), sigma_px), 2)
