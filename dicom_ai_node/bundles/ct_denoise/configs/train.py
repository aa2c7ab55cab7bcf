"""Recipe of ct_denoise: slices of six patients, noise of a lower dose made in their projections.

python dicom_ai_node/bundles/ct_denoise/configs/train.py --data FOLDER [--score-only]
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from numpy.typing import NDArray

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.degrade import with_ct_noise
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.pair import Pair, PairParts
from dicom_ai_node.training.restore import RestoreRecipe, main
from dicom_ai_node.training.simple import gaussian, median, non_local_means

Plane = NDArray[np.float32]

ENDS = (-1000.0, 1000.0)
SOFT_TISSUE = (-160.0, 240.0)
"""Window in which the noise is judged, in HU."""

LEVELS_HU = (12.0, 60.0)
JUDGED_HU = 30.0
"""Noise in tissue: range in training, and in validation and test."""

SEED = 7


def _dicom(paths: Sequence[Path]) -> Iterator[tuple[Plane, float]]:
    for path in paths:
        ds = pydicom.dcmread(path)
        hu = ds.pixel_array.astype(np.float32) * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        yield np.clip(hu, -1024, 3071), float(ds.PixelSpacing[0])


def _nifti(path: Path, spacing_mm: float) -> Iterator[tuple[Plane, float]]:
    volume = np.asarray(nibabel.load(path).get_fdata(), np.float32)
    for k in range(0, volume.shape[2], 2):
        yield np.clip(np.rot90(volume[:, :, k]), -1024, 3071), spacing_mm


def _pairs(
    slices: Iterator[tuple[Plane, float]],
    group: str,
    levels_hu: tuple[float, float],
    copies: int = 1,
) -> list[Pair]:
    random = np.random.default_rng([SEED, *group.encode()])
    return [
        Pair(
            given=with_ct_noise(hu, spacing_mm, random.uniform(*levels_hu), random),
            wanted=np.ascontiguousarray(hu),
            ends=ENDS,
            group=group,
            zero=-1000.0,
        )
        for hu, spacing_mm in slices
        for _ in range(copies)
    ]


def read(data: Path) -> PairParts:
    """Read the CT slices of the data folder and part them by patient."""
    dicom, train = data / "dicom", data / "train"
    same = (JUDGED_HU, JUDGED_HU)
    dcmqi = dicom / "dcmqi/data/segmentations/ct-3slice"
    return PairParts(
        training=[
            *_pairs(_dicom(sorted((dicom / "ct-head-ge-28").glob("*.dcm"))), "head", LEVELS_HU, 2),
            *_pairs(_nifti(train / "ct-organs/example_ct.nii.gz", 3.0), "trunk", LEVELS_HU),
            *_pairs(
                _nifti(train / "petct/A-IA000991-M-1-0x0/InputCT_ROI.nii.gz", 1.0), "A", LEVELS_HU
            ),
        ],
        validation=[
            *_pairs(_dicom([dicom / "ct-chest-lungmask/0.dcm"]), "chest", same),
            *_pairs(_nifti(train / "petct/A-IA001491-0-0x0/InputCT_ROI.nii.gz", 1.0), "B", same)[
                ::6
            ],
        ],
        test=[
            *_pairs(_dicom(sorted(dcmqi.glob("*.dcm"))), "liver", same),
            *_pairs(_dicom([dicom / "pydicom-data/explicit_VR-UN.dcm"]), "kidneys", same),
            *_pairs(
                _dicom([dicom / "pydicom/test_files/J2K_pixelrep_mismatch.dcm"]), "skull base", same
            ),
        ],
    )


def middle(pairs: Sequence[Pair]) -> Plane:
    """Cut the golden image out of the middle of a noisy liver."""
    return np.ascontiguousarray(pairs[0].given[208:304, 128:224].round())


RECIPE = RestoreRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    beside={
        "non-local means": non_local_means(),
        "median": median(),
        "Gaussian": gaussian(),
    },
    golden=middle,
    judged=SOFT_TISSUE,
    levels=(0.2, 1.2),
    unit="(HU)",
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
