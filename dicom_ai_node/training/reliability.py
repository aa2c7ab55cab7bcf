"""A picture of whether probabilities mean what they say: how certain, and how often right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dicom_ai_node.training.certainty import BINS
from dicom_ai_node.training.ranking import Labels, Probabilities

WIDTH_PX, HEIGHT_PX = 560, 600
LEFT_PX, TOP_PX, SIDE_PX = 80, 60, 440
"""Where the square of the plot lies."""
BARS_PX = 60
"""How high the fullest bar below the curve is: how many pictures each bin holds."""
WILSON_Z = 1.96
OF_CLASSES = ("how certain the model was of its class", "test pictures")
"""What lies along the curve, and what the bars count."""
INK, GREY, BLUE, PALE = (30, 30, 30), (150, 150, 150), (0, 90, 180), (205, 222, 238)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The pictures on whose class the model was about equally certain.

    `low` and `high` are the 95 % interval (Wilson 1927) of `right`, the share it was right about.
    """

    certainty: float
    right: float
    low: float
    high: float
    count: int


def bins_of(found: Probabilities, labels: Labels) -> list[Bin]:
    """Return the bins of `calibration_error` that are not empty, from unsure to sure."""
    certainty, right = found.max(1), found.argmax(1) == labels
    places = np.minimum((certainty * BINS).astype(int), BINS - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        share, count = float(right[inside].mean()), int(inside.sum())
        middle, half = _wilson(share, count)
        bins.append(
            Bin(
                certainty=float(certainty[inside].mean()),
                right=share,
                low=middle - half,
                high=middle + half,
                count=count,
            )
        )
    return bins


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Return middle and half width of the interval of a share."""
    squared = WILSON_Z**2
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    spread = share * (1 - share) / count + squared / (4 * count**2)
    return middle, WILSON_Z * float(np.sqrt(spread)) / (1 + squared / count)


def reliability_picture(
    bins: Sequence[Bin], title: str, of: tuple[str, str] = OF_CLASSES
) -> Image.Image:
    """Draw the bins: a point on the diagonal means what it says, below it is too certain."""
    picture = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), "white")
    draw = ImageDraw.Draw(picture)
    _axes(draw, title, of)
    fullest = max(bin_.count for bin_ in bins)
    for bin_ in bins:
        left, bottom = _at(np.floor(min(bin_.certainty, 0.999) * BINS) / BINS, 0)
        width = SIDE_PX / BINS
        top = bottom - BARS_PX * bin_.count / fullest
        draw.rectangle([left + 2, top, left + width - 2, bottom], fill=PALE)
        draw.text(
            (left + width / 2, top - 2), str(bin_.count), fill=GREY, font=_font(12), anchor="mb"
        )
    points = [_at(bin_.certainty, bin_.right) for bin_ in bins]
    draw.line(points, fill=BLUE, width=2)
    for bin_, (x, y) in zip(bins, points, strict=True):
        draw.line([_at(bin_.certainty, bin_.low), _at(bin_.certainty, bin_.high)], BLUE, width=1)
        draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill=BLUE)
    return picture


def _axes(draw: ImageDraw.ImageDraw, title: str, of: tuple[str, str]) -> None:
    draw.text((LEFT_PX, 14), title, fill=INK, font=_font(18))
    draw.rectangle([LEFT_PX, TOP_PX, LEFT_PX + SIDE_PX, TOP_PX + SIDE_PX], outline=INK)
    draw.line([_at(0, 0), _at(1, 1)], fill=GREY, width=1)
    for tenth in range(0, 11, 2):
        x, bottom = _at(tenth / 10, 0)
        draw.text((x, bottom + 6), f"{10 * tenth} %", fill=INK, font=_font(13), anchor="mt")
        left, y = _at(0, tenth / 10)
        draw.text((left - 6, y), f"{10 * tenth} %", fill=INK, font=_font(13), anchor="rm")
    draw.text(
        (LEFT_PX + SIDE_PX / 2, TOP_PX + SIDE_PX + 30),
        of[0],
        fill=INK,
        font=_font(15),
        anchor="mt",
    )
    draw.text((LEFT_PX, TOP_PX - 20), "how often it was right", fill=INK, font=_font(15))
    draw.text(
        (LEFT_PX + SIDE_PX / 2, TOP_PX + SIDE_PX + 58),
        f"bars: how many {of[1]}; lines: 95 % interval",
        fill=GREY,
        font=_font(13),
        anchor="mt",
    )


def _at(x: float, y: float) -> tuple[float, float]:
    return LEFT_PX + SIDE_PX * x, TOP_PX + SIDE_PX * (1 - y)


def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)
