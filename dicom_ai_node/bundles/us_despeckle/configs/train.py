"""Recipe of us_despeckle: ultrasound images shrunk until their own speckle is gone, speckle made.

python dicom_ai_node/bundles/us_despeckle/configs/train.py --data FOLDER [--score-only]
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from dicom_ai_node.domain.restoring import shrunk
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.case import part_of_block
from dicom_ai_node.training.degrade import with_speckle
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.pair import Pair, PairParts
from dicom_ai_node.training.restore import RestoreRecipe, main
from dicom_ai_node.training.simple import gaussian, median, non_local_means

Plane = NDArray[np.float32]

SHRINK = 2
"""The truth has this many times fewer rows and columns than the image it comes from."""

BLOCK, EVERY = 20, 7
"""Of HC18, whose frames of one fetus are neighbours in its numbering."""

MOST_JUDGED = 60
"""Images in validation, and in test."""

SEED = 11


def _echo(path: Path) -> Plane:
    """Return the truth: the image without its own speckle, as far as means take it away."""
    image = np.asarray(Image.open(path).convert("L"), np.float32)
    return np.asarray(ndimage.median_filter(shrunk(image, SHRINK), 3), np.float32)


def _images(data: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (path, part, group) of every image."""
    with (data / "train/hc18/meta.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            number = int(re.findall(r"\d+", row["file"])[0])
            part = part_of_block(number, BLOCK, EVERY)
            yield f"train/hc18/image/{row['file']}", part, f"hc18 {number // BLOCK}"
    with (data / "train/busi/labels.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            group = int(row["dup_group"])
            yield f"train/busi/image/{row['file']}", part_of_block(group, 1, EVERY), f"busi {group}"


def read(data: Path) -> PairParts:
    """Read `train/hc18` and `train/busi`, parted by neighbours and near-duplicates."""
    parts: dict[str, list[Pair]] = {"training": [], "validation": [], "test": []}
    for path, part, group in _images(data):
        random = np.random.default_rng([SEED, *path.encode()])
        echo = _echo(data / path)
        grain_px = (random.uniform(0.5, 1.2), random.uniform(0.7, 2.0))
        looks = int(random.integers(1, 6))
        given = with_speckle(echo, looks, grain_px, random)
        parts[part].append(Pair(given=given, wanted=echo, ends=(0.0, 255.0), group=group))
    for part in ("validation", "test"):
        every = max(1, len(parts[part]) // MOST_JUDGED)
        parts[part] = parts[part][::every]
    return PairParts(**parts)


def first(pairs: Sequence[Pair]) -> Plane:
    """Return the first test image as the golden one."""
    return pairs[0].given.round()


RECIPE = RestoreRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    beside={
        "non-local means": non_local_means((1.0, 1.5, 2.2, 3.2, 4.5)),
        "median": median(),
        "Gaussian": gaussian(),
    },
    golden=first,
    levels=(0.2, 1.1),
    plan=Plan(
        steps=2200,
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
