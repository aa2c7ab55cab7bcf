"""Made PET/CT of a brain: the mean uptake of many, laid into the skull of one, and made disease.

Neither the PET nor the disease is anyone's. Four classes: usual uptake; uptake that is lowered
where the CT shows nothing; lowered over a defect of the CT; a mass with uptake. What is usual
depends on the age, and people with lowered uptake score less in a test of memory: crude forms of
what is published, so that facts have something to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dicom_ai_node.training.augment import Warp, warp
from dicom_ai_node.training.body import FEMALE, MALE, UNTOLD
from dicom_ai_node.training.made import blob, blurred, grain

CLASSES = 4
USUAL, LOWERED, DEFECT, MASS = range(CLASSES)

AIR_HU = -1000.0
SCALP_PART = 0.12
"""Uptake of the head around the brain, as a part of that of the brain."""

FRONTAL_PER_YEAR = 0.004
"""By how much of itself the uptake of the frontal lobes falls with each year above `YOUNG`.

The size is that of the falls that are published, a few percent in ten years (D. Kuhl et al.,
J Cereb Blood Flow Metab 2, 1982: 163); the exact value is ours.
"""
YOUNG = 45.0

LOBES: Mapping[str, tuple[float, float, float]] = {
    "frontal": (0.6, 0.14, 0.25),
    "parietal": (0.75, 0.72, 0.22),
    "temporal": (0.3, 0.45, 0.1),
    "occipital": (0.5, 0.9, 0.35),
}
"""Places in the box of the brain: from its foot, from its front, from its side."""

MEMORY = {USUAL: (28.3, 1.4), LOWERED: (22.0, 4.0), DEFECT: (26.0, 2.5), MASS: (26.5, 2.5)}
"""Mean and deviation of the Mini-Mental State (0 to 30) of each class; made."""
OLDER_YEARS = {USUAL: 0.0, LOWERED: 9.0, DEFECT: 6.0, MASS: -2.0}

TURNED = Warp(degrees=7, zoom=(0.92, 1.08), shift=0.03, stretch=1.08, mirror=(-1,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Brain:
    """A head on one grid: (slices from the feet, rows from the front, columns from the right).

    `uptake` is 1 in the mean of the brain, `hu` the CT, `inside` what the skull encloses.
    """

    uptake: NDArray[np.float32]
    hu: NDArray[np.float32]
    inside: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBrain:
    """A made case: PET in SUV by body weight, CT in HU, what is told, and its class."""

    suv: NDArray[np.float32]
    hu: NDArray[np.float32]
    told: Mapping[str, float | None]
    label: int


def box_of(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first and the last place of a mask along each axis, without a few outliers."""
    places = np.argwhere(mask)
    return np.percentile(places, 0.3, axis=0), np.percentile(places, 99.7, axis=0)


