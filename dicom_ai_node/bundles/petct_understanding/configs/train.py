"""Recipe of petct_understanding: made spots and made patients in one real PET/CT.

python dicom_ai_node/bundles/petct_understanding/configs/train.py --data FOLDER [--score-only]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.body import drawn_told
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.fuse import FusedCase, FusedParts, FuseRecipe, main
from dicom_ai_node.training.grid import resize
from dicom_ai_node.training.lumps import BOTH, CLASSES, erased, made_case
from dicom_ai_node.training.petct import Patient

LEARNED, HELD_OUT = "A-IA000991-M-1-0x0", "A-IA001491-0-0x0"
"""The patient whose chest is learned from, and the one whom training never sees."""
MODEL_MM = (3.0, 3.0, 3.0)
COUNTS: Mapping[str, int] = {"training": 4000, "validation": 400, "test": 600}
SOFT_TISSUE_SUV = 0.37
"""Median of the chest wall of `HELD_OUT`; in `LEARNED` it is ten times what muscle has, so that
his SUV are scaled to this."""
UNKNOWN = dict.fromkeys(("age", "sex", "weight", "size", "glucose", "crp"))


def patient(data: Path, name: str) -> Patient:
    """Read one case of `train/petct` and bring it from 1 mm to the model's grid."""

    def array(file: str) -> NDArray[np.float32]:
        image = nib.as_closest_canonical(nib.load(data / "train/petct" / name / f"{file}.nii.gz"))
        values = np.asarray(image.dataobj, dtype=np.float32).transpose(2, 1, 0)[:, ::-1, ::-1]
        shape = [round(length / step) for length, step in zip(values.shape, MODEL_MM, strict=True)]
        tensor = torch.from_numpy(np.ascontiguousarray(values))[None, None]
        return np.asarray(resize(tensor, shape)[0, 0].numpy())

    suv, hu = array("InputPET_SUV_ROI"), array("InputCT_ROI")
    if name == LEARNED:
        wall = suv[(hu > -50) & (hu < 100)]  # noqa: PLR2004 - soft tissue
        suv = suv * np.float32(SOFT_TISSUE_SUV / np.median(wall))
    lesion = array("GTV_Primary_ROI_PET_Staple") >= 0.5  # noqa: PLR2004 - half covered
    return Patient(suv=suv, hu=hu, lesion=lesion)


def made(where: Patient, count: int, seed: int, name: str) -> Sequence[FusedCase]:
    """Return made cases in one patient, the classes in turn."""
    random = np.random.default_rng(seed)
    free = erased(where, MODEL_MM, random)
    cases = []
    for number in range(count):
        one = made_case(free, number % CLASSES, MODEL_MM, random)
        cases.append(
            FusedCase(
                images={"pet": one.suv, "ct": one.hu},
                told=drawn_told(one.body, random),
                label=one.label,
                group=f"{name} {number}",
            )
        )
    return cases


def read(data: Path) -> FusedParts:
    """Read `train/petct`; training and validation are made in one patient, the test in another."""
    learned, held_out = patient(data, LEARNED), patient(data, HELD_OUT)
    real = FusedCase(
        images={"pet": held_out.suv, "ct": held_out.hu},
        told=UNKNOWN,
        label=BOTH,
        group="the real lesion of the held-out patient, facts unknown",
    )
    return FusedParts(
        training=made(learned, COUNTS["training"], 1, "training"),
        validation=made(learned, COUNTS["validation"], 2, "validation"),
        test=made(held_out, COUNTS["test"], 31, "test"),
        real=[real],
    )


RECIPE = FuseRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    plan=Plan(
        steps=6000,
        minutes=11.0,
        batch=16,
        patch=(16, 32, 32),
        learning_rate=2e-3,
        judge_every=100,
        ema=0.99,
        touch=Touch(),
        warp=Warp(mirror=(-1, -2, -3)),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
