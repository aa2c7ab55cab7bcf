"""Lines and the words beside them, drawn over an image so that neither hides the other."""

from collections.abc import Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from dicom_ai_node.encode.marks import Mark

_DARK = (0, 0, 0)
_LINES_ACROSS = 300
"""An image is so many lines wide."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_Area = tuple[float, float, float, float]


def draw_marks(
    image: Image.Image, marks: Sequence[Mark], shape: tuple[int, int], text_px: int
) -> None:
    """Draw marks into an RGB image of any size.

    Each line is dark on its outside, so that it is seen on white, too. A word stands where it
    covers no other word: above its line, below it or inside.

    Parameters
    ----------
    shape
        (rows, columns) of the image that the marks are on.
    """
    pen = ImageDraw.Draw(image)
    line_px = max(2, image.width // _LINES_ACROSS)
    down, along = image.height / shape[0], image.width / shape[1]
    areas = []
    for mark in marks:
        points = [
            (
                _inside(column * along, image.width, line_px),
                _inside(row * down, image.height, line_px),
            )
            for column, row in mark.points
        ]
        areas.append(_area(points))
        pen.line(points, fill=_DARK, width=line_px + 2, joint="curve")
        pen.line(points, fill=mark.colour_rgb, width=line_px, joint="curve")
    taken: list[_Area] = []
    for mark, area in zip(marks, areas, strict=True):
        if mark.text:
            taken.append(_tag(pen, mark, area, taken, (image.size, text_px)))


def _tag(
    pen: ImageDraw.ImageDraw,
    mark: Mark,
    area: _Area,
    taken: Sequence[_Area],
    room: tuple[tuple[int, int], int],
) -> _Area:
    """Write the word of a mark on a ground of its colour and return the area it took."""
    (width, height), text_px = room
    letters = font(text_px)
    wide, high = letters.getlength(mark.text) + text_px * 0.6, text_px * 1.4
    left = min(max(area[0], 0), max(width - wide, 0))
    tops = [area[1] - high, area[3], area[1], area[3] - high]
    tops = [top for top in tops if 0 <= top <= height - high] or [0]
    places = [(left, top, left + wide, top + high) for top in tops]
    # Where every place is taken, the first is as good as any.
    place = next((p for p in places if not any(_meet(p, other) for other in taken)), places[0])
    pen.rectangle(place, fill=mark.colour_rgb)
    pen.text((place[0] + text_px * 0.3, place[1] + high * 0.1), mark.text, _DARK, font=letters)
    return place


def _inside(place: float, length: int, line_px: int) -> float:
    """Return a place so far from the edge of an image that a line there is seen whole."""
    return min(max(place, line_px / 2), length - 1 - line_px / 2)


def _area(points: Sequence[tuple[float, float]]) -> _Area:
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)


def _meet(one: _Area, other: _Area) -> bool:
    is_beside = one[2] <= other[0] or other[2] <= one[0]
    return not (is_beside or one[3] <= other[1] or other[3] <= one[1])


@lru_cache(maxsize=64)
def font(size_px: int) -> Font:
    """Return Pillow's own font: the same pixels on every machine."""
    return ImageFont.load_default(size_px)
