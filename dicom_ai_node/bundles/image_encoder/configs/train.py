"""Recipe of image_encoder: pictures of every modality at hand, alike where they are of one class.

python dicom_ai_node/bundles/image_encoder/configs/train.py --data FOLDER [--score-only]
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.picture import Picture, PictureParts, split
from dicom_ai_node.training.retrieve import EmbeddingRecipe, PictureClass, main

MR, US, XRAY = "MR", "ultrasound", "chest X-ray"
SAME_PATIENTS = "CT and PET, other slices of the same patients"
NEVER_TRAINED = "kinds that training never saw, slices of one head CT and one brain PET"

CLASSES = (
    PictureClass(name="glioma", counts_to=MR),
    PictureClass(name="meningioma", counts_to=MR),
    PictureClass(name="pituitary", counts_to=MR),
    PictureClass(name="hippocampus", counts_to=MR),
    PictureClass(name="breast, normal", counts_to=US),
    PictureClass(name="breast, benign", counts_to=US),
    PictureClass(name="breast, malignant", counts_to=US),
    PictureClass(name="fetal head, small", counts_to=US),
    PictureClass(name="fetal head", counts_to=US),
    PictureClass(name="child, normal", counts_to=XRAY),
    PictureClass(name="child, pneumonia", counts_to=XRAY),
    PictureClass(name="adult, PA", counts_to=XRAY),
    PictureClass(name="adult, AP Supine", counts_to=XRAY),
    PictureClass(name="CT abdomen", counts_to=SAME_PATIENTS),
    PictureClass(name="CT pelvis", counts_to=SAME_PATIENTS),
    PictureClass(name="CT around a lung tumour", counts_to=SAME_PATIENTS),
    PictureClass(name="PET around a lung tumour", counts_to=SAME_PATIENTS),
    PictureClass(name="CT head", counts_to=NEVER_TRAINED, is_trained=False),
    PictureClass(name="PET brain", counts_to=NEVER_TRAINED, is_trained=False),
)
LABEL: Mapping[str, int] = MappingProxyType({one.name: n for n, one in enumerate(CLASSES)})

BLOCK = 4
"""Neighbouring slices that stay together."""
SMALL_HEAD_MM = 105.0
"""Circumference up to about the end of the first trimester."""
FETUSES_TOGETHER, OF_FETUSES, EACH_CHILD = 10, 2, 300
"""Numbers of HC18 that stay together; of two such blocks one is read; children of each class."""
SAMPLES = frozenset({"297_HC.png", "702_HC.png", "144_HC.png", "hippocampus_003.nii.gz"})
SAMPLE_PATIENT = "242"
"""What the sample studies were made of is neither trained on nor scored."""
FREE = ("CC0", "CC BY 3.0", "CC BY 4.0")

PELVIS = (25, 77, 78)
"""Labels of TotalSegmentator v2: sacrum and hips."""

Grey = NDArray[np.float32]


def _grey(path: Path) -> Grey:
    return np.asarray(Image.open(path).convert("L"), dtype=np.float32)


def _picture(name: str, image: Grey, kind: str, group: str) -> Picture:
    return Picture(name=name, image=np.ascontiguousarray(image), label=LABEL[kind], group=group)


def brain_tumours(data: Path) -> Iterator[Picture]:
    """Yield 900 T1 slices with contrast; groups are neighbouring numbers."""
    folder = data / "train/brain-mr"
    with (folder / "labels.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            group = f"brain {row['group']}"
            yield _picture(row["file"], _grey(folder / row["file"]), row["class"], group)


def hippocampi(data: Path) -> Iterator[Picture]:
    """Yield the middle slice of every volume of the Decathlon's task 4."""
    for path in sorted((data / "train/hippocampus/images").glob("*.nii.gz")):
        if path.name not in SAMPLES:
            volume = _axial(path)
            yield _picture(path.name, volume[len(volume) // 2], "hippocampus", path.name)


def breasts(data: Path) -> Iterator[Picture]:
    """Yield BUSI; groups are near-duplicates."""
    folder = data / "train/busi"
    with (folder / "labels.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            image, group = _grey(folder / "image" / row["file"]), f"breast {row['dup_group']}"
            yield _picture(row["file"], image, f"breast, {row['class']}", group)


def fetal_heads(data: Path) -> Iterator[Picture]:
    """Yield half of HC18 in blocks of neighbouring numbers, in which a fetus stays together."""
    folder = data / "train/hc18"
    with (folder / "meta.csv").open(newline="") as table:
        for position, row in enumerate(csv.DictReader(table)):
            block = position // FETUSES_TOGETHER
            if block % OF_FETUSES or row["file"] in SAMPLES:
                continue
            is_small = float(row["hc_mm"]) < SMALL_HEAD_MM
            kind = "fetal head, small" if is_small else "fetal head"
            yield _picture(row["file"], _grey(folder / "image" / row["file"]), kind, f"hc {block}")


def children(data: Path) -> Iterator[Picture]:
    """Yield 300 pictures of each class of PneumoniaMNIST, which names no patients."""
    with np.load(data / "train/pneumonia28/train_val.npz") as arrays:
        images, labels = arrays["train_images"], arrays["train_labels"].ravel()
    for number, kind in enumerate(("child, normal", "child, pneumonia")):
        for position in np.flatnonzero(labels == number)[:EACH_CHILD]:
            name = f"child {position}"
            yield _picture(name, images[position].astype(np.float32), kind, name)


def adults(data: Path) -> Iterator[Picture]:
    """Yield chest X-rays by view; groups are patients."""
    folder = data / "train/cxr"
    for row in json.loads((folder / "labels.json").read_text()):
        if row["license"] in FREE and row["patient"] != SAMPLE_PATIENT:
            image, group = _grey(folder / "image" / row["file"]), f"adult {row['patient']}"
            yield _picture(row["file"], image, f"adult, {row['view']}", group)


def _axial(path: Path) -> Grey:
    """Return (slices, rows, columns): toward head, posterior and left, as in DICOM."""
    array = np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj, dtype=np.float32)
    return array.transpose(2, 1, 0)[:, ::-1, ::-1]


def trunk(data: Path) -> Iterator[Picture]:
    """Yield the slices of one CT, parted where the labels that come with it show the pelvis."""
    folder = data / "train/ct-organs"
    hu = np.maximum(_axial(folder / "example_ct.nii.gz"), -1024.0)
    organs = _axial(folder / "example_seg_fast_force_split.nii.gz")
    for position, image in enumerate(hu):
        kind = "CT pelvis" if np.isin(organs[position], PELVIS).any() else "CT abdomen"
        name = f"trunk {position}"
        yield _picture(name, image, kind, f"trunk {position // BLOCK}")


def lung_tumours(data: Path) -> Iterator[Picture]:
    """Yield cuts around two lung tumours, CT and PET."""
    for folder in sorted((data / "train/petct").iterdir()):
        for file, kind in (("InputCT_ROI", "CT"), ("InputPET_SUV_ROI", "PET")):
            volume = _axial(folder / f"{file}.nii.gz")
            for position, image in enumerate(volume):
                group = f"{folder.name} {position // BLOCK}"
                name = f"{kind} {folder.name} {position}"
                yield _picture(name, image, f"{kind} around a lung tumour", group)


def never_trained(data: Path) -> Iterator[Picture]:
    """Yield what the network never sees in training: a head CT and a brain PET."""
    template = _axial(data / "train/brain-pet-template/CN_PET_TEMPLATE.nii.gz")
    for position in range(12, 80, 2):
        group = f"PET brain {position // (2 * BLOCK)}"
        yield _picture(f"PET brain {position}", template[position], "PET brain", group)
    slices = [dcmread(path) for path in sorted((data / "dicom/ct-head-ge-28").glob("*.dcm"))]
    slices.sort(key=lambda ds: int(ds.InstanceNumber))
    for position, ds in enumerate(slices):
        hu = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        image = np.maximum(hu, -1024.0).astype(np.float32)
        yield _picture(f"head {position}", image, "CT head", f"CT head {position // BLOCK}")


def read(data: Path) -> PictureParts:
    """Read everything and part it by groups."""
    sources = (
        brain_tumours, hippocampi, breasts, fetal_heads, children, adults, trunk, lung_tumours,
    )  # fmt: skip
    parts = split([picture for source in sources for picture in source(data)])
    return PictureParts(
        training=parts.training,
        validation=parts.validation,
        test=[*parts.test, *never_trained(data)],
    )


RECIPE = EmbeddingRecipe(
    folder=Path(__file__).resolve().parents[1],
    classes=CLASSES,
    read=read,
    plan=Plan(
        steps=6000,
        minutes=9.0,
        batch=32,
        patch=(128, 128),
        learning_rate=1.5e-3,
        judge_every=100,
        ema=0.99,
        warp=Warp(degrees=15, zoom=(0.8, 1.25), shift=0.06, stretch=1.15, mirror=(-1,)),
        touch=Touch(gain=0.2, offset=0.08, gamma=1.5, noise=0.03, bias_field=0.2, blur=0.3),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
