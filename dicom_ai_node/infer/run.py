"""One inference from files to findings: read, place, guard, ask, bring back."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Image, Volume
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.progress import Phase, during, share
from dicom_ai_node.infer.align import aligned
from dicom_ai_node.infer.back import on_sources
from dicom_ai_node.infer.clinical import informed
from dicom_ai_node.infer.coverage import check_coverage, check_modality
from dicom_ai_node.infer.fused import fused
from dicom_ai_node.infer.guard import Guard, guarded, with_quality
from dicom_ai_node.infer.leg import ANSWERED, CHECKED, READ
from dicom_ai_node.infer.orient import canonical
from dicom_ai_node.infer.outlined import begun
from dicom_ai_node.infer.read import MAX_PIXELS_BYTES, read_series
from dicom_ai_node.infer.regions import run_on_regions
from dicom_ai_node.infer.resample import placed
from dicom_ai_node.infer.stored import as_stored


def run_inference(
    order: InferenceOrder,
    facts: ModelFacts,
    task: Task,
    guard: Guard | None = None,
    *,
    max_pixels_bytes: int = MAX_PIXELS_BYTES,
) -> Findings:
    """Return what `task` says about the inputs of `order`, on the pixels of the source.

    What lies on pixels lies on those of the model's reference, or of its only input; other inputs
    are brought to its grid by their place in the patient. Probabilities of pixels are kept only
    if the option `keep_probabilities` asks for them.

    Raises
    ------
    Rejected
        If a series cannot be read as the model needs it, is not what it was made for, does not
        lie in the same frame of reference as the others, or if the route refuses what `guard`
        reports.
    TaskFailed, OutOfResources
        If the inputs are not those of the model; whatever the task raises.
    """
    if misfits := facts.misfits(order.inputs):
        raise TaskFailed(misfits)
    if facts.sees is Sees.REGIONS:
        ((name, paths),) = order.inputs.items()
        _check(paths, facts, name)
        return run_on_regions(order, facts, task, guard, max_pixels_bytes)
    task, notes = informed(task, order.inputs, facts, order.earlier)
    names = sorted(set(order.inputs) - {*facts.documents, facts.outline})
    with during(Phase.READING, high=READ):
        images = _images(order, names, facts, max_pixels_bytes)
        reference = images[facts.reference or next(iter(images))]
        if facts.outline in order.inputs:
            paths = order.inputs[facts.outline]
            task = begun(task, paths, reference, facts, (order.options, max_pixels_bytes))
        grid = placed(reference, facts.grid)
    # The way back from another grid goes over probabilities.
    way_back = {} if grid.is_same else {"keep_probabilities": True}
    seen = {
        name: grid.image if image is reference else _beside(image, grid.image, name, facts)
        for name, image in images.items()
    }
    with during(Phase.CHECKING, READ, CHECKED):
        judged, quality = guarded(seen, guard, order.options)
    with during(Phase.RUNNING, CHECKED, ANSWERED):
        found = with_quality(task(judged, {**order.options, **way_back}), quality)
    others = [
        note for name, image in seen.items() if image is not grid.image for note in image.notes
    ]
    found = replace(found, notes=(*others, *notes, *found.notes))
    with during(Phase.FINISHING, ANSWERED):
        if found.restoration is not None:
            paths = order.inputs[facts.reference or next(iter(images))]
            return as_stored(found, grid, reference, facts, paths)
        return fused(on_sources(found, grid, reference, facts, order.options), images, facts)


def _images(
    order: InferenceOrder, names: Sequence[str], facts: ModelFacts, max_pixels_bytes: int
) -> dict[str, Image]:
    images = {}
    for place, name in enumerate(names):
        with share(place, len(names)):
            images[name] = _read(order, name, facts, max_pixels_bytes)
    return images


def _read(order: InferenceOrder, name: str, facts: ModelFacts, max_pixels_bytes: int) -> Image:
    paths = order.inputs[name]
    _check(paths, facts, name)
    image = read_series(paths, facts.sees, options=order.options, max_pixels_bytes=max_pixels_bytes)
    seen = canonical(image).volume if isinstance(image, Volume) else image
    check_coverage(seen, facts, name)
    return image


def _beside(image: Image, reference: Image, name: str, facts: ModelFacts) -> Image:
    """Return another input on the grid of the reference; `facts` let only volumes have others."""
    if not isinstance(image, Volume) or not isinstance(reference, Volume):
        raise TaskFailed(f"{facts.name} has several inputs that are no volumes")
    return aligned(image, reference, name, facts.input(name).outside)


def _check(paths: Sequence[Path], facts: ModelFacts, name: str) -> None:
    modality = _modality(paths[0])
    if modality is not None:
        check_modality(modality, facts, name)


def _modality(path: Path) -> str | None:
    """Return Modality, or `None` if the file cannot be read: then reading it will say why."""
    try:
        header = dcmread(path, specific_tags=["Modality"], stop_before_pixels=True)
    except (InvalidDicomError, OSError):
        return None
    return str(header.get("Modality", ""))
