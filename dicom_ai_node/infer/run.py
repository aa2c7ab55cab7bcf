"""One inference from files to findings: read, place, ask, bring back, measure, show."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Backdrop, Findings, Segmentation
from dicom_ai_node.domain.image import Image, Volume
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.coverage import check_coverage, check_modality
from dicom_ai_node.infer.display import backdrop
from dicom_ai_node.infer.measure import measurements
from dicom_ai_node.infer.orient import canonical
from dicom_ai_node.infer.read import MAX_PIXELS_BYTES, read_series
from dicom_ai_node.infer.resample import Placed, placed

MOST_SHOWN = 400
"""Frames in a backdrop; a secondary capture with more is of no use to anyone."""
MOST_EXPLAINED = 100
"""Frames in a heat map, which takes twice the bytes of a backdrop."""


def run_inference(
    order: InferenceOrder,
    facts: ModelFacts,
    task: Task,
    *,
    max_pixels_bytes: int = MAX_PIXELS_BYTES,
) -> Findings:
    """Return what `task` says about the inputs of `order`, on the pixels of the source.

    A segmentation or a heat map lies on the first input, in the order of the names.
    Probabilities are kept only if the option `keep_probabilities` asks for them.

    Raises
    ------
    Rejected
        If the series cannot be read as the model needs it, or is not what it was made for.
    TaskFailed, OutOfResources
        Whatever the task raises.
    """
    images = {
        name: _read(paths, facts, order.options, max_pixels_bytes)
        for name, paths in sorted(order.inputs.items())
    }
    grids = {name: placed(image, facts.grid) for name, image in images.items()}
    options: Mapping[str, Option] = order.options
    if not all(grid.is_same for grid in grids.values()):
        # The way back from another grid goes over probabilities.
        options = {**order.options, "keep_probabilities": True}
    found = task({name: grid.image for name, grid in grids.items()}, options)
    first = next(iter(images))
    image = images[first]
    notes = (*image.notes, *found.notes)
    if found.segmentation is None:
        return replace(_shown(found, grids[first], image, facts), notes=notes)
    segmentation = grids[first].back(found.segmentation)
    if segmentation.labels.shape != image.array.shape:
        raise TaskFailed(f"{facts.name} did not label the grid that it was given")
    if not order.options.get("keep_probabilities"):
        segmentation = replace(segmentation, probabilities=None)
    measured, remarks = measurements(segmentation, image, facts.measure)
    shown, omitted = _backdrop(segmentation, image, facts)
    return replace(
        found,
        segmentation=segmentation,
        measurements=(*found.measurements, *measured),
        backdrop=shown,
        notes=(*notes, *remarks, *omitted),
    )


def _shown(found: Findings, grid: Placed, image: Image, facts: ModelFacts) -> Findings:
    """Return a classification with something to look at, its heat map on the source's pixels."""
    if found.classification is None:
        return found
    heat = found.heat_map
    if heat is None:
        frames = frames_to_explain(None, image)
        return replace(found, backdrop=backdrop(image, frames, facts.display_window))
    if heat.array.shape != grid.image.array.shape:
        raise TaskFailed(f"{facts.name} did not explain the grid that it was given")
    frames = frames_to_explain(heat.array, image)
    shown = backdrop(image, frames, facts.display_window)
    array = grid.back_map(heat.array[frames])
    return replace(
        found, heat_map=replace(heat, array=array, sources=shown.sources), backdrop=shown
    )


def frames_to_explain(
    heat: NDArray[np.float16] | None, image: Image, most: int = MOST_EXPLAINED
) -> list[int]:
    """Return on which frames a classification is shown.

    Of the slices of a stack the one with most heat, or the middle one; of other frames all,
    evenly thinned to `most`.
    """
    count = len(image.array)
    is_stack = isinstance(image, Volume) or image.thickness_mm is not None
    if not is_stack:
        every = np.linspace(0, count - 1, min(count, most)).round()
        return [int(frame) for frame in every]
    if heat is None:
        return [count // 2]
    return [int(heat.sum(axis=(1, 2), dtype=np.float64).argmax())]


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


def _read(
    paths: Sequence[Path], facts: ModelFacts, options: Mapping[str, Option], max_pixels_bytes: int
) -> Image:
    modality = _modality(paths[0])
    if modality is not None:
        check_modality(modality, facts)
    image = read_series(paths, facts.sees, options=options, max_pixels_bytes=max_pixels_bytes)
    check_coverage(canonical(image).volume if isinstance(image, Volume) else image, facts)
    return image


def _modality(path: Path) -> str | None:
    """Return Modality, or `None` if the file cannot be read: then reading it will say why."""
    try:
        header = dcmread(path, specific_tags=["Modality"], stop_before_pixels=True)
    except (InvalidDicomError, OSError):
        return None
    return str(header.get("Modality", ""))


def _backdrop(
    segmentation: Segmentation, image: Image, facts: ModelFacts
) -> tuple[Backdrop, tuple[str, ...]]:
    frames = frames_to_show(segmentation.labels)
    labelled = np.count_nonzero(segmentation.labels.any(axis=(1, 2)))
    shown = backdrop(image, frames, facts.display_window)
    if labelled <= len(frames):
        return shown, ()
    kind = "frames" if facts.sees is Sees.FRAMES else "slices"
    return shown, (f"{len(frames)} of {labelled} labelled {kind} are shown",)
