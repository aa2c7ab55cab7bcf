"""A model that counts objects, asked about one region of a slide after the other.

Regions overlap. An object is taken from the region in whose own part its middle lies, and not a
second time from a neighbour that has cut it out a little differently.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.excerpts import evenly
from dicom_ai_node.domain.findings import Findings, Instances, Measurement, Segmentation
from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.domain.pictures import Backdrop
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.progress import Phase, during, share
from dicom_ai_node.domain.slide import Tile
from dicom_ai_node.infer.guard import Guard, guarded, with_quality
from dicom_ai_node.infer.leg import ANSWERED, CHECKED, READ
from dicom_ai_node.infer.measure import AREA
from dicom_ai_node.infer.slide import OpenSlide, gaps, on_disk, open_slide, spans
from dicom_ai_node.infer.units import NO_UNIT
from dicom_ai_node.infer.uptake import MEAN
from dicom_ai_node.neural.separate import inside

MARGIN_PX = 48
"""How far a region sees beyond its own part: more than the largest nucleus is long."""
SLACK_PX = 6
"""The middle of an object may differ this much between two regions that both show it."""
REGIONS_AT_ONCE = 8
"""How many regions are in memory together."""

QUANTITY = Code("246205007", "SCT", "Quantity")
NO_UNITS = Code("1", "UCUM", "no units")
PER_SQUARE_MILLIMETRE = Code("/mm2", "UCUM", "per square millimeter")
SQUARE_MICROMETRE = Code("um2", "UCUM", "square micrometer")
_GAP = 255
"""In what is taken: there is no tile."""


@dataclass(frozen=True, slots=True)
class Region:
    """A window of the matrix: its first pixel, and the part that belongs to it alone."""

    row: int
    column: int
    rows: tuple[int, int]
    columns: tuple[int, int]

    def owns(self, row: float, column: float) -> bool:
        """Return whether the middle of an object lies in this region's own part, or nearly so."""
        return (
            self.rows[0] - SLACK_PX <= row < self.rows[1] + SLACK_PX
            and self.columns[0] - SLACK_PX <= column < self.columns[1] + SLACK_PX
        )


