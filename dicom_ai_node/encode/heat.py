"""The colours of a heat map: dark to bright, told apart without seeing red or green."""

import numpy as np
from numpy.typing import NDArray

MOST_COVERED = 0.6
"""How much of the image the strongest heat covers; where there is none, nothing is covered."""

_STEPS = np.asarray(
    [
        (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51),
        (249, 140, 10), (249, 201, 50), (252, 255, 164),
    ],
    np.float32,
)  # fmt: skip
"""Nine of the colours of inferno: its lightness rises evenly, so that it also prints in grey."""


def coloured(heat: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (..., 3) float32 in 0..255 for heat in 0..1, with smooth steps between."""
    places = np.clip(heat, 0, 1).astype(np.float32) * (len(_STEPS) - 1)
    below = np.minimum(places.astype(np.intp), len(_STEPS) - 2)
    part = (places - below)[..., None]
    colours: NDArray[np.float32] = (1 - part) * _STEPS[below] + part * _STEPS[below + 1]
    return colours


def blended(shown: NDArray[np.float32], heat: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return an image (rows, columns, 3) with heat (rows, columns) over it."""
    covered = MOST_COVERED * np.clip(heat, 0, 1).astype(np.float32)[..., None]
    over: NDArray[np.float32] = shown + covered * (coloured(heat) - shown)
    return over


def scale(width: int, height: int) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8: all colours from none, at the left, to most."""
    row = np.rint(coloured(np.linspace(0, 1, width))).astype(np.uint8)
    return np.repeat(row[None], height, axis=0)
