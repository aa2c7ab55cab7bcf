"""The images of BUSI as three recipes read them."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from dicom_ai_node.training.busi import CLASSES, read


def _set(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    home = folder / "train/busi"
    for name in ("image", "mask"):
        (home / name).mkdir(parents=True)
    for number, (file, kind, _) in enumerate(rows):
        picture = np.full((6, 8), 10 * number, np.uint8)
        mask = np.zeros((6, 8), np.uint8)
        if kind != "normal":
            mask[2:4, 3:6] = 255
        Image.fromarray(picture).save(home / "image" / file)
        Image.fromarray(mask).save(home / "mask" / file)
    with (home / "labels.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerows([("file", "class", "dup_group"), *rows])
    return folder


def test_every_image_comes_with_its_class_its_group_and_its_outline(tmp_path: Path) -> None:
    """A normal one has an outline around nothing."""
    rows = [("a.png", "normal", "1"), ("b.png", "benign", "2"), ("c.png", "malignant", "2b")]
    pictures = read(_set(tmp_path, rows))
    assert [CLASSES[picture.label] for picture in pictures] == [kind for _, kind, _ in rows]
    assert [picture.group for picture in pictures] == ["1", "2", "2b"]
    assert [picture.image[0, 0] for picture in pictures] == [0, 10, 20]
    assert [0 if p.outline is None else int(p.outline.sum()) for p in pictures] == [0, 6, 6]


def test_near_duplicates_of_two_classes_are_left_out(tmp_path: Path) -> None:
    """One of their labels is wrong, and nobody knows which."""
    rows = [("a.png", "benign", "1"), ("b.png", "malignant", "1"), ("c.png", "benign", "2")]
    assert [picture.name for picture in read(_set(tmp_path, rows))] == ["c.png"]
