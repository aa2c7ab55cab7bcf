"""Recipe of breast_us: benign, malignant or nothing in breast ultrasound, cross-validated on BUSI.

python dicom_ai_node/bundles/breast_us/configs/train.py --data FOLDER [--score-only]
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import cdist

from dicom_ai_node.training import busi
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.folds import FoldRecipe, Pictures, main
from dicom_ai_node.training.picture import Picture

THUMBNAIL_PX, NEIGHBOURS = 20, 5


def _thumbnails(pictures: Sequence[Picture]) -> NDArray[np.float64]:
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    small = [Image.fromarray(p.image).resize(size, Image.Resampling.BOX) for p in pictures]
    return np.stack([np.asarray(image, dtype=np.float64).ravel() for image in small])


def neighbours(known: Sequence[Picture], asked: Sequence[Picture]) -> NDArray[np.int64]:
    """Return for each picture the commonest class among the nearest known ones."""
    labels = np.array([picture.label for picture in known])
    distances = cdist(_thumbnails(asked), _thumbnails(known))
    near = labels[distances.argsort(axis=1, kind="stable")[:, :NEIGHBOURS]]
    votes = np.array([np.bincount(row, minlength=len(busi.CLASSES)) for row in near])
    return np.asarray(votes.argmax(1), np.int64)


def commonest(known: Sequence[Picture], asked: Sequence[Picture]) -> NDArray[np.int64]:
    """Return the commonest class for every picture."""
    most = int(np.bincount([picture.label for picture in known]).argmax())
    return np.full(len(asked), most, np.int64)


RECIPE = FoldRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=lambda data: Pictures(training=busi.read(data)),
    look_at="layer3",
    beside={
        f"{NEIGHBOURS} nearest neighbours at {THUMBNAIL_PX} px": neighbours,
        "always saying benign": commonest,
    },
    plan=Plan(
        steps=600,
        minutes=3.5,
        batch=16,
        patch=(112, 128),
        learning_rate=1.5e-3,
        judge_every=300,
        ema=0.99,
        warp=Warp(degrees=10, zoom=(0.8, 1.25), shift=0.06, stretch=1.2, mirror=(-1,)),
        touch=Touch(gain=0.25, offset=0.1, gamma=1.5, noise=0.03, speckle=0.15, blur=0.2),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
