"""The golden test: a known input must still give the known result on this machine.

Wrong arithmetic makes no noise. A driver or a library that computes wrongly would reach patients
as a plausible result, so a model takes no work before its golden input came out right.
"""

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import ModelUnusable, TaskFailed
from dicom_ai_node.domain.image import Frames, Geometry, Image, SourceFrame, Volume
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.uids import SOPInstanceUID, derive_uid
from dicom_ai_node.infer.sealed import SealedFolder

VOLUME_AXES = 3


def check_golden(facts: ModelFacts, task: Task) -> None:
    """Run `task` on the golden input as in serving, and compare.

    Raises
    ------
    ModelUnusable
        If a segment's Dice is below `facts.golden.min_dice`, if the network gave no numbers, or
        if the golden file is not one or shows no segment at all and so could not fail.
    """
    array, expected = _golden(facts)
    try:
        found = task({"image": _image(facts, array)}, {}).segmentation
    except TaskFailed as failed:
        raise ModelUnusable(f"{facts.name}: golden test: {failed}") from failed
    if found is None or found.labels.shape != expected.shape:
        raise ModelUnusable(f"{facts.name}: golden test: no labels of the golden shape")
    for segment in facts.segments:
        overlap = dice(found.labels == segment.number, expected == segment.number)
        if overlap < facts.golden.min_dice:
            raise ModelUnusable(
                f"{facts.name}: golden test: {segment.label} has Dice {overlap:.4f}, "
                f"at least {facts.golden.min_dice:g} is required"
            )


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient; two empty masks agree."""
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0


def _golden(facts: ModelFacts) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    content = SealedFolder(facts.folder).read(facts.golden.file)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            image, labels = arrays["image"].astype(np.float32), arrays["labels"].astype(np.uint8)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as wrong:
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} is no golden file") from wrong
    if image.ndim == VOLUME_AXES - 1:
        image, labels = image[None], labels[None]
    if image.ndim != VOLUME_AXES or image.shape != labels.shape or not labels.any():
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} proves nothing")
    return image, labels


def _image(facts: ModelFacts, array: NDArray[np.float32]) -> Image:
    sources = tuple(
        SourceFrame(SOPInstanceUID(derive_uid("golden", facts.name)), frame + 1)
        for frame in range(len(array))
    )
    if facts.sees is Sees.VOLUME:
        spacing_mm = facts.grid.spacing_mm or (1.0, 1.0, 1.0)
        # Columns run to the left, rows to the back, slices toward the head.
        affine = np.zeros((4, 4))
        affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm
        affine[3, 3] = 1.0
        slices, rows, columns = array.shape
        geometry = Geometry(affine, (slices, rows, columns), "")
        return Volume(array=array, geometry=geometry, unit="1", sources=sources)
    return Frames(
        array=array,
        unit="1",
        sources=sources,
        spacing_mm=None,
        region=(0, array.shape[1], 0, array.shape[2]),
    )
