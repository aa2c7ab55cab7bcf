"""Recommended Display CIELab Value (0062,000D) as red, green and blue, PS3.3 C.10.7.1.1.

The white is that of sRGB, D65. The standard means D50, but who writes segmentations, highdicom
among them, has settled on this one, and so a colour comes out as it went in.
"""

from collections.abc import Sequence

RGB = tuple[int, int, int]

PALETTE: tuple[RGB, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167),
)  # fmt: skip
"""For segments that recommend no colour; told apart without seeing red or green (Okabe and Ito)."""

_FULL_SCALE = 65535.0
_WHITE = (0.9505, 1.0, 1.0889)
_TO_RGB = (
    (3.2406, -1.5372, -0.4986),
    (-0.9689, 1.8758, 0.0415),
    (0.0557, -0.2040, 1.0570),
)
_LINEAR_BELOW = 6 / 29
_CURVED_ABOVE = 0.0031308


def rgb_of(cielab: Sequence[int] | None, number: int) -> RGB:
    """Return the colour of segment `number`, which recommends `cielab`, if it recommends one."""
    if cielab is None or len(cielab) != 3:  # noqa: PLR2004 - L*, a*, b*
        return PALETTE[(number - 1) % len(PALETTE)]
    lightness = cielab[0] / _FULL_SCALE * 100
    a, b = (value / _FULL_SCALE * 255 - 128 for value in cielab[1:])
    y = (lightness + 16) / 116
    steps = (y + a / 500, y, y - b / 200)
    xyz = [white * _cubed(step) for white, step in zip(_WHITE, steps, strict=True)]
    red, green, blue = (
        _gamma(sum(part * value for part, value in zip(row, xyz, strict=True))) for row in _TO_RGB
    )
    return red, green, blue


def _cubed(step: float) -> float:
    if step > _LINEAR_BELOW:
        return float(step**3)
    return 3 * _LINEAR_BELOW**2 * (step - 4 / 29)


def _gamma(linear: float) -> int:
    """Return one component from 0 to 255, IEC 61966-2-1."""
    is_dark = linear <= _CURVED_ABOVE
    shade = 12.92 * linear if is_dark else 1.055 * linear ** (1 / 2.4) - 0.055
    return max(0, min(255, round(shade * 255)))
