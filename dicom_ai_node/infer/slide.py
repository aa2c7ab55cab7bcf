"""Microscopy: from the files of a series to one slide whose regions can be looked at.

A slide is never in memory as a whole. Its tiles are decoded once, one after the other, brought to
grey and put where they belong into a temporary file that has no name and is gone with the process;
regions are read from there. What stays in memory is the instance as it was stored, one tile, and a
region.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.progress import done, share
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.slide import WHOLE_SLIDE, Slide, Tile, slide_of
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.colour import FULL_SCALE, luma
from dicom_ai_node.infer.pixels import Decoded, decoded_frames
from dicom_ai_node.infer.planes import Plane, read_headers
from dicom_ai_node.infer.stacks import eligible

MOST_PIXELS: Final = 2**30
"""A slide of more pixels than this is declined: 32768 x 32768, 8 x 8 mm at 0.25 um."""

_KIND: Final = 2
"""Place of the kind of image in Image Type, counted from 0, PS3.3 C.8.12.4.1.1."""
_GREYS: Final = ("MONOCHROME1", "MONOCHROME2")
_COLOUR_AXES: Final = 3


@dataclass(frozen=True, slots=True)
class OpenSlide:
    """One slide, decoded, with its pixels on the disk.

    Attributes
    ----------
    grey
        (rows, columns) uint8 of the total pixel matrix, luma, on the disk. Where a sparse slide
        has no tile it is as bright as most of the rest.
    histogram
        (256,) how often each value occurs in the tiles.
    """

    header: Dataset
    slide: Slide
    grey: NDArray[np.uint8]
    histogram: NDArray[np.int64]
    notes: tuple[str, ...]

    def source(self, tile: Tile) -> SourceFrame:
        """Return which frame a tile is."""
        return SourceFrame(SOPInstanceUID(str(self.header.SOPInstanceUID)), tile.frame)

    def inside(self, tile: Tile) -> tuple[slice, slice]:
        """Return where in the matrix a tile lies, without what reaches beyond its end."""
        return _inside(tile, self.slide)

    def colours(self, tile: Tile) -> NDArray[np.uint8]:
        """Decode a tile once more: (rows, columns, 3) in RGB, or (rows, columns) if it is grey."""
        for number, decoded in enumerate(decoded_frames(self.header), start=1):
            if number == tile.frame:
                return _shown(decoded, self.header)
        raise Rejected(RejectCode.PIX_CORRUPT, "a tile is absent")


def open_slide(
    paths: Sequence[Path], options: Mapping[str, Option], max_pixels_bytes: int
) -> OpenSlide:
    """Decode the one slide of a series at its full resolution, or say why that cannot be done.

    Labels, overviews, thumbnails and smaller levels of the pyramid are left out.

    Raises
    ------
    Rejected
        SM_NO_LEVEL if there is no image of the specimen, GEO_MIXED if there are several of one
        size, PIX_TOO_LARGE above `MOST_PIXELS` or, as stored, above `max_pixels_bytes`; those of
        `slide_of` and `decoded_frames`.
    """
    with share(0, 2):
        headers = read_headers(paths)
    planes, notes = eligible([Plane(ds) for ds in headers if _is_specimen(ds)] or _none(), options)
    header = _largest([plane.ds for plane in planes])
    if len(headers) > 1:
        notes += (f"{len(headers) - 1} smaller levels, labels or overviews left out",)
    slide = slide_of(header)
    _check_size(header, slide, max_pixels_bytes)
    grey = on_disk(slide.shape)
    with share(1, 2):
        histogram = _decode(header, slide, grey)
    if slide.covered_px < slide.shape[0] * slide.shape[1]:
        for top, band in gaps(slide):
            grey[top : top + len(band)][band] = int(histogram.argmax())
        notes += ("the slide is sparse: nothing was looked for where it has no tile",)
    if slide.spacing_mm is None:
        notes += ("the image has no pixel spacing: there is a count, but no area and no density",)
    return OpenSlide(header, slide, grey, histogram, notes)


def on_disk(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an array of zeros in a file without a name, which is gone when nobody uses it."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)


def gaps(slide: Slide) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield (first row, (rows, columns) bool) of bands of the matrix, True where no tile lies."""
    step = slide.tile_shape[0]
    places = [_inside(tile, slide) for tile in slide.tiles]
    for top in range(0, slide.shape[0], step):
        band = np.ones((min(step, slide.shape[0] - top), slide.shape[1]), np.bool_)
        for rows, columns in places:
            first, end = max(rows.start, top), min(rows.stop, top + len(band))
            if first < end:
                band[first - top : end - top, columns] = False
        yield top, band


