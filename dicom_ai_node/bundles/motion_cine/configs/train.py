"""Recipe of motion_cine: stills of ultrasound, X-ray and MR, and a real cine, moved along a path.

python dicom_ai_node/bundles/motion_cine/configs/train.py --data FOLDER [--score-only]
"""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from scipy import ndimage

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.case import Case, Parts, part_of_block
from dicom_ai_node.training.cine import Motion
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.picture import Picture, split
from dicom_ai_node.training.track import TrackRecipe, main

BLOCK, EVERY = 20, 7
"""HC18: twenty neighbouring numbers stay together; of seven blocks one is test, one validation."""
CLASSES = ("normal", "benign", "malignant")
SECTOR = (15, 207, 42, 298)
"""Rows and columns of the real cine that show tissue."""
CINES: Mapping[str, int] = {"in ultrasound": 12, "in X-rays": 8, "in MR": 8}
"""So many stills of a part become cines."""
US, X_RAY, MR = CINES
FREE = ("CC0", "CC BY 3.0", "CC BY 4.0")
"""Only X-rays under these licences are read."""
EVERY_PATIENT = 5
"""Of five patients with an X-ray one is test, one validation."""
TUMOURS = ("glioma", "meningioma", "pituitary")


def _grey(path: Path) -> NDArray[np.float32]:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.float32)


def heads(folder: Path) -> dict[str, list[Case]]:
    """Read HC18 and part it by number, so that frames of one fetus stay together."""
    parts: dict[str, list[Case]] = {"training": [], "validation": [], "test": []}
    with (folder / "meta.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            image = _grey(folder / "image" / row["file"])
            found = re.match(r"(\d+)_", row["file"])
            if found is None:
                raise ValueError(f"{row['file']} does not begin with a number")
            spacing_mm = tuple(
                float(row["orig_pixel_mm"]) * float(row[side]) / length
                for side, length in zip(("orig_h", "orig_w"), image.shape, strict=True)
            )
            parts[part_of_block(int(found[1]), BLOCK, EVERY)].append(
                Case(
                    name=row["file"],
                    image=image,
                    labels=np.zeros(image.shape, np.uint8),
                    spacing_mm=spacing_mm,
                    reference={"is_calibrated": 1.0},
                    where=US,
                )
            )
    return parts


def breasts(folder: Path) -> dict[str, list[Case]]:
    """Read BUSI and part it by near-duplicates; nobody says how large its pixels are."""
    return _pictures(folder, "image", "dup_group", CLASSES, US)


def slices(folder: Path) -> dict[str, list[Case]]:
    """Read T1 slices of heads and part them by groups of neighbouring numbers."""
    return _pictures(folder, "", "group", TUMOURS, MR)


def _pictures(
    folder: Path, below: str, group: str, classes: Sequence[str], where: str
) -> dict[str, list[Case]]:
    with (folder / "labels.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    known = split(
        [
            Picture(
                name=row["file"],
                image=_grey(folder / below / row["file"]),
                label=classes.index(row["class"]),
                group=row[group],
            )
            for row in rows
        ]
    )
    return {
        part: [_case(picture.name, picture.image, where) for picture in getattr(known, part)]
        for part in ("training", "validation", "test")
    }


def _case(name: str, image: NDArray[np.float32], where: str) -> Case:
    labels = np.zeros(image.shape, np.uint8)
    return Case(name=name, image=image, labels=labels, spacing_mm=(1.0, 1.0), where=where)


def chests(folder: Path) -> dict[str, list[Case]]:
    """Read chest X-rays, part them by patient, and lay a made catheter into each."""
    rows = [
        row for row in json.loads((folder / "labels.json").read_text()) if row["license"] in FREE
    ]
    patients = sorted({row["patient"] for row in rows})
    parts: dict[str, list[Case]] = {"training": [], "validation": [], "test": []}
    for place, row in enumerate(rows):
        part = part_of_block(patients.index(row["patient"]), 1, EVERY_PATIENT)
        image = _grey(folder / "image" / row["file"])
        with_it = with_catheter(image, np.random.default_rng((place, 0)))
        parts[part].append(_case(row["file"], with_it, X_RAY))
    return parts


def with_catheter(image: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Return an X-ray (rows, columns) with a thin, smooth and dark line across it."""
    rows, columns = np.array(image.shape)
    along = np.linspace(0, 1, 4)
    bends = random.uniform(0.25, 0.75, 4)
    time = np.linspace(0.1, random.uniform(0.5, 0.9), 2000)
    line = np.stack([time * rows, np.polyval(np.polyfit(along, bends, 3), time) * columns])
    down, right = np.clip(line.astype(int), 0, [[rows - 1], [columns - 1]])
    free = np.ones(image.shape, np.bool_)
    free[down, right] = False
    width_px = random.uniform(0.002, 0.005) * rows
    edge = np.clip(ndimage.distance_transform_edt(free) - width_px, 0, 1)
    seen: NDArray[np.float64] = image * (1 - random.uniform(0.2, 0.6) * (1 - edge))
    return seen.astype(np.float32)


def heart(path: Path) -> Case:
    """Read the sector of a real cine: an echocardiogram of 30 frames, without its calibration.

    The regions in its header are those of larger frames.
    """
    frames = dcmread(path).pixel_array[..., 0].astype(np.float32)
    image = np.ascontiguousarray(frames[:, SECTOR[0] : SECTOR[1], SECTOR[2] : SECTOR[3]])
    labels = np.zeros(image.shape, np.uint8)
    return Case(name=path.name, image=image, labels=labels, spacing_mm=(1.0, 1.0))


def read(data: Path) -> Parts:
    """Read all; it is trained on ultrasound alone, and the real cine is only for the test."""
    folder = data / "train"
    seen = heads(folder / "hc18"), breasts(folder / "busi")
    sets = *seen, chests(folder / "cxr"), slices(folder / "brain-mr")
    parts = {part: [case for each in sets for case in each[part]] for part in sets[0]}
    parts["training"] = [case for each in seen for case in each["training"]]
    parts["test"].append(heart(data / "dicom/pydicom/test_files/examples_ybr_color.dcm"))
    return Parts(**parts)


def some(cases: Sequence[Case]) -> Sequence[Case]:
    """Return stills of every modality of a part, evenly."""
    chosen = []
    for where, count in CINES.items():
        of_it = [case for case in cases if case.where == where]
        chosen += [of_it[n] for n in np.linspace(0, len(of_it) - 1, count).round().astype(int)]
    return chosen


def look(case: Case, motion: Motion) -> Motion:
    """Return how a cine changes: without speckle in X-rays and MR, and X-rays show what rests."""
    if case.where == US:
        return motion
    noise = 0.3 * motion.speckle
    return replace(motion, speckle=noise, resting=0.4 if case.where == X_RAY else 0.0)


RECIPE = TrackRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    cines=some,
    look=look,
    plan=Plan(
        steps=2400,
        minutes=9.0,
        batch=2,
        patch=(176, 256),
        learning_rate=3e-3,
        judge_every=100,
        ema=0.99,
        warp=Warp(degrees=20, zoom=(0.8, 1.3), shift=0.05, mirror=(-1,)),
        touch=Touch(),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
