"""What a task found, brought from its grid to the pixels of the source, measured and shown.

It depends on what was found and not on the kind of task: kinds that give the same findings share
the way back.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Detection, Findings, Segmentation
from dicom_ai_node.domain.image import Frames, Image, SourceFrame, Volume
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.pictures import HeatMap
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.display import backdrop
from dicom_ai_node.infer.lesions import MEASURE as LESIONS
from dicom_ai_node.infer.lesions import lesions_of
from dicom_ai_node.infer.measure import measurements
from dicom_ai_node.infer.motion import motions
from dicom_ai_node.infer.resample import Placed

MOST_SHOWN = 400
"""Frames in a backdrop; a secondary capture with more is of no use to anyone."""
MOST_EXPLAINED = 100
"""Frames in a heat map, which takes twice the bytes of a backdrop; of a stack, neighbours."""


def on_sources(
    found: Findings,
    grid: Placed,
    image: Image,
    facts: ModelFacts,
    options: Mapping[str, Option],
) -> Findings:
    """Return what was found on `grid` as it lies on `image`, which was placed on that grid.

    Segments are measured, and wherever there is something to see there is a backdrop to see it
    on.

    Raises
    ------
    TaskFailed
        If what was found does not cover the grid that the task was given.
    """
    found = replace(found, notes=(*image.notes, *found.notes))
    if found.segmentation is not None:
        found = _measured(found, found.segmentation, grid, image, facts)
        if not options.get("keep_probabilities"):
            found = _without_probabilities(found)
    if found.classification is not None and isinstance(image, Volume):
        # Its slices may be none on the model's grid; those of the source were looked at.
        answer = replace(found.classification, sources=image.sources)
        found = replace(found, classification=answer)
    if found.trajectories:
        found = _followed(found, grid, image, facts)
    if found.detection is not None:
        found = replace(found, detection=_boxes_on(found.detection, grid, image, facts))
    if found.heat_map is not None:
        found = replace(found, heat_map=_heat_on(found.heat_map, grid, image, facts))
    frames = _frames(found, image)
    if frames is None:
        return found
    shown = backdrop(image, frames, facts.display_window)
    return replace(found, backdrop=shown, notes=(*found.notes, *_omitted(found, frames, facts)))


def _measured(
    found: Findings, on_grid: Segmentation, grid: Placed, image: Image, facts: ModelFacts
) -> Findings:
    segmentation = grid.back(on_grid)
    if segmentation.labels.shape != image.array.shape:
        raise TaskFailed(f"{facts.name} did not label the grid that it was given")
    names = [name for name in facts.measure if name != LESIONS]
    measured, remarks = measurements(segmentation, image, names)
    lesions = None
    if LESIONS in facts.measure:
        lesions, more = lesions_of(segmentation, image)
        remarks = (*remarks, *more)
    return replace(
        found,
        segmentation=segmentation,
        lesions=lesions,
        measurements=(*found.measurements, *measured),
        notes=(*found.notes, *remarks),
    )


def _without_probabilities(found: Findings) -> Findings:
    if found.segmentation is None:
        return found
    return replace(found, segmentation=replace(found.segmentation, probabilities=None))


def _followed(found: Findings, grid: Placed, image: Image, facts: ModelFacts) -> Findings:
    if not isinstance(image, Frames):
        raise TaskFailed(f"{facts.name} followed something through a volume")
    if any(len(item.points) != len(image.sources) for item in found.trajectories):
        raise TaskFailed(f"{facts.name} did not follow through all frames that it was given")
    trajectories = tuple(
        replace(
            item,
            points=grid.back_points(item.points),
            sources=image.sources,
            times_ms=image.times_ms,
            spacing_mm=image.spacing_mm,
        )
        for item in found.trajectories
    )
    measured, remarks = motions(trajectories)
    return replace(
        found,
        trajectories=trajectories,
        measurements=(*found.measurements, *measured),
        notes=(*found.notes, *remarks),
    )


def _heat_on(heat: HeatMap, grid: Placed, image: Image, facts: ModelFacts) -> HeatMap:
    """Return the heat on the pixels of the source, on no more frames than anyone looks at.

    Frames lie on the grid one by one, and so may be explained one by one; a volume is one thing.
    """
    on_grid, is_whole = grid.image, isinstance(image, Volume)
    count = len(on_grid.array) if is_whole else len(heat.sources)
    is_known = is_whole or set(heat.sources) <= set(on_grid.sources)
    if heat.array.shape != (count, *on_grid.array.shape[1:]) or not is_known or not count:
        raise TaskFailed(f"{facts.name} did not explain the grid that it was given")
    if is_whole:
        whole, sources = grid.back_map(heat.array), image.sources
        kept = _warmest(whole)
        array = whole[kept]
    else:
        kept = _warmest(heat.array) if _is_stack(image) else _evenly(count, MOST_EXPLAINED)
        array, sources = grid.back_map(heat.array[kept]), heat.sources
    return replace(heat, array=array, sources=tuple(sources[place] for place in kept))


def _warmest(heat: NDArray[np.float16]) -> list[int]:
    """Return which neighbouring slices of (slices, rows, columns) have the most heat."""
    amounts = heat.sum(axis=(1, 2), dtype=np.float64)
    most = min(len(amounts), MOST_EXPLAINED)
    first = int(np.convolve(amounts, np.ones(most), "valid").argmax())
    return list(range(first, first + most))


def _boxes_on(found: Detection, grid: Placed, image: Image, facts: ModelFacts) -> Detection:
    if not set(found.sources) <= set(image.sources):
        raise TaskFailed(f"{facts.name} did not look at the frames that it was given")
    rows, columns = image.array.shape[-2:]
    ends = np.array(
        [
            [(one.corners.top, one.corners.left), (one.corners.bottom, one.corners.right)]
            for one in found.boxes
        ]
    ).reshape(-1, 2)
    # Points have whole numbers at the centres of pixels, boxes at their borders.
    moved = (grid.back_points(ends - 0.5) + 0.5).reshape(-1, 4).tolist()
    return replace(
        found,
        boxes=tuple(
            replace(box, corners=Corners(*borders).clipped(rows, columns))
            for box, borders in zip(found.boxes, moved, strict=True)
        ),
    )


def _frames(found: Findings, image: Image) -> list[int] | None:
    """Return which frames there is something to see on, or `None` if there is nothing to see."""
    if found.trajectories:
        return _evenly(len(image.array), MOST_SHOWN)
    if found.segmentation is not None:
        return frames_to_show(found.segmentation.labels)
    if found.detection is not None:
        return frames_with_boxes(found.detection)
    if found.classification is not None:
        return frames_to_explain(found.heat_map, image, found.classification.decided_by)
    return None


def _omitted(found: Findings, frames: list[int], facts: ModelFacts) -> tuple[str, ...]:
    if found.segmentation is None:
        return ()
    labelled = np.count_nonzero(found.segmentation.labels.any(axis=(1, 2)))
    if labelled <= len(frames):
        return ()
    kind = "frames" if facts.sees is Sees.FRAMES else "slices"
    return (f"{len(frames)} of {labelled} labelled {kind} are shown",)


def frames_to_explain(
    heat: HeatMap | None, image: Image, decided_by: SourceFrame | None = None
) -> list[int]:
    """Return on which frames a classification is shown.

    The one that decided; else, of the slices of a stack, the one with most heat, or the middle
    one; of other frames all, evenly thinned.
    """
    count = len(image.array)
    if decided_by is not None:
        return [image.sources.index(decided_by)]
    if not _is_stack(image):
        return _evenly(count, MOST_EXPLAINED)
    if heat is None:
        return [count // 2]
    hottest = int(heat.array.sum(axis=(1, 2), dtype=np.float64).argmax())
    return [image.sources.index(heat.sources[hottest])]


def _is_stack(image: Image) -> bool:
    return isinstance(image, Volume) or image.thickness_mm is not None


def frames_with_boxes(found: Detection, most: int = MOST_EXPLAINED) -> list[int]:
    """Return on which frames a detection is shown: all, evenly thinned to `most`."""
    return _evenly(len(found.sources), most)


def _evenly(count: int, most: int) -> list[int]:
    return [int(frame) for frame in np.linspace(0, count - 1, min(count, most)).round()]


def frames_to_show(labels: NDArray[np.uint8], most: int = MOST_SHOWN) -> list[int]:
    """Return which frames a backdrop holds: all that are labelled, evenly thinned to `most`.

    The fullest one is always among them. Where nothing is labelled it is the middle one, so that
    a capture can still show that nothing was found.
    """
    pixels = np.count_nonzero(labels, axis=(1, 2))
    labelled = np.flatnonzero(pixels)
    if not labelled.size:
        return [len(labels) // 2]
    if labelled.size > most:
        chosen = np.linspace(0, labelled.size - 1, most).round().astype(np.intp)
        fullest = int(np.searchsorted(labelled, int(pixels.argmax())))
        chosen[int(np.abs(chosen - fullest).argmin())] = fullest
        labelled = labelled[chosen]
    return [int(frame) for frame in labelled]
