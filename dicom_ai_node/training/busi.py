"""The images of BUSI, which three models learn from: breast ultrasound, with outlines of lesions.

W. Al-Dhabyani et al., Data in Brief 28, 2020: 104863, CC BY 4.0.
"""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from dicom_ai_node.training.picture import Picture

CLASSES = ("normal", "benign", "malignant")


def read(data: Path) -> list[Picture]:
    """Read `train/busi`, each image with its class, its near-duplicates and the outline on it.

    Near-duplicates that carry different labels are left out: one of them is wrong.
    """
    folder = data / "train/busi"
    with (folder / "labels.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    classes: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        classes[row["dup_group"]].add(row["class"])
    return [
        Picture(
            name=row["file"],
            image=np.asarray(
                Image.open(folder / "image" / row["file"]).convert("L"), dtype=np.float32
            ),
            label=CLASSES.index(row["class"]),
            group=row["dup_group"],
            outline=np.asarray(Image.open(folder / "mask" / row["file"]).convert("L")) > 0,
        )
        for row in rows
        if len(classes[row["dup_group"]]) == 1
    ]
