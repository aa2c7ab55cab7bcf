"""One inference from files to findings: read, place, ask, bring back."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Image, Volume
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.back import on_sources
from dicom_ai_node.infer.coverage import check_coverage, check_modality
from dicom_ai_node.infer.orient import canonical
from dicom_ai_node.infer.read import MAX_PIXELS_BYTES, read_series
from dicom_ai_node.infer.resample import placed
from dicom_ai_node.infer.stored import as_stored


def run_inference(
    order: InferenceOrder,
    facts: ModelFacts,
    task: Task,
    *,
    max_pixels_bytes: int = MAX_PIXELS_BYTES,
) -> Findings:
    """Return what `task` says about the inputs of `order`, on the pixels of the source.

    What lies on pixels lies on those of the first input, in the order of the names.
    Probabilities of pixels are kept only if the option `keep_probabilities` asks for them.

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
    if found.restoration is not None:
        return as_stored(found, grids[first], images[first], facts, order.inputs[first])
    return on_sources(found, grids[first], images[first], facts, order.options)


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
