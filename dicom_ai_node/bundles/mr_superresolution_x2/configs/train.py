"""Recipe of mr_superresolution_x2: T1 slices of the head, blurred and halved.

python dicom_ai_node/bundles/mr_superresolution_x2/configs/train.py --data FOLDER [--score-only]
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.degrade import halved
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.pair import Pair, PairParts
from dicom_ai_node.training.picture import Picture, split
from dicom_ai_node.training.restore import RestoreRecipe, main
from dicom_ai_node.training.simple import bicubic

Plane = NDArray[np.float32]

BLUR_PX = (0.3, 0.9)
"""Standard deviation of the point spread beside the pixel itself, in pixels of the truth."""

SEED = 13


def _pair(picture: Picture) -> Pair:
    random = np.random.default_rng([SEED, *picture.name.encode()])
    given = halved(picture.image, random.uniform(*BLUR_PX)).round()
    ends = float(given.min()), float(np.percentile(given, 99.9))
    return Pair(given=given, wanted=picture.image, ends=ends, group=picture.group)


def read(data: Path) -> PairParts:
    """Read `train/brain-mr`, parted by groups of neighbouring slices."""
    folder = data / "train/brain-mr"
    with (folder / "labels.csv").open(newline="") as table:
        pictures = [
            Picture(
                name=row["file"],
                image=np.asarray(Image.open(folder / row["file"]).convert("L"), np.float32),
                label=0,
                group=row["group"],
            )
            for row in csv.DictReader(table)
        ]
    parts = split(pictures)
    return PairParts(
        training=[_pair(p) for p in parts.training],
        validation=[_pair(p) for p in parts.validation],
        test=[_pair(p) for p in parts.test],
    )


def first(pairs: Sequence[Pair]) -> Plane:
    """Return the first test image as the golden one."""
    return pairs[0].given


RECIPE = RestoreRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    beside={"bicubic": bicubic(2)[:1], "bicubic, sharpened": bicubic(2)[1:]},
    golden=first,
    plan=Plan(
        steps=3000,
        minutes=6.0,
        batch=8,
        patch=(64, 64),
        learning_rate=2e-3,
        judge_every=250,
        ema=0.99,
        warp=Warp(),
        touch=Touch(),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
