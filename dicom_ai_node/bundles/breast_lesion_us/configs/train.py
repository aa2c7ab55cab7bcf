"""Recipe of breast_lesion_us: the outlines of BUSI, with near-duplicates on one side of the split.

python dicom_ai_node/bundles/breast_lesion_us/configs/train.py --data FOLDER [--score-only]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.training import busi
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.case import Case, Parts
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.picture import Picture, split
from dicom_ai_node.training.recipe import Recipe, main


def _case(picture: Picture) -> Case:
    mask = np.zeros(picture.image.shape, np.bool_) if picture.outline is None else picture.outline
    return Case(
        name=picture.name,
        image=picture.image,
        labels=mask.astype(np.uint8),
        spacing_mm=(1.0, 1.0),
        # Areas cannot be told, for BUSI does not say how large a pixel is; see `found_at_all`.
        scored=None if mask.any() else (),
        where=busi.CLASSES[picture.label] if mask.any() else "",
        group=picture.group,
    )


def read(data: Path) -> Parts:
    """Read `train/busi`, normal images included, and part it by near-duplicates."""
    parts = split(busi.read(data))
    return Parts(
        training=[_case(picture) for picture in parts.training],
        validation=[_case(picture) for picture in parts.validation],
        test=[_case(picture) for picture in parts.test],
    )


def found_at_all(case: Case, result: NDArray[np.uint8]) -> Mapping[str, float]:
    """Tell lesions that are missed, and normal images in which something is found."""
    if not case.labels.any():
        return {"normal images in which a lesion is found": float(result.any())}
    return {"lesions that are touched": float(bool((result & case.labels).any()))}


def typical(cases: Sequence[Case]) -> Sequence[Case]:
    """Pick the lesion of median size as the golden case."""
    ordered = sorted(
        (case for case in cases if case.labels.any()),
        key=lambda case: (float(case.labels.mean()), case.name),
    )
    return [ordered[len(ordered) // 2]]


RECIPE = Recipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    also_score=found_at_all,
    golden=typical,
    plan=Plan(
        steps=8000,
        minutes=8.0,
        batch=8,
        patch=(112, 128),
        learning_rate=2e-3,
        judge_every=150,
        ema=0.99,
        warp=Warp(degrees=12, zoom=(0.75, 1.3), shift=0.08, stretch=1.25, mirror=(-1,)),
        touch=Touch(gain=0.25, offset=0.1, gamma=1.5, noise=0.03, speckle=0.2, blur=0.2),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
