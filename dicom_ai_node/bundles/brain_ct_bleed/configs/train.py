"""Recipe of brain_ct_bleed: bleedings drawn into the head CT of one patient, tested on another too.

python dicom_ai_node/bundles/brain_ct_bleed/configs/train.py --data FOLDER [--score-only]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom import dcmread
from scipy import ndimage

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.bleed import Head, varied, with_bleeding, with_distractors
from dicom_ai_node.training.case import Case
from dicom_ai_node.training.classify import ClassRecipe, main
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.grid import resize
from dicom_ai_node.training.picture import Picture, PictureParts
from dicom_ai_node.training.predict import labels_of
from dicom_ai_node.training.ranking import Labels, Measure, Probabilities, auc

TISSUES = Path(__file__).resolve().parents[2] / "ct_tissue"
"""The model that says what lies inside the skull, where bleedings are drawn."""

INSIDE = 3
"""Its label of intracranial contents."""

TEST, VALIDATION = (7, 8, 17, 18, 19), (11, 12, 22, 23)
"""Positions in the stack, counted from the neck, of slices that are not for training."""

SECOND_PATIENT = "dicom/pydicom/test_files/J2K_pixelrep_mismatch.dcm"
DRAWN_PX, MODEL_PX = 256, 128
"""Side of the slices in which bleedings are drawn, and of what the network sees."""

LEAST_INSIDE_CM2 = 15.0
"""In slices with less brain nothing is drawn: neck and vertex are only shown as they are."""

BARE = 8
"""One in so many pictures to learn from is of such a slice: of a stack they are looked at, too."""

POOL, HELD_OUT_EACH = 2400, 40
"""Pictures to learn from, and pictures of each held-out slice; half of them with a bleeding."""

DENSE_HU = (52.0, 95.0)
"""Blood, for the simple method; the densest grey matter and the thickest falx have less."""


def heads(data: Path) -> dict[str, Head]:
    """Read the slices of both patients, by name."""
    paths = sorted((data / "dicom/ct-head-ge-28").glob("*.dcm"))
    named = {f"slice {n}": path for n, path in enumerate(paths)}
    named["another patient"] = data / SECOND_PATIENT
    return {name: _head(path) for name, path in named.items()}


def _is_bare(head: Head) -> bool:
    return bool(head.inside.sum() * head.pixel_mm**2 / 100 < LEAST_INSIDE_CM2)


def _head(path: Path) -> Head:
    ds = dcmread(path)
    hu = ds.pixel_array.astype(np.float32) * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    hu, spacing = np.clip(hu, -1024, 3000), tuple(float(s) for s in ds.PixelSpacing)
    case = Case(name="", image=hu, labels=np.zeros(hu.shape, np.uint8), spacing_mm=spacing)
    marks = labels_of(model_folder.shipped_network(TISSUES), case, model_folder.facts_of(TISSUES))
    inside = ndimage.binary_fill_holes(marks == INSIDE)
    shape = (DRAWN_PX, DRAWN_PX)
    return Head(
        hu=_resized(hu, shape),
        inside=_resized(inside.astype(np.float32), shape) > 0.5,  # noqa: PLR2004
        pixel_mm=spacing[0] * hu.shape[0] / DRAWN_PX,
    )


def _resized(array: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    image = torch.from_numpy(np.ascontiguousarray(array))[None, None]
    return np.asarray(resize(image, shape)[0, 0].numpy())


def made(name: str, head: Head, number: int) -> Picture:
    """Return picture `number` of a slice: every other one with a bleeding, all else alike."""
    random = np.random.default_rng([*name.encode(), number])
    label = 0 if _is_bare(head) else number % 2
    changed = varied(head, random)
    if not _is_bare(head):
        changed = with_distractors(changed, random)
    if label:
        changed = with_bleeding(changed, random)
    return Picture(
        name=f"{name} made {number}",
        image=_resized(changed.hu, (MODEL_PX, MODEL_PX)),
        label=label,
        group=name,
        outline=_outline(changed),
    )


def _outline(head: Head) -> NDArray[np.bool_] | None:
    if head.blood is None:
        return None
    return _resized(head.blood.astype(np.float32), (MODEL_PX, MODEL_PX)) > 0.5  # noqa: PLR2004


class Drawn(Sequence[Picture]):
    """Pictures that are drawn when they are asked for: there are too many to draw them in vain."""

    def __init__(self, heads: Mapping[str, Head], each: Mapping[str, int]) -> None:
        self._heads = heads
        self._wanted = [(name, number) for name in sorted(each) for number in range(each[name])]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._wanted)

    @overload
    def __getitem__(self, place: int) -> Picture: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Picture]: ...
    def __getitem__(self, place: int | slice) -> Picture | Sequence[Picture]:
        """Draw one, or some."""
        if isinstance(place, slice):
            return [self[n] for n in range(*place.indices(len(self)))]
        name, number = self._wanted[place]
        return made(name, self._heads[name], number)


def read(data: Path) -> PictureParts:
    """Return pictures of the slices of each part, each from a random stream of its own."""
    found = heads(data)
    bare = {name for name, head in found.items() if _is_bare(head)}
    test = {f"slice {n}" for n in TEST} | {"another patient"}
    validation = {f"slice {n}" for n in VALIDATION}
    known = {*found} - bare - test - validation
    each = dict.fromkeys(known, 2 * (POOL // len(known) // 2))
    each |= dict.fromkeys(bare, POOL // BARE // len(bare))
    return PictureParts(
        training=Drawn(found, each),
        validation=list(Drawn(found, dict.fromkeys(validation, HELD_OUT_EACH))),
        test=list(Drawn(found, dict.fromkeys(test, HELD_OUT_EACH))),
    )


def dense_area(picture: Picture) -> float:
    """Return how many pixels the largest part has that bone encloses and that is dense as blood."""
    smooth = ndimage.gaussian_filter(picture.image, 1.0)
    bone = ndimage.binary_closing(picture.image > 200, iterations=2)  # noqa: PLR2004
    inside = ndimage.binary_fill_holes(bone) & ~ndimage.binary_dilation(bone, iterations=2)
    parts, count = ndimage.label(inside & (smooth > DENSE_HU[0]) & (smooth < DENSE_HU[1]))
    return float(np.bincount(parts.ravel())[1:].max()) if count else 0.0


def beside(parts: PictureParts) -> Mapping[str, Measure]:
    """Return the AUC in each patient alone, and that of a simple method: area of what is dense."""
    areas = np.array([dense_area(picture) for picture in parts.test])
    other = np.array([picture.group == "another patient" for picture in parts.test])

    def of(chosen: NDArray[np.bool_]) -> Measure:
        def measure(found: Probabilities, labels: Labels) -> float:
            return auc(found[chosen, 1], labels[chosen] == 1)

        return measure

    return {
        "AUC, other slices of the same patient": of(~other),
        "AUC, one slice of another patient": of(other),
        "AUC of the largest dense area, for comparison": lambda _f, labels: auc(areas, labels == 1),
    }


RECIPE = ClassRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    beside=beside,
    look_at="layer3",
    false_alarms=0.01,  # of a slice: a stack has thirty, and the surest one speaks for it
    plan=Plan(
        steps=2000,
        minutes=7.0,
        batch=16,
        patch=(MODEL_PX, MODEL_PX),
        learning_rate=1.5e-3,
        judge_every=100,
        ema=0.98,
        warp=Warp(degrees=15, zoom=(0.8, 1.25), shift=0.06, stretch=1.1, mirror=(-1,)),
        touch=Touch(gain=0.06, offset=0.03, noise=0.04, blur=0.3),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
