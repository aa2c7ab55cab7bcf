"""Recipe of hippocampus_mr: Medical Segmentation Decathlon task 4, split by patient.

python dicom_ai_node/bundles/hippocampus_mr/configs/train.py --data FOLDER [--score-only]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.case import Case, Parts, part_of_block
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.recipe import Recipe, main

BLOCK, EVERY = 1, 6
"""Each volume is another patient, so a block is one volume; one of six is test."""


def _toward_left_posterior_head(path: Path) -> tuple[NDArray[np.float32], tuple[float, ...]]:
    """Read a NIfTI file as (slices, rows, columns) of an axial DICOM stack, with its spacing."""
    image = nib.as_closest_canonical(nib.load(path))  # right to left, back to front, up
    array = np.asarray(image.dataobj, dtype=np.float32)
    columns, rows, slices = (float(z) for z in image.header.get_zooms()[:3])
    return array.transpose(2, 1, 0)[:, ::-1, ::-1].copy(), (slices, rows, columns)


def read(data: Path) -> Parts:
    """Read `train/hippocampus` and part it by volume."""
    folder = data / "train/hippocampus"
    parts: dict[str, list[Case]] = {"training": [], "validation": [], "test": []}
    for position, path in enumerate(sorted((folder / "images").glob("*.nii.gz"))):
        image, spacing_mm = _toward_left_posterior_head(path)
        labels, _ = _toward_left_posterior_head(folder / "labels" / path.name)
        case = Case(
            name=path.name.removesuffix(".nii.gz"),
            image=image,
            labels=labels.round().astype(np.uint8),
            spacing_mm=spacing_mm,
        )
        parts[part_of_block(position, BLOCK, EVERY)].append(case)
    return Parts(**parts)


def volume_error(case: Case, result: NDArray[np.uint8]) -> Mapping[str, float]:
    """Compare the volume of the whole hippocampus with what was drawn."""
    voxel_cm3 = float(np.prod(case.spacing_mm)) / 1000
    ours, theirs = int((result > 0).sum()), int((case.labels > 0).sum())
    both = int(((result > 0) & (case.labels > 0)).sum())
    return {
        "Dice of both together": 2 * both / (ours + theirs),
        "volume, absolute error (cm3)": abs(ours - theirs) * voxel_cm3,
        "volume, error (cm3)": (ours - theirs) * voxel_cm3,
    }


def smallest(cases: Sequence[Case]) -> Sequence[Case]:
    """Pick the case with the fewest voxels as the golden one, so that the folder stays small."""
    return [min(cases, key=lambda case: case.image.size)]


RECIPE = Recipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    also_score=volume_error,
    golden=smallest,
    plan=Plan(
        steps=8000,
        minutes=60.0,
        batch=2,
        patch=(40, 56, 40),
        learning_rate=2e-3,
        judge_every=500,
        warp=Warp(degrees=15, zoom=(0.85, 1.2), shift=0.05, mirror=(-1,), background=None),
        touch=Touch(gain=0.2, offset=0.2, noise=0.15, bias_field=0.2, blur=0.15, clip=False),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
