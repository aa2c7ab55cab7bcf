"""Recipe of breast_lesion_box_us: boxes around the outlines of BUSI, split by near-duplicates.

python dicom_ai_node/bundles/breast_lesion_box_us/configs/train.py --data FOLDER [--score-only]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from dicom_ai_node.training import busi
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.boxed import (
    BoxParts,
    BoxPicture,
    Method,
    around,
    mean_boxes,
)
from dicom_ai_node.training.case import Case
from dicom_ai_node.training.detect import BoxRecipe, main
from dicom_ai_node.training.detections import Found, Truth
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.picture import Picture, split
from dicom_ai_node.training.predict import labels_of

OUTLINES = Path(__file__).resolve().parents[2] / "breast_lesion_us"
"""The model of outlines that this one begins from and is compared with."""

SMALLEST_PX = 30
"""Parts of an outline of fewer pixels, of 256 px wide images, are slips of the pen."""


def _picture(picture: Picture) -> BoxPicture:
    mask = np.zeros(picture.image.shape, np.bool_) if picture.outline is None else picture.outline
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    objects = np.zeros(mask.shape, np.uint8)
    for part in range(1, count + 1):
        if (parts == part).sum() >= SMALLEST_PX:
            objects[parts == part] = 1 + int(objects.max())
    return BoxPicture(
        name=picture.name,
        image=picture.image,
        objects=objects,
        truths=tuple(
            Truth(0, box.corners) for box in around(np.minimum(objects, 255), int(objects.max()))
        ),
        group=picture.group,
    )


def read(data: Path) -> BoxParts:
    """Read `train/busi`, and part it by near-duplicates and class.

    Normal images have nothing to find. The parts are those of the recipe of breast_lesion_us, so
    that its outlines can be compared on images that neither model was trained on.
    """
    parts = split(busi.read(data))
    return BoxParts(
        training=[_picture(picture) for picture in parts.training],
        validation=[_picture(picture) for picture in parts.validation],
        test=[_picture(picture) for picture in parts.test],
    )


def _around_outlines(picture: BoxPicture) -> Sequence[Found]:
    """Return the box around what breast_lesion_us outlines."""
    case = Case(
        name=picture.name, image=picture.image, labels=picture.objects, spacing_mm=(1.0, 1.0)
    )
    return around(
        labels_of(model_folder.shipped_network(OUTLINES), case, model_folder.facts_of(OUTLINES)), 1
    )


def beside(parts: BoxParts) -> Mapping[str, Method]:
    """Return two simpler methods: the mean box of the training part, boxes around outlines."""
    return {
        "mean box of the training part": mean_boxes(parts.training),
        "boxes around the outlines of breast_lesion_us": _around_outlines,
    }


RECIPE = BoxRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    beside=beside,
    begin_from=OUTLINES,
    plan=Plan(
        steps=1500,
        minutes=8.0,
        batch=8,
        patch=(112, 128),
        learning_rate=1.5e-3,
        judge_every=100,
        ema=0.99,
        oversample=0.0,
        warp=Warp(degrees=8, zoom=(0.75, 1.3), shift=0.08, stretch=1.25, mirror=(-1,)),
        touch=Touch(gain=0.25, offset=0.1, gamma=1.5, noise=0.03, speckle=0.2, blur=0.2),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
