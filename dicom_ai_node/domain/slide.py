"""Where the tiles of a slide lie: in its total pixel matrix, and in millimetres on the glass.

A slide is one large picture in pieces, PS3.3 C.8.12.4 and C.8.12.14. A microscopy image in one
piece is a slide of one tile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode

WHOLE_SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""VL Whole Slide Microscopy Image Storage."""

_OFFSETS: Final = tuple(f"{axis}OffsetInSlideCoordinateSystem" for axis in "XYZ")


@dataclass(frozen=True, slots=True)
class Tile:
    """One frame, numbered from 1, and where its first pixel lies: (row, column) from 0."""

    frame: int
    row: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """One microscopy image and how its tiles make it up.

    Attributes
    ----------
    shape
        (rows, columns) of the total pixel matrix; tiles at its end may reach beyond.
    tile_shape
        (rows, columns) of a tile.
    spacing_mm
        Distance between pixel centres (row, column), or `None` if the image does not say.
    origin_mm
        Centre of the first pixel as (x, y, z) on the slide, or `None` if it has no place there.
    orientation
        Directions of rows (along which columns are counted) and of columns, PS3.3 C.8.12.4.1.1.
    """

    shape: tuple[int, int]
    tile_shape: tuple[int, int]
    tiles: tuple[Tile, ...]
    spacing_mm: tuple[float, float] | None
    origin_mm: tuple[float, float, float] | None
    orientation: tuple[float, ...]

    def to_mm(self, points: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n, 3) places on the slide of (n, 2) places (row, column) in the matrix.

        Raises
        ------
        ValueError
            If the slide has no place.
        """
        if self.origin_mm is None or self.spacing_mm is None:
            raise ValueError("the image has no place on a slide")
        along_row, along_column = np.reshape(np.asarray(self.orientation), (2, 3))
        steps = points.astype(np.float64) * self.spacing_mm
        places: NDArray[np.float64] = steps[:, 1:] * along_row + steps[:, :1] * along_column
        places += np.asarray(self.origin_mm)
        return places

    def corner_mm(self, tile: Tile) -> tuple[float, float, float]:
        """Return the centre of a tile's first pixel as (x, y, z) on the slide; see `to_mm`."""
        x, y, z = self.to_mm(np.array([[tile.row, tile.column]], np.float32))[0].tolist()
        return x, y, z

    @property
    def covered_px(self) -> int:
        """Pixels of the matrix that lie in a tile: a sparse slide has gaps."""
        rows, columns = self.shape
        high, wide = self.tile_shape
        return sum(
            min(high, rows - tile.row) * min(wide, columns - tile.column) for tile in self.tiles
        )


def slide_of(header: Dataset) -> Slide:
    """Return how the tiles of a microscopy image lie.

    Raises
    ------
    Rejected
        GEO_MULTIFRAME if the tiles cannot be placed or are of several focal planes or optical
        paths; GEO_MISSING_ATTRIBUTE if the size of the matrix is absent.
    """
    tile_shape = (int(header.Rows), int(header.Columns))
    if header.get("SOPClassUID") != WHOLE_SLIDE:
        return _single(header, tile_shape)
    try:
        shape = (int(header.TotalPixelMatrixRows), int(header.TotalPixelMatrixColumns))
    except (AttributeError, TypeError, ValueError) as error:
        raise _missing("TotalPixelMatrixRows or TotalPixelMatrixColumns") from error
    if min(shape) < 1:
        raise _missing("TotalPixelMatrixRows or TotalPixelMatrixColumns")
    if int(header.get("NumberOfOpticalPaths") or 1) > 1:
        raise Rejected(RejectCode.GEO_MULTIFRAME, "a slide with several optical paths")
    if int(header.get("TotalPixelMatrixFocalPlanes") or 1) > 1:
        raise Rejected(RejectCode.GEO_MULTIFRAME, "a slide with several focal planes")
    if header.get("ConcatenationUID"):
        raise Rejected(RejectCode.GEO_MULTIFRAME, "a slide in several instances (concatenation)")
    tiles = tuple(_tiles(header, shape, tile_shape))
    origin = (header.get("TotalPixelMatrixOriginSequence") or [Dataset()])[0]
    return Slide(
        shape=shape,
        tile_shape=tile_shape,
        tiles=tiles,
        spacing_mm=_spacing_mm(_shared(header, "PixelMeasuresSequence")),
        origin_mm=_origin_mm(origin),
        orientation=tuple(map(float, header.get("ImageOrientationSlide") or (0, 1, 0, 1, 0, 0))),
    )


def _single(header: Dataset, shape: tuple[int, int]) -> Slide:
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise Rejected(RejectCode.GEO_MULTIFRAME, "a microscopy image of several frames")
    return Slide(
        shape=shape,
        tile_shape=shape,
        tiles=(Tile(1, 0, 0),),
        spacing_mm=_spacing_mm(header),
        origin_mm=None,
        orientation=(1, 0, 0, 0, 1, 0),
    )


def _tiles(header: Dataset, shape: tuple[int, int], tile_shape: tuple[int, int]) -> Iterator[Tile]:
    count = int(header.get("NumberOfFrames") or 1)
    groups = header.get("PerFrameFunctionalGroupsSequence") or ()
    if header.get("DimensionOrganizationType") != "TILED_FULL" and groups:
        if len(groups) != count:
            raise Rejected(
                RejectCode.GEO_MULTIFRAME, f"{count} tiles and {len(groups)} functional groups"
            )
        yield from (_placed(number, group, shape) for number, group in enumerate(groups, start=1))
        return
    down, across = (-(-size // step) for size, step in zip(shape, tile_shape, strict=True))
    if count != across * down:
        raise Rejected(
            RejectCode.GEO_MULTIFRAME, f"{count} tiles where {down} rows of {across} belong"
        )
    for place in range(count):
        row, column = divmod(place, across)
        yield Tile(place + 1, row * tile_shape[0], column * tile_shape[1])


def _placed(number: int, group: Dataset, shape: tuple[int, int]) -> Tile:
    try:
        place = group.PlanePositionSlideSequence[0]
        row = int(place.RowPositionInTotalImagePixelMatrix) - 1
        column = int(place.ColumnPositionInTotalImagePixelMatrix) - 1
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise _missing("the position of a tile") from error
    if not (0 <= row < shape[0] and 0 <= column < shape[1]):
        raise Rejected(RejectCode.GEO_MULTIFRAME, "a tile lies outside of the slide")
    return Tile(number, row, column)


def _shared(header: Dataset, keyword: str) -> Dataset:
    groups = header.get("SharedFunctionalGroupsSequence") or ()
    items: Sequence[Dataset] = groups[0].get(keyword) or () if groups else ()
    return items[0] if items else Dataset()


def _spacing_mm(holder: Dataset) -> tuple[float, float] | None:
    spacing = holder.get("PixelSpacing")
    if spacing is None or isinstance(spacing, str | float) or len(spacing) != 2:  # noqa: PLR2004
        return None
    row, column = map(float, spacing)
    return (row, column) if row > 0 and column > 0 else None


def _origin_mm(item: Dataset) -> tuple[float, float, float] | None:
    x, y, z = (item.get(keyword) for keyword in _OFFSETS)
    return None if x is None or y is None else (float(x), float(y), float(z or 0))


def _missing(what: str) -> Rejected:
    return Rejected(RejectCode.GEO_MISSING_ATTRIBUTE, f"{what} is absent or malformed")
