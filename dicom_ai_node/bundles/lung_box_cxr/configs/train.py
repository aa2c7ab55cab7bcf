"""Recipe of lung_box_cxr: 90 chest X-rays with boxes around both lungs, split by patient.

python dicom_ai_node/bundles/lung_box_cxr/configs/train.py --data FOLDER [--score-only]
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.boxed import (
    BoxParts,
    BoxPicture,
    Method,
    around,
    mean_boxes,
)
from dicom_ai_node.training.case import Case, part_of_block
from dicom_ai_node.training.detect import BoxRecipe, main
from dicom_ai_node.training.detections import Found, Truth
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.predict import labels_of

EVERY = 5
"""Of five patients one is for the test and one for validation."""

FREE = ("CC0", "CC BY 3.0", "CC BY 4.0")
"""Only images under these licences are read."""

OUTLINES = Path(__file__).resolve().parents[2] / "lung_fields_cxr"
"""The model of outlines that this one begins from and is compared with."""

CLASSES = ("right_lung", "left_lung")

ROUNDNESS = 2.5
"""The shape that stands for a lung when images are turned: 2 is an ellipse, more is squarer."""


def shape_in(corners: Corners, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a rounded shape (rows, columns) that fills a box.

    Only its box is known of a lung. Were the box itself turned, what surrounds it would grow
    with the angle far more than what surrounds a lung.
    """
    down, along = np.ogrid[: shape[0], : shape[1]]
    height, width = corners.bottom - corners.top, corners.right - corners.left
    y = 2 * (down + 0.5 - corners.top) / height - 1
    x = 2 * (along + 0.5 - corners.left) / width - 1
    return np.asarray(np.abs(y) ** ROUNDNESS + np.abs(x) ** ROUNDNESS <= 1)


def _picture(folder: Path, row: Mapping[str, Any]) -> BoxPicture:
    image = np.asarray(Image.open(folder / "image" / row["file"]).convert("L"), dtype=np.float32)
    rows, columns = image.shape
    objects = np.zeros(image.shape, np.uint8)
    truths = []
    for box in row["lung_boxes_xywh"]:
        left, top, width, height = box["bbox"]
        corners = Corners(top, left, top + height, left + width).clipped(rows, columns)
        truths.append(Truth(CLASSES.index(box["label"]), corners))
        objects[shape_in(corners, image.shape)] = 1 + truths[-1].of
    return BoxPicture(
        name=row["file"],
        image=image,
        objects=objects,
        truths=tuple(truths),
        group=row["patient"],
    )


def read(data: Path) -> BoxParts:
    """Read the images of `train/cxr` that are free, and part them by patient.

    Patients with lung masks go where the recipe of lung_fields_cxr puts them, so that its
    outlines can be compared on patients that neither model was trained on.
    """
    folder = data / "train/cxr"
    rows = [
        row for row in json.loads((folder / "labels.json").read_text()) if row["license"] in FREE
    ]
    outlined = sorted({row["patient"] for row in rows if row["has_lung_mask"]})
    others = sorted({row["patient"] for row in rows} - set(outlined))
    parts: dict[str, list[BoxPicture]] = {"training": [], "validation": [], "test": []}
    for row in rows:
        patients = outlined if row["patient"] in outlined else others
        part = part_of_block(patients.index(row["patient"]), 1, EVERY)
        parts[part].append(_picture(folder, row))
    return BoxParts(**parts)


def _around_outlines(picture: BoxPicture) -> Sequence[Found]:
    """Return the boxes around what lung_fields_cxr outlines."""
    case = Case(
        name=picture.name, image=picture.image, labels=picture.objects, spacing_mm=(1.0, 1.0)
    )
    labels = labels_of(
        model_folder.shipped_network(OUTLINES), case, model_folder.facts_of(OUTLINES)
    )
    return around(labels, len(CLASSES))


def beside(parts: BoxParts) -> Mapping[str, Method]:
    """Return two simpler methods: the mean box of the training part, boxes around outlines."""
    return {
        "mean box of the training part": mean_boxes(parts.training),
        "boxes around the outlines of lung_fields_cxr": _around_outlines,
    }


RECIPE = BoxRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    beside=beside,
    begin_from=OUTLINES,
    plan=Plan(
        steps=800,
        minutes=5.0,
        batch=8,
        patch=(128, 128),
        learning_rate=1.5e-3,
        judge_every=100,
        ema=0.99,
        warp=Warp(degrees=4, zoom=(0.7, 1.15), shift=0.06, stretch=1.3),
        touch=Touch(gain=0.25, offset=0.12, gamma=2.0, noise=0.04, bias_field=0.25, blur=0.3),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
