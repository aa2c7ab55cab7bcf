"""Recipe of brain_tumour_mr: 900 slices of the figshare set, with neighbours kept together.

python dicom_ai_node/bundles/brain_tumour_mr/configs/train.py --data FOLDER [--score-only]
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import cdist

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.classify import ClassRecipe, main
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.picture import Picture, PictureParts, split
from dicom_ai_node.training.ranking import Measure

CLASSES = ("glioma", "meningioma", "pituitary")
THUMBNAIL_PX, NEIGHBOURS = 20, 5


def read(data: Path) -> PictureParts:
    """Read `train/brain-mr` and part it by its groups of neighbouring numbers."""
    folder = data / "train/brain-mr"
    with (folder / "labels.csv").open(newline="") as table:
        pictures = [
            Picture(
                name=row["file"],
                image=np.asarray(Image.open(folder / row["file"]).convert("L"), dtype=np.float32),
                label=CLASSES.index(row["class"]),
                group=row["group"],
            )
            for row in csv.DictReader(table)
        ]
    return split(pictures)


def _thumbnails(pictures: Sequence[Picture]) -> NDArray[np.float64]:
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    small = [Image.fromarray(p.image).resize(size, Image.Resampling.BOX) for p in pictures]
    return np.stack([np.asarray(image, dtype=np.float64).ravel() for image in small])


def nearest_neighbours(parts: PictureParts) -> Mapping[str, Measure]:
    """Sort the test part by what the nearest training pictures are: what must be beaten."""
    known = np.array([picture.label for picture in parts.training])
    distances = cdist(_thumbnails(parts.test), _thumbnails(parts.training))
    near = known[distances.argsort(axis=1, kind="stable")[:, :NEIGHBOURS]]
    votes = np.array([np.bincount(row, minlength=len(CLASSES)) for row in near])
    name = f"accuracy of {NEIGHBOURS} nearest neighbours at {THUMBNAIL_PX} px, for comparison"
    return {name: lambda _found, labels: float((votes.argmax(1) == labels).mean())}


RECIPE = ClassRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    beside=nearest_neighbours,
    plan=Plan(
        steps=4000,
        minutes=10.0,
        batch=24,
        patch=(128, 128),
        learning_rate=1e-3,
        judge_every=40,
        ema=0.98,
        warp=Warp(degrees=20, zoom=(0.8, 1.25), shift=0.08, stretch=1.15, mirror=(-1,)),
        touch=Touch(gain=0.2, offset=0.08, gamma=1.5, noise=0.03, bias_field=0.25, blur=0.2),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
