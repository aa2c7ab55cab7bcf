"""Recipe of fetal_head_us: HC18, split by blocks of neighbours in its numbering.

python dicom_ai_node/bundles/fetal_head_us/configs/train.py --data FOLDER [--score-only]
"""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import regionprops

from dicom_ai_node.infer.ellipse import ellipse_around
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.case import Case, Parts, part_of_block
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.recipe import Recipe, main
from dicom_ai_node.training.scores import circumference_mm

BLOCK, EVERY = 20, 7
"""Twenty neighbouring numbers stay together; one block of seven is test, one validation."""

SMALLEST_SHRINK = 0.97
"""An outline can be at most this much too wide; beyond it, the head is cut off by the image."""


def _number(file: str) -> int:
    found = re.match(r"(\d+)_", file)
    if found is None:
        raise ValueError(f"{file} does not begin with a number")
    return int(found.group(1))


def true_outline(labels: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Draw the ellipse of `labels` with its axes times `factor`, pixels whose centre is inside.

    The masks at 256 px hold every pixel that the annotated line touches, so that they are about
    half a pixel too wide on all sides: 1.2 mm in circumference.
    """
    region = regionprops(labels)[0]
    rows, columns = np.indices(labels.shape)
    y, x = rows - region.centroid[0], columns - region.centroid[1]
    along = y * np.cos(region.orientation) + x * np.sin(region.orientation)
    across = -y * np.sin(region.orientation) + x * np.cos(region.orientation)
    long, short = region.axis_major_length * factor / 2, region.axis_minor_length * factor / 2
    return np.asarray((along / long) ** 2 + (across / short) ** 2 <= 1.0, dtype=np.uint8)


def _case(data: Path, row: Mapping[str, str]) -> Case:
    image = np.asarray(Image.open(data / "image" / row["file"]).convert("L"), dtype=np.float32)
    labels = np.asarray(Image.open(data / "mask" / row["file"]), dtype=np.uint8)
    spacing_mm = tuple(
        float(row["orig_pixel_mm"]) * float(row[side]) / length
        for side, length in zip(("orig_h", "orig_w"), image.shape, strict=True)
    )
    reference = {"head_circumference_mm": float(row["hc_mm"])}
    return Case(
        name=row["file"],
        image=image,
        labels=labels,
        spacing_mm=spacing_mm,
        reference=reference,
        group=str(_number(row["file"]) // BLOCK),
    )


def for_training(case: Case) -> Case:
    """Return the case with the outline that has the annotated circumference."""
    spacing_mm = (case.spacing_mm[0], case.spacing_mm[1])
    factor = case.reference["head_circumference_mm"] / circumference_mm(case.labels > 0, spacing_mm)
    if not SMALLEST_SHRINK <= factor <= 1.0:
        return case
    return Case(
        name=case.name,
        image=case.image,
        labels=true_outline(case.labels, factor),
        spacing_mm=case.spacing_mm,
        reference=case.reference,
    )


def read(data: Path) -> Parts:
    """Read `train/hc18` and part it by number, so that frames of one fetus stay together."""
    folder = data / "train/hc18"
    parts: dict[str, list[Case]] = {"training": [], "validation": [], "test": []}
    with (folder / "meta.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            part = part_of_block(_number(row["file"]), BLOCK, EVERY)
            case = _case(folder, row)
            parts[part].append(for_training(case) if part == "training" else case)
    return Parts(**parts)


def head_circumference(case: Case, result: NDArray[np.uint8]) -> Mapping[str, float]:
    """Compare what the node would report with what HC18's sonographer annotated."""
    outline = ellipse_around(result == 1, (case.spacing_mm[0], case.spacing_mm[1]))
    ours = 0.0 if outline is None else outline.perimeter
    error = ours - case.reference["head_circumference_mm"]
    return {
        "head circumference, absolute error (mm)": abs(error),
        "head circumference, error (mm)": error,
    }


def typical(cases: Sequence[Case]) -> Sequence[Case]:
    """Pick the head of median circumference as the golden case."""
    ordered = sorted(cases, key=lambda case: case.reference["head_circumference_mm"])
    return [ordered[len(ordered) // 2]]


RECIPE = Recipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    also_score=head_circumference,
    golden=typical,
    plan=Plan(
        steps=8000,
        minutes=32.0,
        batch=8,
        patch=(160, 224),
        learning_rate=2e-3,
        judge_every=400,
        warp=Warp(degrees=25, zoom=(0.65, 1.3), shift=0.1, mirror=(-1,)),
        touch=Touch(gain=0.25, offset=0.1, gamma=1.6, noise=0.04, speckle=0.3, blur=0.2),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