def run_on_regions(
    order: InferenceOrder,
    facts: ModelFacts,
    task: Task,
    guard: Guard | None,
    max_pixels_bytes: int,
) -> Findings:
    """Return what `task` finds on the one slide of `order`, in its total pixel matrix.

    The guard looks at evenly spread regions before the task does, see `guarded`.

    Raises
    ------
    Rejected
        If the slide cannot be read, is none that the model was made for, or if the route refuses
        what `guard` reports.
    TaskFailed, OutOfResources
        Whatever the task raises; and if it does not find objects one by one.
    """
    (paths,) = order.inputs.values()
    with during(Phase.READING, high=READ):
        opened = open_slide(paths, order.options, max_pixels_bytes)
    mosaic = Mosaic(opened)
    notes: dict[str, None] = dict.fromkeys(opened.notes)
    size = facts.grid.size_px or opened.slide.shape
    every = list(regions_of(opened.slide.shape, size))
    some = [every[place] for place in evenly(len(every), REGIONS_AT_ONCE)]
    with during(Phase.CHECKING, READ, CHECKED):
        _, quality = guarded({"image": _frames(opened, some, size)}, guard, order.options)
    if quality is not None:
        said = f"the guard looked at parts of {len(some)} of {len(every)} regions"
        quality = replace(quality, looked_at=said)
    purifier = guard if quality is not None and quality.is_purified else None
    with during(Phase.RUNNING, CHECKED, ANSWERED):
        for first in range(0, len(every), REGIONS_AT_ONCE):
            regions = every[first : first + REGIONS_AT_ONCE]
            image: Image = _frames(opened, regions, size)
            if purifier is not None:
                image = purifier.purified(image)
            with share(first // REGIONS_AT_ONCE, ceil(len(every) / REGIONS_AT_ONCE)):
                found = task({"image": image}, order.options)
            if found.instances is None:
                raise TaskFailed(f"{facts.name} did not find objects one by one")
            mosaic.add(regions, found.instances)
            notes |= dict.fromkeys(found.notes)
    with during(Phase.FINISHING, ANSWERED):
        return with_quality(mosaic.findings(facts, tuple(notes)), quality)


def regions_of(shape: tuple[int, int], size: tuple[int, int]) -> Iterator[Region]:
    """Yield the regions of a matrix, row by row; none is larger than `size`."""
    down, across = (
        list(spans(length, want, MARGIN_PX)) for length, want in zip(shape, size, strict=True)
    )
    for (row, *rows), (column, *columns) in product(down, across):
        yield Region(row, column, (rows[0], rows[1]), (columns[0], columns[1]))


def _frames(opened: OpenSlide, regions: Sequence[Region], size: tuple[int, int]) -> Frames:
    parts = [
        opened.grey[region.row : region.row + size[0], region.column : region.column + size[1]]
        for region in regions
    ]
    array = np.stack(parts).astype(np.float32)
    return Frames(
        array=array,
        unit=NO_UNIT,
        sources=(opened.source(opened.slide.tiles[0]),) * len(regions),
        spacing_mm=opened.slide.spacing_mm,
        region=(0, array.shape[1], 0, array.shape[2]),
        histogram=opened.histogram,
    )


class Mosaic:
    """Objects of many regions, each once, in the total pixel matrix."""

    def __init__(self, opened: OpenSlide) -> None:
        self._opened = opened
        self._taken = on_disk(opened.slide.shape)
        for top, band in gaps(opened.slide):
            self._taken[top : top + len(band)][band] = _GAP
        self._outlines: list[NDArray[np.float32]] = []
        self._middles: list[tuple[float, float]] = []
        self._numbers: list[int] = []
        self._areas: list[int] = []

    def add(self, regions: Sequence[Region], found: Instances) -> None:
        """Take the objects of some regions; `found.frames` says which region each is of."""
        each = zip(found.outlines(), found.numbers, found.frames, strict=True)
        for outline, number, frame in each:
            region = regions[frame]
            placed = outline + np.array([region.row, region.column], np.float32)
            rows, columns = inside(placed, self._opened.slide.shape)
            if not len(rows) or not region.owns(rows.mean(), columns.mean()):
                continue
            is_free = self._taken[rows, columns] == 0
            if 2 * np.count_nonzero(is_free) <= len(rows):
                continue
            self._taken[rows[is_free], columns[is_free]] = number
            self._outlines.append(placed)
            self._middles.append((float(rows.mean()), float(columns.mean())))
            self._numbers.append(int(number))
            self._areas.append(len(rows))

    def findings(self, facts: ModelFacts, notes: tuple[str, ...]) -> Findings:
        """Return all of it: objects, labels of the tiles that have any, numbers, a picture."""
        labelled, labels = self._labels()
        instances = self._instances(facts, labelled)
        segmentation = Segmentation(
            labels=labels,
            sources=tuple(map(self._opened.source, labelled)),
            segments=facts.segments,
        )
        missing = tuple(
            f"{item.label}: not found" for item in facts.segments
            if not np.count_nonzero(instances.numbers == item.number)
        )  # fmt: skip
        return Findings(
            segmentation=segmentation,
            instances=instances,
            measurements=tuple(self._measurements(instances)),
            backdrop=self._backdrop(labelled, instances),
            notes=(*notes, *missing),
        )

    def _labels(self) -> tuple[list[Tile], NDArray[np.uint8]]:
        slide = self._opened.slide
        tiles = [t for t in slide.tiles if self._taken[self._opened.inside(t)].any()]
        labels = np.zeros((len(tiles), *slide.tile_shape), np.uint8)
        for place, tile in enumerate(tiles):
            part = self._taken[self._opened.inside(tile)]
            labels[place, : part.shape[0], : part.shape[1]] = part
        return tiles, labels

    def _instances(self, facts: ModelFacts, tiles: Sequence[Tile]) -> Instances:
        middles = np.reshape(np.array(self._middles), (-1, 2))
        frames = np.full(len(middles), -1, np.int32)
        for place, tile in enumerate(tiles):
            rows, columns = self._opened.inside(tile)
            is_here = (middles >= (rows.start - 0.5, columns.start - 0.5)).all(axis=1)
            is_here &= (middles < (rows.stop - 0.5, columns.stop - 0.5)).all(axis=1)
            frames[is_here] = place
        kept = np.flatnonzero(frames >= 0)
        outlines = [self._outlines[place] for place in kept]
        return Instances(
            points=np.concatenate([np.zeros((0, 2), np.float32), *outlines]),
            starts=np.cumsum([0, *map(len, outlines)], dtype=np.int64),
            numbers=np.array(self._numbers, np.uint8)[kept],
            areas_px=np.array(self._areas, np.int32)[kept],
            frames=frames[kept],
            sources=tuple(map(self._opened.source, tiles)),
            segments=facts.segments,
        )

    def _measurements(self, instances: Instances) -> Iterator[Measurement]:
        spacing_mm = self._opened.slide.spacing_mm
        for segment in instances.segments:
            areas_px = instances.areas_px[instances.numbers == segment.number]
            if not len(areas_px):
                continue
            count = len(areas_px)
            yield Measurement(concept=QUANTITY, value=count, unit=NO_UNITS, of=segment.number)
            if spacing_mm is None:
                continue
            pixel_mm2 = spacing_mm[0] * spacing_mm[1]
            yield Measurement(
                concept=QUANTITY,
                value=count / (self._opened.slide.covered_px * pixel_mm2),
                unit=PER_SQUARE_MILLIMETRE,
                of=segment.number,
            )
            yield Measurement(
                concept=AREA,
                value=float(areas_px.mean()) * pixel_mm2 * 1e6,
                unit=SQUARE_MICROMETRE,
                of=segment.number,
                derivation=MEAN,
            )

    def _backdrop(self, tiles: Sequence[Tile], instances: Instances) -> Backdrop:
        """Return the tile with most objects in its colours, or the middle one if there are none."""
        every = self._opened.slide.tiles
        most = Counter(instances.frames.tolist()).most_common(1)
        tile = tiles[most[0][0]] if most else every[len(every) // 2]
        shown = self._opened.colours(tile)
        return Backdrop(array=shown[None], sources=(self._opened.source(tile),))
