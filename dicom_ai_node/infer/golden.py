"""The golden test: a known input must still give the known result on this machine.

Wrong arithmetic makes no noise. A driver or a library that computes wrongly would reach patients
as a plausible result, so a model takes no work before its golden input came out right.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicom_ai_node.domain.clinical import KnownFact, unknown
from dicom_ai_node.domain.errors import ConfigError, ModelUnusable, TaskFailed
from dicom_ai_node.domain.findings import Detection, Findings
from dicom_ai_node.domain.image import Frames, Geometry, Image, SourceFrame, Volume
from dicom_ai_node.domain.model import ModelFacts, Scaling, Sees
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.uids import SOPInstanceUID, derive_uid
from dicom_ai_node.infer.clinical import Knowing
from dicom_ai_node.infer.sealed import SealedFolder
from dicom_ai_node.infer.units import HOUNSFIELD, NO_UNIT

VOLUME_AXES = 3
ONLY = "image"
"""What the input is called in the golden file of a model that has but one."""
NOISES, NOISE_PX, BLOB_PX = 8, 64, 8
"""How many images of noise are tried, their length without a window, and how large their blobs."""
SUM_WITHIN = 0.001
"""Golden probabilities are one answer, so that they add up to 1, but for their rounding."""


def check_golden(facts: ModelFacts, task: Task) -> None:
    """Run `task` on the golden input as in serving, and compare.

    Raises
    ------
    ModelUnusable
        If a segment's Dice is below `facts.golden.min_dice`, a number differs by more than
        `facts.golden.max_difference`, if the network gave no numbers, or if the golden file is
        not one or shows nothing at all and so could not fail.
    """
    images, answers = _arrays(facts)
    if isinstance(task, Knowing):
        task = task.knowing(_told(facts, answers.pop("facts", None)))
    found = _found(facts, task, images, answers.pop("start", None))
    if not answers:
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} proves nothing")
    image = images[facts.reference or ONLY]
    for name, expected in answers.items():
        if name == "labels":
            _compare_segments(facts, found, image, expected)
        else:
            _compare_numbers(facts, name, _numbers(found, image).get(name), expected)


def golden_images(facts: ModelFacts) -> Mapping[str, Image]:
    """Return the golden inputs of a model, as its task is given them.

    Raises
    ------
    ModelUnusable
        If they cannot be read.
    """
    arrays, _ = _arrays(facts)
    return {name: _image(facts, array) for name, array in arrays.items()}


def _told(facts: ModelFacts, values: NDArray[np.float32] | None) -> tuple[KnownFact, ...]:
    """Return what a golden file tells, in the order of the model; NaN is unknown."""
    nothing = unknown(facts.clinical)
    if values is None or values.shape != (len(nothing),):
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} does not tell the facts")
    return tuple(
        fact if np.isnan(value) else replace(fact, value=float(value))
        for fact, value in zip(nothing, values, strict=True)
    )


def new_golden(facts: ModelFacts, task: Task) -> bytes:
    """Return a golden file of noise and what `task` says to it, here and now.

    Raises
    ------
    ModelUnusable
        If the task cannot answer, or finds nothing in any noise: such a file proves nothing.
    """
    for seed in range(NOISES):
        image = _noise(facts, seed)
        found = _found(facts, task, {ONLY: image})
        answers: dict[str, NDArray[Any]] = dict(_numbers(found, image))
        if found.segmentation is not None:
            answers["labels"] = found.segmentation.labels
        if any(answer.any() for answer in answers.values()):
            content = io.BytesIO()
            np.savez_compressed(content, allow_pickle=False, image=image, **answers)
            return content.getvalue()
    raise ModelUnusable(f"{facts.name}: finds nothing in {NOISES} images of noise")


def _noise(facts: ModelFacts, seed: int) -> NDArray[np.float32]:
    """Return (slices or frames, rows, columns) of blobs over the range of intensities."""
    axes = VOLUME_AXES if facts.sees is Sees.VOLUME else VOLUME_AXES - 1
    roi_size = facts.window.roi_size if facts.window else facts.grid.size_px
    shape = roi_size or (NOISE_PX,) * axes
    coarse = np.random.default_rng(seed).random([max(2, n // BLOB_PX) for n in shape])
    fine = ndimage.zoom(
        coarse, np.divide(shape, coarse.shape), order=1, grid_mode=True, mode="mirror"
    )
    order = fine.ravel().argsort().argsort().reshape(shape)
    # In steps that nobody needs finer, so that the file stays small.
    steps = np.floor(order / order.size * 256) / 255
    low, high = 0.0, 1000.0
    if facts.intensity.scaling in {Scaling.WINDOW, Scaling.STANDARD}:
        low, high = facts.intensity.low, facts.intensity.high
    image: NDArray[np.float32] = (low + (high - low) * steps).astype(np.float32)
    return image.reshape((1,) * (VOLUME_AXES - axes) + tuple(shape))


def _numbers(found: Findings, image: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
    """Return all that a golden file may hold of these findings besides labels, by its name."""
    numbers = {}
    if found.classification is not None:
        numbers["probabilities"] = np.asarray(found.classification.probabilities, np.float32)
    if found.trajectories:
        places = [trajectory.points for trajectory in found.trajectories]
        numbers["points"] = np.asarray(places, np.float32)
    if found.restoration is not None:
        numbers["restored"] = found.restoration.array
    if found.detection is not None:
        numbers["boxes"] = _boxes(found.detection, image.shape[-2:])
    if found.embedding is not None:
        numbers["embedding"] = found.embedding.vector
    return numbers


def _boxes(found: Detection, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return (boxes, 6): class, probability, and the borders as parts of the rows and columns."""
    rows, columns = shape
    return np.array(
        [
            (box.of, box.probability, at.top / rows, at.left / columns, at.bottom / rows,
             at.right / columns)
            for box in found.boxes
            for at in (box.corners,)
        ],
        np.float32,
    ).reshape(-1, 6)  # fmt: skip


