"""Recipe of ct_tissue: bone, lung and the inside of the skull, on very little data.

python dicom_ai_node/bundles/ct_tissue/configs/train.py --data FOLDER [--score-only]
"""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from scipy import ndimage

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.case import Case, Parts, part_of_block
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.recipe import Recipe, main

BONE, LUNG, BRAIN = 1, 2, 3

TOTAL_LUNG = range(10, 15)
"""Labels of TotalSegmentator v2 that are lobes of the lung."""

TOTAL_BONE = (*range(25, 51), *range(69, 79), 91, *range(92, 117))
"""Sacrum and vertebrae, limbs, shoulder and pelvis, skull, ribs and sternum; no cartilage."""

TRUNK_BLOCK, TRUNK_EVERY = 8, 7
"""Eight neighbouring slices stay together; one block of seven is test, one validation."""

HEAD_TEST, HEAD_VALIDATION = (7, 8, 17, 18, 19), (11, 12, 22, 23)
"""Positions in the head stack, counted from the neck; the others are for training."""

LOWEST_INSIDE = 4
"""Position of the foramen magnum in the head stack; under it nothing is inside the skull."""

BONE_HU, AIR_HU, SOFT_HU = 250.0, -400.0, (-5.0, 110.0)
"""Bone is above the first, the air of a lung below the second, brain and its water between."""


