"""The way that something has gone, drawn over an image."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_DARK = (0, 0, 0)
_LINES_ACROSS = 300
"""An image is so many lines wide."""


@dataclass(frozen=True, slots=True)
class Trail:
    """The way that something has gone so far, and where it is now.

    Attributes
    ----------
    points
        (frames, 2) row and column in pixels of the frame, NaN where it was lost; the last one is
        that of the frame that is drawn.
    """

    points: NDArray[np.float64]
    colour_rgb: tuple[int, int, int]


def draw_trails(image: Image.Image, trails: Iterable[Trail], shape: tuple[int, int]) -> None:
    """Draw ways into an RGB image of any size, with a ring and a dot where each is now.

    Lines have dark edges, so that they are seen on white, too.

    Parameters
    ----------
    shape
        (rows, columns) of the image that the ways are on.
    """
    pen, px = ImageDraw.Draw(image), max(2, image.width // _LINES_ACROSS)
    scale = np.array([image.width / shape[1], image.height / shape[0]])
    for trail in trails:
        # The centre of a pixel lies half a pixel from its corner, at any size.
        places = (trail.points[:, ::-1] + 0.5) * scale
        for width, colour in ((px + 2, _DARK), (px, trail.colour_rgb)):
            for one, other in pairwise(places):
                if np.isfinite([one, other]).all():
                    pen.line([*one, *other], fill=colour, width=width)
            if np.isfinite(places[-1]).all():
                pen.ellipse(_around(places[-1], 5 * px + width / 2), outline=colour, width=width)
                pen.ellipse(_around(places[-1], width / 2), fill=colour)


def _around(place: NDArray[np.float64], radius: float) -> tuple[float, float, float, float]:
    x, y = map(float, place)
    return x - radius, y - radius, x + radius, y + radius
