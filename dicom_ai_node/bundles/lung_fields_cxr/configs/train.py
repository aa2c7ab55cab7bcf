"""Recipe of lung_fields_cxr: 67 chest X-rays with lung masks, split by patient.

python dicom_ai_node/bundles/lung_fields_cxr/configs/train.py --data FOLDER [--score-only]
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.case import Case, Parts, part_of_block
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.recipe import Recipe, main

EVERY = 5
"""Of five patients one is for the test and one for validation."""

FREE = ("CC0", "CC BY 3.0", "CC BY 4.0")
"""Only images under these licences are read."""


def sides(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Label the right lung 1, which lies on the left of a chest X-ray, and the left lung 2."""
    parts, count = ndimage.label(mask)
    if count != 2:  # noqa: PLR2004 - a person has two lungs
        raise ValueError(f"a mask has {count} parts instead of two lungs")
    columns = [ndimage.center_of_mass(parts == part)[1] for part in (1, 2)]
    order = (1, 2) if columns[0] < columns[1] else (2, 1)
    return np.asarray(np.array([0, *order], dtype=np.uint8)[parts])


def _case(folder: Path, row: Mapping[str, Any]) -> Case:
    image = np.asarray(Image.open(folder / "image" / row["file"]).convert("L"), dtype=np.float32)
    mask = np.asarray(Image.open(folder / "mask" / row["file"])) > 0
    return Case(
        name=row["file"],
        image=image,
        labels=sides(mask),
        spacing_mm=(1.0, 1.0),
        group=row["patient"],
    )


def read(data: Path) -> Parts:
    """Read the images of `train/cxr` that have a mask, and part them by patient."""
    folder = data / "train/cxr"
    rows = [
        row
        for row in json.loads((folder / "labels.json").read_text())
        if row["has_lung_mask"] and row["license"] in FREE
    ]
    patients = sorted({row["patient"] for row in rows})
    parts: dict[str, list[Case]] = {"training": [], "validation": [], "test": []}
    for row in rows:
        part = part_of_block(patients.index(row["patient"]), 1, EVERY)
        parts[part].append(_case(folder, row))
    return Parts(**parts)


def both(case: Case, result: NDArray[np.uint8]) -> Mapping[str, float]:
    """Score both lungs together as well, for comparison with published numbers."""
    ours, theirs = result > 0, case.labels > 0
    together = int(ours.sum()) + int(theirs.sum())
    return {"Dice of both lungs": 2 * int((ours & theirs).sum()) / together}


def first(cases: Sequence[Case]) -> Sequence[Case]:
    """Take the first held-out image as the golden case."""
    return cases[:1]


RECIPE = Recipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    also_score=both,
    golden=first,
    plan=Plan(
        steps=2000,
        minutes=13.0,
        batch=8,
        patch=(224, 224),
        learning_rate=2e-3,
        judge_every=200,
        ema=0.99,
        warp=Warp(degrees=12, zoom=(0.6, 1.25), shift=0.08, stretch=1.4),
        touch=Touch(gain=0.25, offset=0.12, gamma=2.0, noise=0.04, bias_field=0.25, blur=0.3),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