def laid_in(
    template: NDArray[np.float32], brain: NDArray[np.bool_], inside: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return a template on the grid of `inside`, the box of its brain on the box of the skull's.

    No registration: each axis is stretched by itself. Outside of the skull nothing is taken over.
    """
    (low, high), (first, last) = box_of(brain), box_of(inside)
    scale = (high - low) / (last - first)
    values = ndimage.affine_transform(
        template, np.diag(scale), offset=low - scale * first, output_shape=inside.shape, order=1
    )
    mean = float(values[inside].mean())
    return np.where(inside, values / mean, 0).astype(np.float32)


def with_scalp(brain: Brain, spacing_mm: Sequence[float]) -> Brain:
    """Return the brain with the little that the rest of a head takes up, seen by a scanner."""
    tissue = (brain.hu > -300) & ~brain.inside  # noqa: PLR2004 (HU: no air)
    around = blurred(tissue.astype(np.float32), 6, spacing_mm) * np.float32(SCALP_PART)
    return replace(brain, uptake=brain.uptake + around * ~brain.inside)


def made_brain(
    head: Brain, label: int, spacing_mm: Sequence[float], random: np.random.Generator
) -> MadeBrain:
    """Return the head as a made case of a class, of a made person."""
    age = float(np.clip(random.normal(62 + OLDER_YEARS[label], 13), 25, 95))
    here = _aged(_turned(head, random), age)
    disease = {LOWERED: _lowered, DEFECT: _with_defect, MASS: _with_mass}.get(label)
    if disease is not None:
        here = disease(here, spacing_mm, random)
    level = 7.0 * np.exp(random.normal(0, 0.25))
    seen = blurred(here.uptake, random.uniform(2, 6), spacing_mm)
    seen = seen + random.uniform(0.01, 0.05) * grain(seen.shape, 7, spacing_mm, random)
    hu = np.where(here.inside, here.hu + 1.5 * grain(here.hu.shape, 6, spacing_mm, random), here.hu)
    return MadeBrain(
        suv=np.clip(seen * level, 0, None).astype(np.float32),
        hu=hu.astype(np.float32),
        told=_told(label, age, random),
        label=label,
    )


def _told(label: int, age: float, random: np.random.Generator) -> dict[str, float | None]:
    mean, deviation = MEMORY[label]
    memory = float(np.clip(round(random.normal(mean, deviation)), 5, 30))
    sex = float(random.choice([FEMALE, MALE]))
    facts = {"age": round(age), "sex": sex, "memory": memory}
    return {name: None if random.uniform() < UNTOLD else facts[name] for name in facts}


def _turned(head: Brain, random: np.random.Generator) -> Brain:
    seed = torch.Generator().manual_seed(int(random.integers(2**31)))
    images = torch.from_numpy(np.stack([head.uptake, head.hu - np.float32(AIR_HU)]))[None]
    turned, marks = warp(images, torch.from_numpy(head.inside)[None].long(), TURNED, seed)
    uptake, hu = turned[0].numpy()
    return Brain(uptake=uptake, hu=hu + np.float32(AIR_HU), inside=marks[0].numpy() > 0)


def _aged(here: Brain, age: float) -> Brain:
    low, high = box_of(here.inside)
    along = (np.arange(here.inside.shape[1]) - low[1]) / (high[1] - low[1])
    frontal = np.clip(1.4 - 2.5 * along, 0, 1)[None, :, None]
    fall = np.clip(FRONTAL_PER_YEAR * (age - YOUNG), -0.08, 0.2)
    return replace(here, uptake=(here.uptake * (1 - fall * frontal)).astype(np.float32))


def _spot(
    here: Brain, place: Sequence[float], radius_mm: float, spacing_mm: Sequence[float]
) -> NDArray[np.float32]:
    """Return a soft ball, 1 in its middle, at a place of the box of the brain."""
    low, high = box_of(here.inside)
    centre = low + np.asarray(place) * (high - low)
    grids = np.ogrid[tuple(slice(0, n) for n in here.inside.shape)]
    squares = sum(((g - c) * s) ** 2 for g, c, s in zip(grids, centre, spacing_mm, strict=True))
    return np.asarray(np.exp(-squares / (2 * (radius_mm / 1.5) ** 2)), np.float32)


def _lowered(here: Brain, spacing_mm: Sequence[float], random: np.random.Generator) -> Brain:
    """Lower one or two lobes on both sides, one side more; the CT shows nothing of it."""
    uptake = here.uptake
    for name in random.choice(list(LOBES), int(random.integers(1, 3)), replace=False):
        up, back, aside = LOBES[name]
        depth, radius = random.uniform(0.18, 0.45), random.uniform(22, 38)
        sides = [1.0, random.uniform(0.2, 1.0)]
        random.shuffle(sides)
        for side, part in zip((aside, 1 - aside), sides, strict=True):
            spot = _spot(here, (up, back, side), radius, spacing_mm)
            uptake = uptake * (1 - np.float32(depth * part) * spot)
    return replace(here, uptake=uptake)


def _place(
    here: Brain, margin_mm: float, spacing_mm: Sequence[float], random: np.random.Generator
) -> Sequence[float]:
    depth = ndimage.distance_transform_edt(here.inside, sampling=spacing_mm)
    warm = here.uptake > 0.8 * float(np.median(here.uptake[here.inside]))
    places = np.argwhere((depth > margin_mm) & warm)
    return [float(at) for at in places[int(random.integers(len(places)))]]


def _shifted(
    soft: NDArray[np.float32], spacing_mm: Sequence[float], random: np.random.Generator
) -> NDArray[np.float32]:
    """Return what the CT sees of a spot: the head has moved by up to 2 mm since."""
    moved = random.uniform(-2, 2, 3) / np.asarray(spacing_mm)
    return np.asarray(ndimage.shift(soft, moved, order=1), np.float32)


def _with_defect(here: Brain, spacing_mm: Sequence[float], random: np.random.Generator) -> Brain:
    """Take away the uptake of a lump of brain, which is dark in the CT: an old infarct."""
    centre = _place(here, 6, spacing_mm, random)
    lump = blob(here.hu.shape, centre, random.uniform(12, 26), spacing_mm, random) & here.inside
    soft = blurred(lump.astype(np.float32), 6, spacing_mm)
    dark = _shifted(blurred(lump.astype(np.float32), 4, spacing_mm), spacing_mm, random)
    return replace(
        here,
        uptake=here.uptake * (1 - np.float32(random.uniform(0.55, 0.95)) * soft),
        hu=here.hu - here.inside * dark * np.float32(random.uniform(10, 24)),
    )


def _with_mass(here: Brain, spacing_mm: Sequence[float], random: np.random.Generator) -> Brain:
    """Put in a lump that takes up more than cortex, a little dense, with oedema around it."""
    centre = _place(here, 9, spacing_mm, random)
    radius = random.uniform(7, 15)
    lump = blob(here.hu.shape, centre, radius, spacing_mm, random) & here.inside
    wide = blob(here.hu.shape, centre, radius + random.uniform(5, 15), spacing_mm, random)
    soft = blurred(lump.astype(np.float32), 6, spacing_mm)
    oedema = blurred((wide & here.inside).astype(np.float32), 6, spacing_mm) * (1 - soft)
    cortex = float(np.percentile(here.uptake[here.inside], 90))
    hot = np.float32(cortex * random.uniform(1.25, 2.2))
    uptake = here.uptake * (1 - np.float32(random.uniform(0.1, 0.3)) * oedema)
    dense = soft * np.float32(random.uniform(2, 12)) - oedema * np.float32(random.uniform(6, 14))
    return replace(
        here,
        uptake=uptake + soft * np.clip(hot / max(float(soft.max()), 0.3) - uptake, 0, None),
        hu=(here.hu + here.inside * _shifted(dense, spacing_mm, random)).astype(np.float32),
    )