def _compare_numbers(
    facts: ModelFacts,
    name: str,
    found: NDArray[np.float32] | None,
    expected: NDArray[np.float32],
) -> None:
    allowed = facts.golden.max_difference
    is_whole = name != "probabilities" or _is_whole(expected, facts)
    if allowed is None or not expected.any() or not is_whole:
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} proves nothing")
    if found is None or found.shape != expected.shape:
        raise ModelUnusable(f"{facts.name}: golden test: no {name} of the golden shape")
    difference = float(np.abs(found - expected).max())
    # Asked this way round, so that a difference that is no number fails, too.
    if not difference <= allowed:
        raise ModelUnusable(
            f"{facts.name}: golden test: {name} differ by {difference:.4f}, "
            f"at most {allowed:g} is allowed"
        )


def _is_whole(probabilities: NDArray[np.float32], facts: ModelFacts) -> bool:
    is_of_all = probabilities.shape == (len(facts.classes),)
    return is_of_all and abs(float(probabilities.sum()) - 1) < SUM_WITHIN


def _compare_segments(
    facts: ModelFacts, found: Findings, image: NDArray[np.float32], expected: NDArray[np.float32]
) -> None:
    least = facts.golden.min_dice
    if expected.ndim == VOLUME_AXES - 1:
        expected = expected[None]
    if least is None or image.shape != expected.shape or not expected.any():
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} proves nothing")
    labels = None if found.segmentation is None else found.segmentation.labels
    if labels is None or labels.shape != expected.shape:
        raise ModelUnusable(f"{facts.name}: golden test: no labels of the golden shape")
    for segment in facts.segments:
        overlap = dice(labels == segment.number, expected == segment.number)
        if overlap < least:
            raise ModelUnusable(
                f"{facts.name}: golden test: {segment.label} has Dice {overlap:.4f}, "
                f"at least {least:g} is required"
            )


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient; two empty masks agree."""
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0


def _found(
    facts: ModelFacts,
    task: Task,
    arrays: Mapping[str, NDArray[np.float32]],
    start: NDArray[np.float32] | None = None,
) -> Findings:
    """Return what the task finds; `start` is where a route would say that it starts."""
    images = {name: _image(facts, array) for name, array in arrays.items()}
    options: dict[str, str] = {}
    if start is not None:
        options["start"] = ", ".join(f"{number:g}" for number in start.ravel())
    try:
        return task(images, options)
    except (TaskFailed, ConfigError) as failed:
        raise ModelUnusable(f"{facts.name}: golden test: {failed}") from failed


def _arrays(
    facts: ModelFacts,
) -> tuple[Mapping[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Return the golden inputs, (slices or frames, rows, columns), and the answers to them."""
    content = SealedFolder(facts.folder).read(facts.golden.file)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name].astype(np.float32) for name in file.files}
        images = {name: arrays.pop(name) for name in facts.inputs or (ONLY,)}
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as wrong:
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} is no golden file") from wrong
    images = {
        name: image[None] if image.ndim == VOLUME_AXES - 1 else image
        for name, image in images.items()
    }
    shapes = {image.shape for image in images.values()}
    if len(shapes) != 1 or len(shapes.pop()) != VOLUME_AXES or not arrays:
        raise ModelUnusable(f"{facts.name}: {facts.golden.file} proves nothing")
    return images, arrays


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
        unit=HOUNSFIELD if facts.modality == ("CT",) else NO_UNIT,
        sources=sources,
        spacing_mm=None,
        region=(0, array.shape[1], 0, array.shape[2]),
    )
