"""Recipe of pet_denoise: one patient and made uptake in training, a brain template held out.

python dicom_ai_node/bundles/pet_denoise/configs/train.py --data FOLDER [--score-only]
"""

from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.degrade import with_pet_noise
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.pair import Pair, PairParts
from dicom_ai_node.training.restore import RestoreRecipe, main
from dicom_ai_node.training.simple import gaussian, median, non_local_means

Plane = NDArray[np.float32]

LEVELS, GRAIN_PX = (0.06, 0.35), (1.5, 3.5)
"""Noise at the mean uptake as a part of it, and its grain (full width at half maximum)."""

JUDGED_LEVEL, JUDGED_GRAIN_PX = 0.2, 2.5

MADE, SIDE_PX = 500, 96
"""How many slices of made uptake, and how large they are."""

SEED = 17


def made_uptake(random: Generator) -> Plane:
    """Return (96, 96) uptake: a body, organs and folds as ellipses, some hot, with a PET's blur."""
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    uptake = np.zeros((SIDE_PX, SIDE_PX), np.float32)

    def ellipse(middle: NDArray[np.float64], largest_px: float) -> NDArray[np.bool_]:
        turn = random.uniform(0, np.pi)
        down, across = rows - middle[0], columns - middle[1]
        along = down * np.cos(turn) + across * np.sin(turn)
        beside = across * np.cos(turn) - down * np.sin(turn)
        long, short = largest_px * random.uniform(0.3, 1, 2)
        inside: NDArray[np.bool_] = (along / long) ** 2 + (beside / short) ** 2 < 1
        return inside

    body = ellipse(np.full(2, SIDE_PX / 2), random.uniform(30, 60))
    uptake[body] = 1
    for _ in range(int(random.integers(4, 40))):
        part = ellipse(random.uniform(10, SIDE_PX - 10, 2), random.uniform(2, 18)) & body
        uptake[part] = random.choice([random.uniform(0.1, 1), random.uniform(1, 4)])
    uptake *= 1 + 0.3 * ndimage.zoom(random.standard_normal((4, 4)), SIDE_PX / 4, order=3)
    blurred = ndimage.gaussian_filter(np.clip(uptake, 0, None), random.uniform(0.8, 1.8))
    return np.asarray(blurred * 5, np.float32)


def _volume(path: Path) -> list[Plane]:
    volume = np.asarray(nibabel.load(path).get_fdata(), np.float32)
    return [np.ascontiguousarray(np.rot90(volume[:, :, k])) for k in range(volume.shape[2])]


def _together(truths: Sequence[Plane], group: str) -> list[Pair]:
    """Return a volume at the noise that is judged, scaled as one volume."""
    random = np.random.default_rng([SEED, *group.encode()])
    noisy = [with_pet_noise(t, JUDGED_LEVEL, JUDGED_GRAIN_PX, random) for t in truths]
    ends = float(np.min(noisy)), float(np.percentile(noisy, 99.9))
    return [
        Pair(given=n, wanted=t, ends=ends, group=f"{group} {k // 8}")
        for k, (n, t) in enumerate(zip(noisy, truths, strict=True))
    ]


def _alone(truth: Plane, random: Generator) -> Pair:
    noisy = with_pet_noise(truth, random.uniform(*LEVELS), random.uniform(*GRAIN_PX), random)
    # The ends of a volume that reaches beyond this slice.
    ends = 0.0, float(np.percentile(noisy, 99.9)) * random.uniform(1, 2)
    return Pair(given=noisy, wanted=truth, ends=ends, group="training")


def read(data: Path) -> PairParts:
    """Make uptake and read `train/petct` and `train/brain-pet-template`."""
    petct, random = data / "train/petct", np.random.default_rng(SEED)
    a = _volume(petct / "A-IA000991-M-1-0x0/InputPET_SUV_ROI.nii.gz")
    b = _volume(petct / "A-IA001491-0-0x0/InputPET_SUV_ROI.nii.gz")
    template = _volume(data / "train/brain-pet-template/CN_PET_TEMPLATE.nii.gz")
    return PairParts(
        training=[
            *(_alone(truth, random) for truth in a[::2] for _ in range(4)),
            *(_alone(made_uptake(random), random) for _ in range(MADE)),
        ],
        validation=_together(b, "B"),
        test=_together([t for t in template if (t > 0).mean() > 0.1], "template"),  # noqa: PLR2004
    )


def middle(pairs: Sequence[Pair]) -> Plane:
    """Return the middle slice of the template as the golden image."""
    return pairs[len(pairs) // 2].given


RECIPE = RestoreRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    beside={
        "non-local means": non_local_means((1.0, 1.5, 2.2, 3.2, 4.5)),
        "median": median(),
        "Gaussian": gaussian(),
    },
    golden=middle,
    levels=(0.3, 1.2),
    unit="(SUV)",
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
