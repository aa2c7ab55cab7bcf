"""Places that can be found again: where the look of an image changes in every direction.

J. Shi and C. Tomasi, Good Features to Track, CVPR 1994.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

DARK = 0.03
"""Below this, of 1, there is no tissue."""
SPECKLE_PX = 1.5
"""Finer detail is speckle, and gone on the next frame."""
LEAST = 5e-5
"""A place with less texture is no choice; half of all places in ultrasound have more."""


def corners(image: NDArray[np.float32], count: int, apart_px: int) -> NDArray[np.float32]:
    """Return up to `count` places with the most texture, the best one first.

    The edge of the sector stays while the tissue moves, so that places keep away from it.

    Parameters
    ----------
    image
        (rows, columns) in 0..1.
    apart_px
        How far places lie from each other; two thirds of it is how far they lie from the dark.

    Returns
    -------
    NDArray[np.float32]
        (places, 2), row and column.
    """
    # What is dark and shut in, such as fluid, is part of the sector.
    lit = np.pad(ndimage.uniform_filter(image, 5) > DARK, apart_px)
    tissue = ndimage.binary_fill_holes(_closed(lit, apart_px // 6))
    away_px = ndimage.distance_transform_edt(tissue)[apart_px:-apart_px, apart_px:-apart_px]
    strength = np.where(away_px > 2 * apart_px / 3, _texture(image, apart_px / 6), 0.0)
    rows, columns = np.indices(image.shape)
    found: list[tuple[int, int]] = []
    while len(found) < count and strength.max(initial=0.0) > LEAST:
        row, column = np.unravel_index(int(strength.argmax()), image.shape)
        found.append((int(row), int(column)))
        strength[np.hypot(rows - row, columns - column) < apart_px] = 0.0
    return np.array(found, np.float32).reshape(-1, 2)


def _closed(mask: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    grown = ndimage.distance_transform_edt(~mask) <= radius_px
    closed: NDArray[np.bool_] = ndimage.distance_transform_edt(grown) > radius_px
    return closed


def _texture(image: NDArray[np.float32], spread_px: float) -> NDArray[np.float64]:
    """Return the smaller eigenvalue of the structure tensor of every pixel."""
    down, right = (
        ndimage.gaussian_filter(image.astype(np.float64), SPECKLE_PX, order=order)
        for order in ((1, 0), (0, 1))
    )
    rr, rc, cc = (
        ndimage.gaussian_filter(product, spread_px)
        for product in (down * down, down * right, right * right)
    )
    smaller: NDArray[np.float64] = (rr + cc) / 2 - np.hypot((rr - cc) / 2, rc)
    return np.maximum(smaller, 0.0)
