"""Recipe of motion_us: stills of HC18 and BUSI, and a real cine, moved along paths that are known.

python dicom_ai_node/bundles/motion_us/configs/train.py --data FOLDER [--score-only]
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.case import Case, Parts, part_of_block
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.picture import Picture, split
from dicom_ai_node.training.track import TrackRecipe, main

BLOCK, EVERY = 20, 7
"""HC18: twenty neighbouring numbers stay together; of seven blocks one is test, one validation."""
CLASSES = ("normal", "benign", "malignant")
SECTOR = (15, 207, 42, 298)
"""Rows and columns of the real cine that show tissue."""
CINES = 12
"""So many stills of a part become cines."""


def _grey(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
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
                )
            )
    return parts


def breasts(folder: Path) -> dict[str, list[Case]]:
    """Read BUSI and part it by near-duplicates; nobody says how large its pixels are."""
    with (folder / "labels.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    known = split(
        [
            Picture(
                name=row["file"],
                image=_grey(folder / "image" / row["file"]),
                label=CLASSES.index(row["class"]),
                group=row["dup_group"],
            )
            for row in rows
        ]
    )
    return {
        part: [
            Case(
                name=picture.name,
                image=picture.image,
                labels=np.zeros(picture.image.shape, np.uint8),
                spacing_mm=(1.0, 1.0),
            )
            for picture in getattr(known, part)
        ]
        for part in ("training", "validation", "test")
    }


def heart(path: Path) -> Case:
    """Read the sector of a real cine: an echocardiogram of 30 frames, without its calibration.

    The regions in its header are those of larger frames.
    """
    frames = dcmread(path).pixel_array[..., 0].astype(np.float32)
    image = np.ascontiguousarray(frames[:, SECTOR[0] : SECTOR[1], SECTOR[2] : SECTOR[3]])
    labels = np.zeros(image.shape, np.uint8)
    return Case(name=path.name, image=image, labels=labels, spacing_mm=(1.0, 1.0))


def read(data: Path) -> Parts:
    """Read all; heads come first in every part, and the real cine is only for the test."""
    of_heads, of_breasts = heads(data / "train/hc18"), breasts(data / "train/busi")
    parts = {part: of_heads[part] + of_breasts[part] for part in of_heads}
    parts["test"].append(heart(data / "dicom/pydicom/test_files/examples_ybr_color.dcm"))
    return Parts(**parts)


def some(cases: Sequence[Case]) -> Sequence[Case]:
    """Return stills from all of a part, evenly."""
    chosen = np.linspace(0, len(cases) - 1, CINES).round().astype(int)
    return [cases[n] for n in chosen]


RECIPE = TrackRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    cines=some,
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
