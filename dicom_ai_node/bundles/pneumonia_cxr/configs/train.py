"""Recipe of pneumonia_cxr: 28 px chest X-rays of PneumoniaMNIST, split by blocks of neighbours.

python dicom_ai_node/bundles/pneumonia_cxr/configs/train.py --data FOLDER [--score-only]
"""

from collections import Counter
from pathlib import Path

import numpy as np

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.classify import ClassRecipe, main
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.picture import Picture, PictureParts, split

BLOCK = 10
"""So many neighbours of one class stay together. The file names no patients."""


def read(data: Path) -> PictureParts:
    """Read `train/pneumonia28`, each image once, and part it by blocks of its order."""
    pictures: list[Picture] = []
    seen: set[bytes] = set()
    with np.load(data / "train/pneumonia28/train_val.npz") as file:
        for source in ("train", "val"):
            count: Counter[int] = Counter()
            labels = file[f"{source}_labels"].ravel().tolist()
            for number, (image, label) in enumerate(
                zip(file[f"{source}_images"], labels, strict=True)
            ):
                if image.tobytes() in seen:
                    continue
                seen.add(image.tobytes())
                pictures.append(
                    Picture(
                        name=f"{source} {number}",
                        image=image.astype(np.float32),
                        label=label,
                        group=f"{source} {label} {count[label] // BLOCK}",
                    )
                )
                count[label] += 1
    return split(pictures)


RECIPE = ClassRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    plan=Plan(
        steps=4000,
        minutes=7.0,
        batch=64,
        patch=(28, 28),
        learning_rate=2e-3,
        judge_every=100,
        ema=0.99,
        warp=Warp(degrees=10, zoom=(0.75, 1.2), shift=0.08, stretch=1.2),
        touch=Touch(gain=0.2, offset=0.08, gamma=1.4, noise=0.03),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
