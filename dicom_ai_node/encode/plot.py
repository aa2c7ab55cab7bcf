"""Curves drawn to be read by a person: round numbers, units, and shade where nothing is known."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_ai_node.encode.curves import Line, Panel
from dicom_ai_node.encode.picture import Entry, Sheet, framed
from dicom_ai_node.encode.tags import font

WIDTH_PX, PANEL_PX = 1024, 420
MOST_PANELS = 4
"""A plot shows no more; what is left out is in the report."""
TICKS = 5
_TEXT_PX = 20
_LEFT, _RIGHT, _TOP, _BOTTOM = 110, 30, 84, 74
"""Room around the curves for titles and numbers, in pixels."""
_GROUND, _GRID, _TEXT = (16, 16, 16), (72, 72, 72), (255, 255, 255)
_LOST, _LOST_TEXT = (64, 44, 20), (200, 140, 70)


def plot_size(panels: Sequence[Panel]) -> tuple[int, int]:
    """Return (width, height) of a plot in pixels."""
    return WIDTH_PX, PANEL_PX * min(len(panels), MOST_PANELS)


def draw_plot(sheet: Sheet, panels: Sequence[Panel], legend: Sequence[Entry]) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8: the banner, the panels one below the other, the legend.

    `sheet` has the size that `plot_size` says.
    """
    image = Image.new("RGB", sheet.size, _GROUND)
    for place, panel in enumerate(panels[:MOST_PANELS]):
        part = Image.new("RGB", (WIDTH_PX, PANEL_PX), _GROUND)
        _draw_panel(part, panel)
        image.paste(part, (0, place * PANEL_PX))
    return framed(sheet, image, legend)


def round_steps(low: float, high: float, most: int) -> list[float]:
    """Return up to `most` + 1 round numbers that lie evenly between `low` and `high`."""
    rough = max(high - low, 1e-9) / most
    ten = 10.0 ** math.floor(math.log10(rough))
    step = next(ten * factor for factor in (1, 2, 5, 10) if ten * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


class _Axes:
    """From values to pixels."""

    def __init__(self, panel: Panel) -> None:
        spread = () if panel.spread is None else (panel.spread.ravel(),)
        values = np.concatenate([*(line.values for line in panel.lines), *spread])
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        spare = max((high - low) * 0.08, 1e-3)
        self.low, self.high = low - spare, high + spare
        self.first = float(panel.at[0])
        self.last = max(float(panel.at[-1]), self.first + 1e-9)

    def x(self, at: float) -> float:
        width = WIDTH_PX - _LEFT - _RIGHT
        return _LEFT + width * (at - self.first) / (self.last - self.first)

    def y(self, value: float) -> float:
        height = PANEL_PX - _TOP - _BOTTOM
        return PANEL_PX - _BOTTOM - height * (value - self.low) / (self.high - self.low)


def _draw_panel(image: Image.Image, panel: Panel) -> None:
    pen, axes, letters = ImageDraw.Draw(image), _Axes(panel), font(_TEXT_PX)
    top, bottom, right = _TOP, PANEL_PX - _BOTTOM, WIDTH_PX - _RIGHT
    _draw_gaps(pen, axes, panel)
    for value in round_steps(axes.low, axes.high, TICKS):
        y = axes.y(value)
        pen.line([_LEFT, y, right, y], fill=_GRID)
        pen.text((_LEFT - 10, y), f"{value:g}", fill=_TEXT, font=letters, anchor="rm")
    for at, words in panel.ticks or _numbers(axes):
        x = axes.x(at)
        pen.line([x, bottom, x, bottom + 6], fill=_TEXT)
        half = letters.getlength(words) / 2
        inside = min(max(x, half), WIDTH_PX - half)
        pen.text((inside, bottom + 10), words, fill=_TEXT, font=letters, anchor="ma")
    pen.rectangle([_LEFT, top, right, bottom], outline=_GRID)
    pen.text((_LEFT, 10), panel.title, fill=_TEXT, font=letters)
    pen.text((_LEFT - 10, top - 34), panel.value_label, fill=_TEXT, font=letters, anchor="ra")
    middle = (_LEFT + right) / 2
    pen.text((middle, PANEL_PX - 34), panel.at_label, fill=_TEXT, font=letters, anchor="ma")
    _draw_spread(pen, axes, panel)
    for line in panel.lines:
        _draw_line(pen, axes, panel.at, line)
    _draw_names(pen, panel)


def _numbers(axes: _Axes) -> list[tuple[float, str]]:
    return [(at, f"{at:g}") for at in round_steps(axes.first, axes.last, 2 * TICKS)]


def _draw_spread(pen: ImageDraw.ImageDraw, axes: _Axes, panel: Panel) -> None:
    """Draw a bar with ends through every value that stands for several."""
    for at, (low, high) in zip(
        panel.at, () if panel.spread is None else panel.spread, strict=False
    ):
        if low < high:
            x, top, bottom = axes.x(at), axes.y(high), axes.y(low)
            pen.line([x, top, x, bottom], fill=_TEXT, width=2)
            for y in (top, bottom):
                pen.line([x - 8, y, x + 8, y], fill=_TEXT, width=2)


def _draw_names(pen: ImageDraw.ImageDraw, panel: Panel) -> None:
    """Name the lines above them, each in its colour, from the right; a single line needs none."""
    names = [(line.label, line.colour_rgb) for line in panel.lines if len(panel.lines) > 1]
    if not np.isfinite(panel.lines[-1].values).all():
        names.append((f"shaded: {panel.missing}", _LOST_TEXT))
    x, letters = float(WIDTH_PX - _RIGHT), font(_TEXT_PX)
    for name, colour in names:
        pen.text((x, _TOP - 34), name, fill=colour, font=letters, anchor="ra")
        x -= letters.getlength(name) + 30


def _draw_gaps(pen: ImageDraw.ImageDraw, axes: _Axes, panel: Panel) -> None:
    """Shade where nothing is known."""
    half = (axes.last - axes.first) / max(len(panel.at) - 1, 1) / 2
    for at, value in zip(panel.at, panel.lines[-1].values, strict=True):
        if not np.isfinite(value):
            left, right = axes.x(max(at - half, axes.first)), axes.x(min(at + half, axes.last))
            pen.rectangle([left, _TOP, right, PANEL_PX - _BOTTOM], fill=_LOST)


def _draw_line(pen: ImageDraw.ImageDraw, axes: _Axes, at: NDArray[np.float64], line: Line) -> None:
    places = [(axes.x(x), axes.y(y)) for x, y in zip(at, line.values, strict=True)]
    for one, other in pairwise(places):
        if np.isfinite([one, other]).all():
            pen.line([*one, *other], fill=line.colour_rgb, width=3)
    for x, y in places:
        if math.isfinite(y):
            pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=line.colour_rgb)
