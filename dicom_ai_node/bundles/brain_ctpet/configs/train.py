"""Recipe of brain_ctpet: a mean FDG PET in the head of one CT, made disease and made people.

python dicom_ai_node/bundles/brain_ctpet/configs/train.py --data FOLDER [--score-only]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from pydicom import dcmread
from scipy import ndimage

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.brain import AIR_HU, CLASSES, Brain, laid_in, made_brain, with_scalp
from dicom_ai_node.training.case import Case
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.fuse import FusedCase, FusedParts, FuseRecipe, main
from dicom_ai_node.training.made import blurred
from dicom_ai_node.training.predict import labels_of

TISSUES = Path(__file__).resolve().parents[2] / "ct_tissue"
"""The model that says what lies inside the skull."""

INSIDE = 3
"""Its label of intracranial contents."""

MODEL_MM = (6.0, 6.0, 6.0)
SHAPE = (26, 36, 36)
"""The grid on which cases are made, about the middle of the skull's box."""

COUNTS: Mapping[str, int] = {"training": 2800, "validation": 320, "test": 600}
SEEDS: Mapping[str, int] = {"training": 1, "validation": 2, "test": 47}

OLD_DEFECT = ((0.35, 0.72), (0.62, 0.92), (0.55, 0.95))
"""Where in the box of the skull the patient has an old infarct, which is taken away."""


def _canonical(path: Path) -> NDArray[np.float32]:
    image = nib.as_closest_canonical(nib.load(path))
    values = np.asarray(image.dataobj, np.float32).transpose(2, 1, 0)
    return np.ascontiguousarray(values[:, ::-1, ::-1])


def _stack(data: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_], tuple[float, ...]]:
    """Return the CT on slices of the same distance, what lies inside the skull, and the spacing."""
    files = [dcmread(path) for path in (data / "dicom/ct-head-ge-28").glob("*.dcm")]
    files.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    spacing = tuple(float(s) for s in files[0].PixelSpacing)
    network, facts = model_folder.shipped_network(TISSUES), model_folder.facts_of(TISSUES)
    planes, marks = [], []
    for one in files:
        stored = one.pixel_array.astype(np.float32)
        hu = np.clip(stored * float(one.RescaleSlope) + float(one.RescaleIntercept), AIR_HU, 3000)
        case = Case(name="", image=hu, labels=np.zeros(hu.shape, np.uint8), spacing_mm=spacing)
        planes.append(hu)
        marks.append(ndimage.binary_fill_holes(labels_of(network, case, facts) == INSIDE))
    heights = np.array([float(one.ImagePositionPatient[2]) for one in files])
    even = np.arange(heights[0], heights[-1], MODEL_MM[0] / 2)
    at = np.interp(even, heights, np.arange(len(files)))

    def on_even(stack: NDArray[np.float32]) -> NDArray[np.float32]:
        low = np.floor(at).astype(int)
        part = (at - low).astype(np.float32)[:, None, None]
        high = np.minimum(low + 1, len(stack) - 1)
        return np.asarray(stack[low] * (1 - part) + stack[high] * part)

    inside = on_even(np.stack(marks).astype(np.float32)) > 0.5  # noqa: PLR2004
    return on_even(np.stack(planes)), inside, (MODEL_MM[0] / 2, *spacing)


def head(data: Path) -> Brain:
    """Return the head on the model's grid, its old defect filled in from the other side."""
    hu, inside, spacing = _stack(data)

    def coarse(array: NDArray[np.generic]) -> NDArray[np.float32]:
        slices, rows, columns = (
            round(n * s / m) for n, s, m in zip(array.shape, spacing, MODEL_MM, strict=True)
        )
        tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]
        few = torch.nn.functional.adaptive_avg_pool3d(tensor, (slices, rows, columns))
        return np.asarray(few[0, 0].numpy())

    small, enclosed = coarse(hu), coarse(inside) > 0.5  # noqa: PLR2004
    template = _canonical(data / "train/brain-pet-template/CN_PET_TEMPLATE.nii.gz")
    mask = _canonical(data / "train/brain-pet-template/CN_PET_TEMPLATE_MASK.nii.gz") > 0
    whole = Brain(uptake=laid_in(template, mask, enclosed), hu=small, inside=enclosed)
    return with_scalp(_cut(_mended(whole)), MODEL_MM)


def _mended(brain: Brain) -> Brain:
    """Fill the old defect with what lies on the other side of the middle."""
    places = np.argwhere(brain.inside)
    low, high = places.min(0), places.max(0)
    box = np.zeros(brain.hu.shape, np.float32)
    box[tuple(
        slice(int(a + f * (b - a)), int(a + t * (b - a)) + 1)
        for a, b, (f, t) in zip(low, high, OLD_DEFECT, strict=True)
    )] = 1  # fmt: skip
    soft = blurred(box, 12, MODEL_MM)
    columns = (low[2] + high[2]) - np.arange(brain.hu.shape[2])
    other = brain.hu[:, :, np.clip(columns, 0, brain.hu.shape[2] - 1)]
    takes = soft * brain.inside * ((other > 0) & (other < 60))  # noqa: PLR2004 (HU: brain)
    hu = brain.hu + takes * (other - brain.hu)
    return Brain(uptake=brain.uptake, hu=hu.astype(np.float32), inside=brain.inside)


def _cut(brain: Brain) -> Brain:
    """Return `SHAPE` about the middle of the skull, filled up with air."""
    places = np.argwhere(brain.inside)
    firsts = (places.min(0) + places.max(0)) // 2 - np.array(SHAPE) // 2
    there = tuple(slice(f + n, f + 2 * n) for f, n in zip(firsts, SHAPE, strict=True))

    def cut(array: NDArray[np.generic], outside: float) -> NDArray[np.generic]:
        wide = np.pad(array, [(n, n) for n in SHAPE], constant_values=outside)
        return wide[there]

    return Brain(
        uptake=cut(brain.uptake, 0).astype(np.float32),
        hu=cut(brain.hu, AIR_HU).astype(np.float32),
        inside=cut(brain.inside, 0).astype(np.bool_),
    )


def made(where: Brain, part: str) -> Sequence[FusedCase]:
    """Return the made cases of a part, the classes in turn."""
    random, cases = np.random.default_rng(SEEDS[part]), []
    for number in range(COUNTS[part]):
        one = made_brain(where, number % CLASSES, MODEL_MM, random)
        images = {"pet": one.suv, "ct": one.hu}
        group = f"{part} {number}"
        cases.append(FusedCase(images=images, told=one.told, label=one.label, group=group))
    return cases


def read(data: Path) -> FusedParts:
    """Read the template and the CT; all parts are made in the same head."""
    where = head(data)
    return FusedParts(
        training=made(where, "training"),
        validation=made(where, "validation"),
        test=made(where, "test"),
    )


RECIPE = FuseRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    plan=Plan(
        steps=6000,
        minutes=40.0,
        batch=16,
        patch=SHAPE,
        learning_rate=2e-3,
        judge_every=150,
        ema=0.99,
        touch=Touch(),
        warp=Warp(mirror=(-1,)),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
