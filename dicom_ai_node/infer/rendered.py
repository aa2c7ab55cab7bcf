"""Frames as pictures for a person: PNG, JPEG, and GIF for what moves. PS3.18 8.3.5.1, PS3.4 N.2."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.showing import NotShowable, Overlaid, Picture, Viewport, Window
from dicom_ai_node.infer.colour import FULL_SCALE
from dicom_ai_node.infer.display import PERCENTILES, SOFT_TISSUE_HU
from dicom_ai_node.infer.native import Stored
from dicom_ai_node.infer.planes import Plane
from dicom_ai_node.infer.seen_segments import alone, is_segmentation, over
from dicom_ai_node.infer.units import looked_up, padding, rescaled
from dicom_ai_node.infer.xray import windowed

MOST_MOVING: Final = 300
"""Frames of a GIF; of more, every second, third ..."""
USUAL_FRAME_MS: Final = 100.0
SHORTEST_FRAME_MS: Final = 20.0
"""Browsers take less for a mistake."""
_GROUPS: Final = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
_FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF"}
_SAMPLE: Final = 1_000_000
_SHORT_BYTES: Final = 2


def write_picture(file: BinaryIO, order: Picture, made: BinaryIO) -> None:
    """Write the frames that are ordered as one picture.

    Raises
    ------
    NotShowable
        If it has no pixels.
    """
    stored = Stored(file)
    if "Rows" not in stored.header:
        raise NotShowable("this has no picture")
    numbers = order.frames or tuple(range(1, stored.count + 1))
    if order.media_type != "image/gif":
        save(_framed(shown(stored, numbers[0], order.window), order.viewport), order, made)
        return
    step = -(-len(numbers) // MOST_MOVING)
    images = (
        _framed(shown(stored, number, order.window), order.viewport) for number in numbers[::step]
    )
    first = next(images)
    duration = max(SHORTEST_FRAME_MS, step * _frame_ms(stored.header))
    first.save(
        made, "GIF", save_all=True, append_images=images, duration=round(duration), loop=0,
        optimize=False,
    )  # fmt: skip


def write_overlaid(
    file: BinaryIO, segmentations: Sequence[BinaryIO], order: Overlaid, made: BinaryIO
) -> None:
    """Write a frame with what segmentations say of it, as PNG."""
    stored = Stored(file)
    if "Rows" not in stored.header or is_segmentation(stored.header):
        raise NotShowable("this is no image")
    picture = shown(stored, order.frame, order.window)
    for segmentation in segmentations:
        picture = over(picture, stored.header, order.frame, segmentation)
    _framed(picture, order.viewport).save(made, "PNG", compress_level=1)


def shown(stored: Stored, number: int, window: Window | None) -> NDArray[np.uint8]:
    """Return frame `number`, from 1, as it is seen: (rows, columns), or with colours behind.

    Those of a segmentation are four, the last of which says how much of them there is.
    """
    if is_segmentation(stored.header):
        return alone(stored, number)
    values, properties = stored.decoded(number)
    header = stored.header
    match str(properties["photometric_interpretation"]):
        case "MONOCHROME1" | "MONOCHROME2" as photometric:
            curve = _curve(_plane(header, number), values, window)
            return _shades(curve, values, is_turned=photometric == "MONOCHROME1")
        case "PALETTE COLOR":
            return _eight_bits(_through_palette(values, header), None)
        case _ if values.ndim == 3:  # noqa: PLR2004 - colours
            return _eight_bits(values, int(header.get("BitsStored", 8)))
        case other:
            raise Rejected(RejectCode.PIX_UNSUPPORTED, f"colours as {other}")


def _plane(header: Dataset, number: int) -> Plane:
    """Return a frame with what its functional groups say of values and windows."""
    groups: dict[str, dict[str, Any]] = {}
    for keyword, place in zip(_GROUPS, (number - 1, 0), strict=True):
        items = header.get(keyword) or ()
        inner: dict[str, Any] = {}
        if place < len(items):
            for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                for item in (items[place].get(macro) or ())[:1]:
                    inner.update({one.keyword: one.value for one in item if one.keyword})
        groups[keyword] = inner
    own, shared = (groups[keyword] for keyword in _GROUPS)
    return Plane(header, number, own, shared)


Curve = Callable[[NDArray[Any]], NDArray[np.float32]]
"""From stored values to grey from 0 to 255, one by one."""


def _shades(curve: Curve, stored: NDArray[Any], *, is_turned: bool) -> NDArray[np.uint8]:
    """Return the grey of each pixel; where there are few values, each is looked at once."""
    values, low = stored, 0
    if stored.dtype.kind in "iu":
        low, high = int(stored.min()), int(stored.max())
        if high - low < stored.size // 2:
            values = np.arange(low, high + 1).astype(stored.dtype)
    grey = curve(values)
    shades = _bytes(FULL_SCALE - grey if is_turned else grey)
    if values is stored:
        return shades
    if stored.itemsize > _SHORT_BYTES:
        found: NDArray[np.uint8] = shades[stored.astype(np.int64) - low]
        return found
    # Looked up by their bits, signed or not: nothing of the size of the image is calculated.
    bits = np.dtype(f"u{stored.itemsize}")
    table = np.zeros(256**stored.itemsize, np.uint8)
    table[values.view(bits)] = shades
    return table.take(stored.view(bits))


def _curve(plane: Plane, stored: NDArray[Any], window: Window | None) -> Curve:
    """Return the way through the window asked for, or the best there is."""
    if window is not None:
        return lambda some: windowed(
            _rescaled(plane, some), window.center, window.width, window.function
        )
    tables = plane.value("VOILUTSequence") or ()
    if tables:
        return lambda some: _through_table(tables[0], _rescaled(plane, some))
    centers, widths = plane.numbers("WindowCenter"), plane.numbers("WindowWidth")
    function = (plane.texts("VOILUTFunction") or ("LINEAR",))[0]
    if centers and widths and widths[0] > (1 if function == "LINEAR" else 0):
        return lambda some: windowed(_rescaled(plane, some), centers[0], widths[0], function)
    low, high = _usual(plane, _rescaled(plane, stored), padding(plane, stored))
    middle, width = (low + high) / 2, max(high - low, 1e-6)
    return lambda some: windowed(_rescaled(plane, some), middle, width, "LINEAR_EXACT")


def _through_table(table: Dataset, values: NDArray[np.float32]) -> NDArray[np.float32]:
    bits = int(table.LUTDescriptor[2])
    entries = looked_up(table, np.rint(values), is_signed=bool(values.min() < 0))
    return entries * np.float32(FULL_SCALE / (2**bits - 1))


def _rescaled(plane: Plane, stored: NDArray[Any]) -> NDArray[np.float32]:
    if stored.dtype.kind == "f":
        return stored.astype(np.float32)
    return rescaled(plane, stored)


def _usual(
    plane: Plane, values: NDArray[np.float32], padded: NDArray[np.bool_] | None
) -> tuple[float, float]:
    """Return black and white for an image that suggests none."""
    if plane.ds.get("Modality") == "CT" and values.min() < 0:
        return SOFT_TISSUE_HU
    seen = values if padded is None or padded.all() else values[~padded]
    sample = seen.ravel()[:: seen.size // _SAMPLE + 1]
    if sample.max() - sample.min() <= 1:  # a mask
        return float(sample.min()), float(sample.max())
    low, high = np.percentile(sample, PERCENTILES)
    return (float(low), float(high)) if high > low else (float(seen.min()), float(seen.max()))


def _through_palette(indices: NDArray[Any], header: Dataset) -> NDArray[Any]:
    try:
        colours: NDArray[Any] = apply_color_lut(indices, header)[..., :3]
    except (AttributeError, ValueError, IndexError, KeyError) as error:
        raise Rejected(RejectCode.PIX_CORRUPT, "the palette is incomplete") from error
    return colours


def _eight_bits(colours: NDArray[Any], bits: int | None) -> NDArray[np.uint8]:
    bits = bits or 8 * colours.itemsize
    if bits == 8:  # noqa: PLR2004
        return colours.astype(np.uint8)
    scaled = colours.astype(np.float32) * np.float32(FULL_SCALE / (2**bits - 1))
    return _bytes(np.clip(scaled, 0, FULL_SCALE))


def _bytes(shades: NDArray[np.float32]) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.rint(shades).astype(np.uint8)
    return rounded


def _framed(pixels: NDArray[np.uint8], viewport: Viewport | None) -> Image.Image:
    """Return the part of a picture that is wanted, as large as fits into the viewport."""
    image = Image.fromarray(pixels)
    if viewport is None:
        return image
    if viewport.source is not None:
        image = _part(image, viewport.source)
    scale = min(viewport.width / image.width, viewport.height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)


def _part(image: Image.Image, source: tuple[float, float, float, float]) -> Image.Image:
    left, top, width, height = source
    right = left + (abs(width) or image.width - left)
    bottom = top + (abs(height) or image.height - top)
    box = (
        max(0, round(left)), max(0, round(top)),
        min(image.width, round(right)), min(image.height, round(bottom)),
    )  # fmt: skip
    if box[2] <= box[0] or box[3] <= box[1]:
        raise NotShowable("the viewport lies outside of the image")
    part = image.crop(box)
    if width < 0:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return part.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if height < 0 else part


def save(image: Image.Image, order: Picture, made: BinaryIO) -> None:
    """Write a picture in the format that is ordered."""
    if order.media_type == "image/jpeg":
        if image.mode == "RGBA":  # over black
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
        image.convert("RGB" if image.mode != "L" else "L").save(made, "JPEG", quality=order.quality)
    else:
        image.save(made, _FORMATS[order.media_type], compress_level=1)


def _frame_ms(header: Dataset) -> float:
    """Return how long a frame is shown."""
    for read in (_by_frame_time, _by_rate):
        for milliseconds in read(header):
            if milliseconds > 0:
                return milliseconds
    return USUAL_FRAME_MS


def _by_frame_time(header: Dataset) -> Iterator[float]:
    if header.get("FrameTime"):
        yield float(header.FrameTime)
    yield from (float(one) for one in (header.get("FrameTimeVector") or ())[1:2])


def _by_rate(header: Dataset) -> Iterator[float]:
    for keyword in ("RecommendedDisplayFrameRate", "CineRate"):
        rate = float(header.get(keyword) or 0)
        if rate > 0:
            yield 1000.0 / rate


__all__ = ["save", "shown", "write_overlaid", "write_picture"]