def spans(length: int, size: int, margin: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, first, end) of the windows of `size` that cover `length`.

    `first` and `end` bound what belongs to a window alone: together they cover all, once, and
    lie at least `margin` within the window, but for the ends of the whole.
    """
    count = max(1, -(-(length - 2 * margin) // (size - 2 * margin)))
    starts = [max(0, min(n * (size - 2 * margin), length - size)) for n in range(count)]
    first = 0
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        end = length if following is None else (start + size + following) // 2
        yield start, first, end
        first = end


def _decode(header: Dataset, slide: Slide, grey: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Put every tile where it belongs in `grey` and return how often each value occurs."""
    histogram = np.zeros(256, np.int64)
    tiles = {tile.frame: tile for tile in slide.tiles}
    for number, decoded in enumerate(decoded_frames(header), start=1):
        rows, columns = _inside(tiles[number], slide)
        part = _grey(decoded, header)[: rows.stop - rows.start, : columns.stop - columns.start]
        grey[rows, columns] = part
        histogram += np.bincount(part.ravel(), minlength=256)
        done(number / len(tiles))
    return histogram


def _none() -> list[Plane]:
    raise Rejected(RejectCode.SM_NO_LEVEL, "only labels, overviews or thumbnails")


def _is_specimen(header: Dataset) -> bool:
    if header.get("SOPClassUID") != WHOLE_SLIDE:
        return True
    kind = [str(value).strip().upper() for value in header.get("ImageType") or ()]
    return kind[_KIND : _KIND + 1] == ["VOLUME"]


def _largest(headers: Sequence[Dataset]) -> Dataset:
    by_size = sorted(headers, key=_pixels, reverse=True)
    if len(by_size) > 1 and _pixels(by_size[0]) == _pixels(by_size[1]):
        raise Rejected(RejectCode.GEO_MIXED, "several microscopy images of one size")
    return by_size[0]


def _pixels(header: Dataset) -> int:
    rows = header.get("TotalPixelMatrixRows") or header.Rows
    columns = header.get("TotalPixelMatrixColumns") or header.Columns
    return int(rows) * int(columns)


def _check_size(header: Dataset, slide: Slide, max_pixels_bytes: int) -> None:
    rows, columns = slide.shape
    if rows * columns > MOST_PIXELS:
        raise Rejected(
            RejectCode.PIX_TOO_LARGE,
            f"{rows} x {columns} pixels, at most {MOST_PIXELS} are looked at",
        )
    stored = Path(header.filename).stat().st_size
    if stored > max_pixels_bytes:
        raise Rejected(
            RejectCode.PIX_TOO_LARGE, f"{stored} bytes stored, {max_pixels_bytes} are allowed"
        )


def _inside(tile: Tile, slide: Slide) -> tuple[slice, slice]:
    rows = slice(tile.row, min(tile.row + slide.tile_shape[0], slide.shape[0]))
    return rows, slice(tile.column, min(tile.column + slide.tile_shape[1], slide.shape[1]))


def _grey(decoded: Decoded, header: Dataset) -> NDArray[np.uint8]:
    """Return one tile in 0..255, more light is brighter."""
    if decoded.photometric in _GREYS:
        return _shown(decoded, header)
    return np.asarray(luma(decoded, header).round().clip(0, 255), np.uint8)


def _shown(decoded: Decoded, header: Dataset) -> NDArray[np.uint8]:
    """Return one tile with 8 bits a sample."""
    full = 2 ** int(header.BitsStored) - 1
    if decoded.photometric not in (*_GREYS, "RGB"):
        return np.asarray(luma(decoded, header).round().clip(0, 255), np.uint8)
    values = decoded.values.astype(np.float32) * np.float32(FULL_SCALE / full)
    if decoded.photometric == "MONOCHROME1":
        values = FULL_SCALE - values
    return np.asarray(values.round().clip(0, 255), np.uint8)
