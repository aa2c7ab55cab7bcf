"""Recipe of xray_restore: chest X-rays and projections of CT, a veil of scatter made.

python dicom_ai_node/bundles/xray_restore/configs/train.py --data FOLDER [--score-only]
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from scipy import ndimage

from dicom_ai_node.domain.model import Intensity, Scaling
from dicom_ai_node.domain.restoring import shrunk
from dicom_ai_node.domain.scaling import ends_of
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.case import part_of_block
from dicom_ai_node.training.degrade import BLACK, WATER_PER_MM, Haze, with_haze
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.folder import facts_of
from dicom_ai_node.training.pair import Method, Pair, PairParts, psnr
from dicom_ai_node.training.restore import RestoreRecipe, averaged, main
from dicom_ai_node.training.simple import (
    clahe,
    gamma,
    in_window_of,
    non_local_means,
    subtracted,
    unsharp,
)

Plane = NDArray[np.float32]

FOLDER = Path(__file__).resolve().parents[1]

EVERY = 5
"""Of five patients one is for the test and one for validation."""

FREE = ("CC0", "CC BY 3.0", "CC BY 4.0")
"""Only images under these licences are read."""

SEED = 23

VEILS: Mapping[str, int] = {"training": 10, "validation": 1, "test": 3}
"""How many times each image is made worse, each time in another way."""

SHRINK = 2
"""Images for training have this many times fewer rows and columns: a veil is broad."""

TRUNK_DEGREES = range(0, 180, 15)
TRUNK_ROWS = ((0, 60), (30, 90), (52, 112))
"""Slices of the trunk in one projection, counted from the feet: pelvis, abdomen, chest."""
HEAD_DEGREES = range(0, 180, 30)
"""Views of the head, of which none is seen before the test: 0 from behind, 90 from the side."""
FILM_MM = 0.8
"""Side of a pixel of a projection."""


def projected(hu: NDArray[np.floating], spacing_mm: Sequence[float], degrees: float) -> Plane:
    """Return a parallel projection of a CT volume (slices from the feet, rows, columns), 0..255.

    The table is not taken out; rays through air alone are black.
    """
    density = np.clip(1 + hu / 1000, 0, None).astype(np.float32)
    turned = ndimage.rotate(density, degrees, axes=(1, 2), reshape=False, order=1)
    integral = turned.sum(1) * spacing_mm[1] * WATER_PER_MM
    zoom = [spacing_mm[0] / FILM_MM, spacing_mm[2] / FILM_MM]
    film = ndimage.zoom(integral[::-1], zoom, order=1, grid_mode=True, mode="nearest")
    grey = film / np.percentile(film, 99.8) * 255
    return np.where(film > 0.1, np.clip(grey, BLACK + 1, 255), 0).astype(np.float32)  # noqa: PLR2004


def _chests(data: Path) -> Iterator[tuple[str, str, Plane]]:
    """Yield (part, patient, image) of the chest X-rays under a free licence."""
    folder = data / "train/cxr"
    rows = [r for r in json.loads((folder / "labels.json").read_text()) if r["license"] in FREE]
    patients = sorted({row["patient"] for row in rows})
    for row in rows:
        image = np.asarray(Image.open(folder / "image" / row["file"]).convert("L"), np.float32)
        part = part_of_block(patients.index(row["patient"]), 1, EVERY)
        yield part, f"chest {row['patient']}", image


def _trunk(data: Path) -> Iterator[tuple[str, str, Plane]]:
    loaded = nib.load(data / "train/ct-organs/example_ct.nii.gz")
    spacing = tuple(float(s) for s in loaded.header.get_zooms()[::-1])
    volume = np.asarray(loaded.dataobj, np.float32).transpose(2, 1, 0)
    for first, end in TRUNK_ROWS:
        for degrees in TRUNK_DEGREES:
            yield "training", "trunk", projected(volume[first:end], spacing, degrees)


def _head(data: Path) -> Iterator[tuple[str, str, Plane]]:
    files = [dcmread(path) for path in (data / "dicom/ct-head-ge-28").glob("*.dcm")]
    files.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    heights = [float(one.ImagePositionPatient[2]) for one in files]
    volume = np.stack(
        [one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in files]
    )
    rows, columns = map(float, files[0].PixelSpacing)
    spacing = (float(np.median(np.diff(heights))), rows, columns)
    for degrees in HEAD_DEGREES:
        yield "test", "head", projected(volume, spacing, degrees)


def _haze(random: np.random.Generator, size_px: int) -> Haze:
    return Haze(
        scatter_to_primary=random.uniform(0.2, 3.0),
        spread_px=random.uniform(0.04, 0.15) * size_px,
        blur_px=random.uniform(0.3, 0.8),
        quanta=float(np.exp(random.uniform(np.log(4e3), np.log(4e4)))),
        nepers=random.uniform(1.8, 3.5),
    )


def read(data: Path) -> PairParts:
    """Read `train/cxr`, parted by patient, the trunk (training) and the head (test)."""
    told = facts_of(FOLDER)["intensity"]
    intensity = Intensity(scaling=Scaling(told["scaling"]), low=told["low"], high=told["high"])
    parts: dict[str, list[Pair]] = {"training": [], "validation": [], "test": []}
    sources = [*_chests(data), *_trunk(data), *_head(data)]
    for number, (part, group, image) in enumerate(sources):
        truth = shrunk(image, SHRINK) if part == "training" else image
        for veil in range(VEILS[part]):
            random = np.random.default_rng([SEED, number, veil])
            given = with_haze(truth, _haze(random, max(truth.shape)), random)
            wanted = in_window_of(given, truth, given > BLACK)
            ends = ends_of(given, intensity)
            parts[part].append(Pair(given=given, wanted=wanted, ends=ends, group=group))
    return PairParts(**parts)


def first(pairs: Sequence[Pair]) -> Plane:
    """Return the first test image, smaller, as the golden one."""
    return shrunk(pairs[0].given, SHRINK).round()


def by_body(methods: Mapping[str, Method], pairs: Sequence[Pair]) -> dict[str, dict[str, float]]:
    """Return PSNR of chests and of the head, which no training saw, apart."""
    rows = {}
    for body in ("chest", "head"):
        of = [pair for pair in pairs if pair.group.startswith(body)]
        for name, method in methods.items():
            if of and name in {"network", "as it came"}:
                values = [psnr(method(p), p.wanted, p.ends) for p in of]
                rows[f"PSNR (dB), {body}, {name}"] = averaged(values, [p.group for p in of])
    return rows


RECIPE = RestoreRecipe(
    folder=FOLDER,
    read=read,
    beside={
        "scatter of one strength subtracted": subtracted(),
        "unsharp mask": unsharp((20.0, 40.0, 80.0), (0.4, 0.7, 1.0)),
        "CLAHE": clahe((0.003, 0.01)),
        "gamma": gamma((0.8, 1.2)),
        "non-local means": non_local_means((0.6, 1.2)),
    },
    golden=first,
    also_score=by_body,
    plan=Plan(
        steps=12000,
        minutes=35.0,
        batch=8,
        patch=(256, 256),
        learning_rate=2e-3,
        judge_every=300,
        ema=0.995,
        warp=Warp(),
        touch=Touch(),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
