"""Recipe of nuclei: stage 1 of the 2018 Data Science Bowl, split by groups of neighbours.

python dicom_ai_node/bundles/nuclei/configs/train.py --data FOLDER [--score-only]
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.instances import Field, FieldParts, InstanceRecipe, main
from dicom_ai_node.training.picture import Picture, split

KINDS = {"he": "stained tissue", "brightfield": "smears", "fluorescence": "fluorescence"}
"""What the data's packer guessed from colour, in words for the table."""


def _field(folder: Path, item: Mapping[str, Any]) -> Field:
    # Luma by Pillow's weights (ITU-R 601-2), the same as the node's.
    image = np.asarray(Image.open(folder / "image" / item["file"]).convert("L"), np.float32)
    objects = np.asarray(Image.open(folder / "label" / item["file"]), np.int32)
    return Field(
        name=item["file"],
        image=image,
        objects=objects,
        group=item["group"],
        kind=KINDS[item["type"]],
    )


def read(data: Path) -> FieldParts:
    """Read `train/nuclei` and part it so that neighbours and near-duplicates stay together."""
    folder = data / "train/nuclei"
    items = json.loads((folder / "labels.json").read_text())["items"]
    fields = {item["file"]: _field(folder, item) for item in items}
    order = list(KINDS.values())
    dealt = split(
        [
            Picture(name=f.name, image=f.image, label=order.index(f.kind), group=f.group)
            for f in fields.values()
        ]
    )
    return FieldParts(
        training=[fields[picture.name] for picture in dealt.training],
        validation=[fields[picture.name] for picture in dealt.validation],
        test=[fields[picture.name] for picture in dealt.test],
    )


RECIPE = InstanceRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    # Pathology is what the node is for, and it is the smallest share of the data.
    often={"stained tissue": 4, "smears": 3},
    golden="stained tissue",
    plan=Plan(
        steps=2000,
        minutes=8.0,
        batch=8,
        patch=(128, 128),
        learning_rate=3e-3,
        judge_every=400,
        ema=0.99,
        oversample=0.7,
        warp=Warp(degrees=180, zoom=(0.7, 1.5), shift=0.05, stretch=1.15, mirror=(-1,)),
        touch=Touch(gain=0.2, offset=0.08, gamma=1.6, noise=0.04, blur=0.15),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