def _disk(radius_mm: float, spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    reach = [int(np.ceil(radius_mm / s)) for s in spacing_mm]
    rows, columns = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    distance = (rows * spacing_mm[0]) ** 2 + (columns * spacing_mm[1]) ** 2
    return np.asarray(distance <= radius_mm**2)


def _at_least(
    mask: NDArray[np.bool_], cm2: float, spacing_mm: tuple[float, ...]
) -> NDArray[np.bool_]:
    """Keep the connected parts of at least this area."""
    parts, _ = ndimage.label(mask)
    enough = np.bincount(parts.ravel()) * float(np.prod(spacing_mm)) / 100 >= cm2
    enough[0] = False
    return np.asarray(enough[parts])


def body_of(hu: NDArray[np.float32], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    """Return the patient: the largest part that is no air, thin table and head holder cut off."""
    thick = ndimage.binary_opening(hu > AIR_HU, _disk(4.0, spacing_mm))
    parts, _ = ndimage.label(thick)
    largest = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
    filled = ndimage.binary_fill_holes(largest)
    return np.asarray(ndimage.binary_dilation(filled, _disk(1.5, spacing_mm)))


def bone_of(hu: NDArray[np.float32], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    """Return bone by rule: above `BONE_HU` in the patient, small gaps closed."""
    bright = (hu > BONE_HU) & body_of(hu, spacing_mm)
    closed = ndimage.binary_closing(bright, _disk(1.5, spacing_mm)) & (hu > 0)
    return _at_least(closed, 0.1, spacing_mm)


def lungs_of(hu: NDArray[np.float32], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    """Return lung by rule: air inside the patient, at least 15 cm2, with the vessels in it."""
    air = _at_least((hu < AIR_HU) & body_of(hu, spacing_mm), 15.0, spacing_mm)
    return np.asarray(ndimage.binary_closing(air, _disk(4.0, spacing_mm)))


def skull_and_inside(
    hu: NDArray[np.float32], above: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (bone, inside) of one head slice by rule.

    Inside is soft tissue, cut off at openings narrower than 7 mm, whose connected parts lie
    under (or around) what was inside in the slice above; fat keeps the orbits out.
    """
    bone = bone_of(hu, spacing_mm)
    soft = (hu > SOFT_HU[0]) & (hu < SOFT_HU[1]) & body_of(hu, spacing_mm)
    soft = ndimage.binary_fill_holes(ndimage.median_filter(soft, 5) & ~bone)
    soft = ndimage.binary_opening(soft & ~bone, _disk(3.5, spacing_mm))
    parts, _ = ndimage.label(_at_least(soft, 2.5, spacing_mm))
    inside = np.zeros_like(bone)
    for number in range(1, int(parts.max()) + 1):
        part = parts == number
        if (part & above).sum() >= 0.7 * min(part.sum(), above.sum()):
            inside |= part
    inside = ndimage.binary_closing(inside, _disk(3.0, spacing_mm)) & (hu < BONE_HU)
    return bone & ~inside, inside


def _stack(bone: NDArray[np.bool_], lung: NDArray[np.bool_]) -> NDArray[np.uint8]:
    labels = np.zeros(bone.shape, dtype=np.uint8)
    labels[lung] = LUNG
    labels[bone] = BONE
    return labels


def _dicom(path: Path) -> tuple[NDArray[np.float32], tuple[float, ...]]:
    """Read one CT slice in HU."""
    dataset = dcmread(path)
    stored = dataset.pixel_array.astype(np.float32)
    hu = stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    return np.maximum(hu, -1024.0), tuple(float(s) for s in dataset.PixelSpacing)


def trunk(data: Path) -> dict[str, list[Case]]:
    """Read the trunk CT with the labels of TotalSegmentator, slice by slice from the pelvis up."""
    folder = data / "train/ct-organs"
    image = nib.as_closest_canonical(nib.load(folder / "example_ct.nii.gz"))
    marks = nib.as_closest_canonical(nib.load(folder / "example_seg_fast_force_split.nii.gz"))
    hu = np.asarray(image.dataobj, dtype=np.float32).transpose(2, 1, 0)[:, ::-1, ::-1]
    total = np.asarray(marks.dataobj).transpose(2, 1, 0)[:, ::-1, ::-1]
    labels = _stack(np.isin(total, TOTAL_BONE), np.isin(total, TOTAL_LUNG))
    columns, rows, _ = (float(z) for z in image.header.get_zooms()[:3])
    parts: dict[str, list[Case]] = {"training": [], "validation": [], "test": []}
    for position in range(len(hu)):
        case = Case(
            name=f"trunk {position}",
            image=np.ascontiguousarray(hu[position]),
            labels=np.ascontiguousarray(labels[position]),
            spacing_mm=(rows, columns),
            where="in the trunk",
            group="trunk",
        )
        parts[part_of_block(position, TRUNK_BLOCK, TRUNK_EVERY)].append(case)
    return parts


def head(data: Path) -> dict[str, list[Case]]:
    """Read the head CT and label it by rule, from the vertex down."""
    parts: dict[str, list[Case]] = {"training": [], "validation": [], "test": []}
    paths = sorted((data / "dicom/ct-head-ge-28").glob("*.dcm"))
    above: NDArray[np.bool_] | None = None
    for position in range(len(paths) - 1, -1, -1):
        hu, spacing_mm = _dicom(paths[position])
        bone = bone_of(hu, spacing_mm)
        inside = np.zeros_like(bone)
        if position >= LOWEST_INSIDE:
            roof = ndimage.binary_fill_holes(bone) & ~bone if above is None else above
            bone, inside = skull_and_inside(hu, roof, spacing_mm)
        if inside.any():
            above = ndimage.binary_dilation(inside, _disk(6.0, spacing_mm))
        labels = _stack(bone, np.zeros_like(bone))
        labels[inside] = BRAIN
        part = (
            "test"
            if position in HEAD_TEST
            else "validation"
            if position in HEAD_VALIDATION
            else "training"
        )
        parts[part].append(
            Case(
                name=f"head {position}",
                image=hu,
                labels=labels,
                spacing_mm=spacing_mm,
                where="in the head",
                group="head",
            )
        )
    return parts


def upper_abdomen(data: Path) -> list[Case]:
    """Read three slices of another trunk with the bases of the lungs, labelled by rule."""
    cases = []
    for path in sorted((data / "dicom/dcmqi/data/segmentations/ct-3slice").glob("*.dcm")):
        hu, spacing_mm = _dicom(path)
        labels = _stack(bone_of(hu, spacing_mm), lungs_of(hu, spacing_mm))
        cases.append(Case(name=path.stem, image=hu, labels=labels, spacing_mm=spacing_mm))
    return cases


def chest(data: Path) -> list[Case]:
    """Read a slice of a patient whom the model has never seen; its lungs are labelled by rule.

    Its bones are not scored: the heart is full of contrast agent, as bright as bone.
    """
    hu, spacing_mm = _dicom(data / "dicom/ct-chest-lungmask/0.dcm")
    lung = lungs_of(hu, spacing_mm)
    return [
        Case(
            name="chest",
            image=hu,
            labels=_stack(np.zeros_like(lung), lung),
            spacing_mm=spacing_mm,
            scored=(LUNG,),
            where="in another patient's chest",
        )
    ]


def read(data: Path) -> Parts:
    """Read four patients: two are parted by slices, one is for training, one for the test."""
    below, top = trunk(data), head(data)
    return Parts(
        training=[*below["training"], *top["training"] * 2, *upper_abdomen(data) * 3],
        validation=[*below["validation"], *top["validation"]],
        test=[*below["test"], *top["test"], *chest(data)],
    )


def one_of_each(cases: Sequence[Case]) -> Sequence[Case]:
    """Pick the held-out slices with the most brain, bone and lung as the golden ones."""

    def most(number: int) -> Case:
        return max(cases, key=lambda case: int((case.labels == number).sum()))

    return [most(BRAIN), most(BONE), most(LUNG)]


RECIPE = Recipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    golden=one_of_each,
    plan=Plan(
        steps=3000,
        minutes=14.0,
        batch=8,
        patch=(192, 192),
        learning_rate=2e-3,
        judge_every=250,
        oversample=0.3,
        warp=Warp(degrees=20, zoom=(0.7, 1.35), shift=0.1, mirror=(-1,)),
        touch=Touch(gain=0.05, offset=0.03, noise=0.03, blur=0.4),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
