"""A frame with its findings drawn on it, made to be read by a person at any size.

The banner stands above the image and the legend below; over the image itself nothing is written
but the name of a box beside it and, at the edges, the sides of the patient. No text comes from the
source, so that no patient is named in the pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from dicom_ai_node.domain.findings import Measurement
from dicom_ai_node.encode.heat import blended, scale
from dicom_ai_node.encode.marks import Mark
from dicom_ai_node.encode.orientation import UNKNOWN, Edges
from dicom_ai_node.encode.tags import Font, draw_marks, font
from dicom_ai_node.encode.trails import Trail, draw_trails

SHORT_SIDE_PX = 512
"""Smaller images are enlarged until their shorter side has this length."""
LONG_SIDE_PX = 2048
"""No picture is larger: the original is what one measures on."""
TINT = 0.16
"""How much of the colour lies over what it covers; the rest must still be seen."""

_BACKGROUND = (0, 0, 0)
_BANNER_TEXT, _BANNER_GROUND = (0, 0, 0), (255, 176, 0)
_WARNING_TEXT, _WARNING_GROUND = (255, 255, 255), (160, 0, 0)
_TEXT, _QUIET_TEXT = (255, 255, 255), (170, 170, 170)
_UNITS: Mapping[str, str] = {
    "1": "", "[hnsf'U]": "HU", "g/ml{SUVbw}": "g/ml", "{pixels}": "px", "{pixels}/s": "px/s",
    "{ratio}": "",
}  # fmt: skip
_SCALE_STEPS = 5
"""Length of the colours of a heat map in the legend, in its line heights."""
_WHOLE_FROM = 1000
"""Larger numbers are shown without decimals."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the legend: the colour of the outline, or `None` for plain text.

    `is_scale` puts the colours of a heat map before the text, `bar_px` a bar of this length: so
    long is in the picture what the text says.
    """

    text: str
    colour_rgb: tuple[int, int, int] | None = None
    is_quiet: bool = False
    is_scale: bool = False
    bar_px: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """How a picture is laid out; the same for all frames of a cine.

    Attributes
    ----------
    size
        (width, height) of the image alone in pixels, after correction of its aspect.
    legend_lines
        How many lines of legend there is room for.
    warning
        Stands below the banner, white on red, if there is one.
    edges
        To which side of the patient the image runs.
    """

    size: tuple[int, int]
    banner: str
    legend_lines: int
    warning: str = ""
    edges: Edges = UNKNOWN

    @property
    def text_px(self) -> int:
        """Height of the legend's font."""
        return max(16, self.size[0] // 34)


def displayed_size(rows: int, columns: int, aspect: float) -> tuple[int, int]:
    """Return (width, height) for an image whose pixels are `aspect` times as high as wide."""
    width, height = columns / min(aspect, 1), rows * max(aspect, 1)
    larger = max(1.0, SHORT_SIDE_PX / min(width, height))
    scale = min(larger, LONG_SIDE_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def draw(
    sheet: Sheet,
    frame: NDArray[np.uint8],
    masks: Sequence[tuple[NDArray[np.bool_], tuple[int, int, int]]],
    legend: Sequence[Entry],
    heat: NDArray[np.float16] | None = None,
    marks: Sequence[Mark | Trail] = (),
) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8: banner, image with what was found on it, legend.

    Parameters
    ----------
    frame
        (rows, columns) uint8, more is brighter, or (rows, columns, 3) in RGB.
    masks
        (rows, columns) bool and a colour each, drawn in this order.
    heat
        (rows, columns) in 0..1, or `None` for no heat map.
    marks
        Ways, and lines with a word beside each, on top of everything else.
    """
    large = Image.fromarray(frame).resize(sheet.size, Image.Resampling.BICUBIC).convert("RGB")
    shown = np.asarray(large, np.float32).copy()
    if heat is not None:
        warmth = Image.fromarray(heat.astype(np.float32))
        shown = blended(shown, np.asarray(warmth.resize(sheet.size, Image.Resampling.BILINEAR)))
    line_px = max(2, sheet.size[0] // 300)
    for mask, colour in masks:
        covered = _enlarged(mask, sheet.size)
        shown[covered] += TINT * (np.asarray(colour, np.float32) - shown[covered])
        inner = ndimage.binary_erosion(covered, iterations=line_px, border_value=1)
        shown[covered & ~inner] = colour
    drawn, shape = Image.fromarray(np.clip(shown, 0, 255).astype(np.uint8)), frame.shape[:2]
    draw_trails(drawn, [item for item in marks if isinstance(item, Trail)], shape)
    lines = [item for item in marks if isinstance(item, Mark)]
    draw_marks(drawn, lines, shape, sheet.text_px)
    _draw_edges(drawn, sheet)
    return framed(sheet, drawn, legend)


def _draw_edges(image: Image.Image, sheet: Sheet) -> None:
    """Write the letters of the patient's sides in the middle of the edges."""
    width, height = sheet.size
    pen, away = ImageDraw.Draw(image), sheet.text_px // 3
    for text, where, anchor in (
        (sheet.edges.left, (away, height / 2), "lm"),
        (sheet.edges.right, (width - away, height / 2), "rm"),
        (sheet.edges.top, (width / 2, away), "mt"),
        (sheet.edges.bottom, (width / 2, height - away), "mb"),
    ):
        pen.text(
            where, text, fill=_TEXT, font=font(sheet.text_px), anchor=anchor,
            stroke_width=2, stroke_fill=_BACKGROUND,
        )  # fmt: skip


def framed(sheet: Sheet, image: Image.Image, legend: Sequence[Entry]) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8: the banner, an image of the sheet's size, the legend."""
    width, height = sheet.size
    banner, text = _banner(sheet), _legend(sheet, legend)
    canvas = Image.new("RGB", (width, banner.height + height + text.height), _BACKGROUND)
    canvas.paste(banner, (0, 0))
    canvas.paste(image, (0, banner.height))
    canvas.paste(text, (0, banner.height + height))
    picture: NDArray[np.uint8] = np.asarray(canvas, np.uint8)
    return picture


def lines_of(size: tuple[int, int], entries: Sequence[Entry]) -> int:
    """Return how many lines a legend takes below an image of this size."""
    sheet = Sheet(size=size, banner="", legend_lines=0)
    return sum(len(_wrapped(sheet, entry)) for entry in entries)


def unit_of(ucum: str) -> str:
    """Return a unit as a person writes it."""
    return _UNITS.get(ucum, ucum)


def measured(item: Measurement) -> str:
    """Return a measurement as a person reads it: `Volume 12.4 cm3`."""
    unit = unit_of(item.unit.value)
    words = [] if item.derivation is None else [item.derivation.meaning]
    number = f"{item.value:.0f}" if abs(item.value) >= _WHOLE_FROM else f"{item.value:.4g}"
    return " ".join([*words, item.concept.meaning, number, unit]).strip()


def _enlarged(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask at another size, its border smooth instead of in steps."""
    grey = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
    large: NDArray[np.bool_] = np.asarray(grey) >= 128  # noqa: PLR2004  half covered
    return large


def _banner(sheet: Sheet) -> Image.Image:
    width = sheet.size[0]
    banner = _strip(sheet.banner, width, _BANNER_TEXT, _BANNER_GROUND)
    if not sheet.warning:
        return banner
    warning = _strip(sheet.warning, width, _WARNING_TEXT, _WARNING_GROUND)
    both = Image.new("RGB", (width, banner.height + warning.height))
    both.paste(banner, (0, 0))
    both.paste(warning, (0, banner.height))
    return both


def _strip(
    text: str, width: int, colour: tuple[int, int, int], ground: tuple[int, int, int]
) -> Image.Image:
    letters = _fitting(text, int(width * 0.96), width // 18)
    left, top, right, bottom = letters.getbbox(text)
    high = int((bottom - top) * 2)
    strip = Image.new("RGB", (width, high), ground)
    where = ((width - (right - left)) / 2 - left, (high - (bottom - top)) / 2 - top)
    ImageDraw.Draw(strip).text(where, text, fill=colour, font=letters)
    return strip


def _legend(sheet: Sheet, entries: Sequence[Entry]) -> Image.Image:
    step, letters = int(sheet.text_px * 1.4), font(sheet.text_px)
    strip = Image.new("RGB", (sheet.size[0], step * sheet.legend_lines + step // 2), _BACKGROUND)
    pen, line = ImageDraw.Draw(strip), 0
    for entry in entries:
        for number, text in enumerate(_wrapped(sheet, entry)):
            top = step // 4 + line * step
            if number == 0 and entry.colour_rgb is not None:
                edge = (step // 3, top + step // 6, step, top + step // 6 + step * 2 // 3)
                pen.rectangle(edge, fill=entry.colour_rgb)
            if number == 0 and entry.is_scale:
                bar = Image.fromarray(scale(step * _SCALE_STEPS, step * 2 // 3))
                strip.paste(bar, (step // 3, top + step // 6))
            if number == 0 and entry.bar_px:
                middle = top + step // 2
                edge = (step // 3, middle - step // 12, step // 3 + entry.bar_px, middle)
                pen.rectangle(edge, fill=_TEXT)
            colour = _QUIET_TEXT if entry.is_quiet else _TEXT
            pen.text((_indent(sheet, entry), top), text, fill=colour, font=letters)
            line += 1
    return strip


def _indent(sheet: Sheet, entry: Entry) -> int:
    step = int(sheet.text_px * 1.4)
    if entry.is_scale:
        return step * (_SCALE_STEPS + 1)
    if entry.bar_px:
        return step + entry.bar_px
    return step // 3 if entry.colour_rgb is None else step * 4 // 3


def _wrapped(sheet: Sheet, entry: Entry) -> list[str]:
    """Break an entry at its spaces into lines that fit."""
    letters = font(sheet.text_px)
    room = sheet.size[0] - _indent(sheet, entry) - sheet.text_px // 2
    lines = [""]
    for word in entry.text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and letters.getlength(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _fitting(text: str, room_px: int, largest_px: int) -> Font:
    for size in range(largest_px, 8, -1):
        if font(size).getlength(text) <= room_px:
            return font(size)
    return font(8)
