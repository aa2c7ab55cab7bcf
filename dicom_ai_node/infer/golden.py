"""The golden test: a known input must still give the known result on this machine.

Wrong arithmetic makes no noise. A driver or a library that computes wrongly would reach patients
as a plausible result, so a model takes no work before its golden input came out right.
"""

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import ModelUnusable, TaskFailed
from dicom_ai_node.domain.findings import Classification, Findings
from dicom_ai_node.domain.image import Frames, Geometry, Image, SourceFrame, Volume
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.uids import SOPInstanceUID, derive_uid
from dicom_ai_node.infer.sealed import SealedFolder

VOLUME_AXES = 3
SUM_WITHIN = 0.001
"""Golden probabilities are one answer, so that they add up to 1, but for their rounding."""


def check_golden(facts: ModelFacts, task: Task) -> None:
    """Run `task` on the golden input as in serving, and compare.

    Raises
    ------
    ModelUnusable
        If a segment's Dice is below `facts.golden.min_dice`, a probability differs by more than
        `facts.golden.max_difference`, if the network gave no numbers, or if the golden file is
        not one or shows no segment at all and so could not fail.
    """
    if facts.classes:
        array, expected = _arrays(facts, "probabilities")
        _compare_classes(facts, _found(facts, task, array).classification, expected)
    else:
        array, expected = _arrays(facts, "labels")
        _compare_segments(facts, task, array, expected.astype(np.uint8))


def _compare_classes(
    facts: ModelFacts, found: Classification | None, expected: NDArray[np.float32]
) -> None:
    is_whole = abs(float(expected.sum()) - 1) < SUM_WITHIN
    if expected.shape != (len(facts.classes),) or not is_whole:
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} proves nothing")
    if found is None or len(found.probabilities) != len(expected):
        raise ModelUnusable(f"{facts.name}: golden test: no probability of every class")
    differences = np.abs(np.asarray(found.probabilities) - expected)
    for item, difference in zip(facts.classes, differences, strict=True):
        # Asked this way round, so that a difference that is no number fails, too.
        if not difference <= facts.golden.max_difference:
            raise ModelUnusable(
                f"{facts.name}: golden test: {item.label} differs by {difference:.4f}, "
                f"at most {facts.golden.max_difference:g} is allowed"
            )


def _compare_segments(
    facts: ModelFacts, task: Task, array: NDArray[np.float32], expected: NDArray[np.uint8]
) -> None:
    if expected.ndim == VOLUME_AXES - 1:
        expected = expected[None]
    if array.shape != expected.shape or not expected.any():
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} proves nothing")
    found = _found(facts, task, array).segmentation
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


def _found(facts: ModelFacts, task: Task, array: NDArray[np.float32]) -> Findings:
    try:
        return task({"image": _image(facts, array)}, {})
    except TaskFailed as failed:
        raise ModelUnusable(f"{facts.name}: golden test: {failed}") from failed


def _arrays(facts: ModelFacts, answer: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the golden image, (slices or frames, rows, columns), and the answer to it."""
    content = SealedFolder(facts.folder).read(facts.golden.file)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            image, expected = (arrays[name].astype(np.float32) for name in ("image", answer))
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as wrong:
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} is no golden file") from wrong
    if image.ndim == VOLUME_AXES - 1:
        image = image[None]
    if image.ndim != VOLUME_AXES:
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} proves nothing")
    return image, expected


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
