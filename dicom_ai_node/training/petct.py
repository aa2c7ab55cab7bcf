"""Made lesions in a real PET/CT: what a network can learn from where there are few patients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dicom_ai_node.training.augment import Warp, warp
from dicom_ai_node.training.made import blob, blurred, grain

AIR_HU, LUNG_HU = -1000.0, -500.0
APART_MM = 20.0
"""A made lesion has its middle at least this far from any other."""
TURNED = Warp(degrees=15, zoom=(0.85, 1.2), shift=0.05, mirror=(-1, -2, -3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """PET in SUV and CT in HU on one grid, (slices, rows, columns), with what experts drew."""

    suv: NDArray[np.float32]
    hu: NDArray[np.float32]
    lesion: NDArray[np.bool_]


def outline_part(where: Patient) -> float:
    """Return at which part of the way from lung to maximum the experts drew their outline."""
    lung = float(np.median(where.suv[where.hu < LUNG_HU]))
    top = float(where.suv[where.lesion].max())
    parts = np.arange(0.1, 0.6, 0.01)
    scores = [overlap(where.suv >= lung + part * (top - lung), where.lesion) for part in parts]
    return round(float(parts[int(np.argmax(scores))]), 2)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the Dice overlap of two masks; two empty ones agree."""
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A patient with a made lesion: `made` is its outline, `lesion` all outlines together."""

    patient: Patient
    made: NDArray[np.bool_]


def with_lesion(
    where: Patient, part: float, spacing_mm: Sequence[float], random: np.random.Generator
) -> Made:
    """Put a made lesion into a lung: hot in the PET, mostly dense in the CT.

    The lump takes up FDG evenly or in grains, some with a cold core; a scanner of 5 to 8 mm sees
    it. Its outline is where experts would draw it, `part` of the way up to its maximum. Its CT
    has breathed by up to 4 mm.
    """
    free = ndimage.distance_transform_edt(~where.lesion, sampling=spacing_mm) > APART_MM
    lung = (where.hu < LUNG_HU) & (where.suv > 0.3 * np.median(where.suv))
    places = np.argwhere(ndimage.binary_dilation(lung, iterations=2) & free)
    if not len(places):
        return Made(patient=where, made=np.zeros_like(where.lesion))
    centre = places[random.integers(len(places))]
    lump = blob(where.suv.shape, centre, 4 * 3 ** random.uniform(0, 1), spacing_mm, random)
    width_mm = random.uniform(5, 8)
    hot = lump * (1 + 0.25 * grain(lump.shape, 6, spacing_mm, random))
    if random.uniform() < 0.2:  # noqa: PLR2004 - a cold core
        hot = hot * (1 - 0.8 * ndimage.binary_erosion(lump, iterations=round(4 / spacing_mm[0])))
    seen = blurred(np.clip(hot, 0, None), width_mm, spacing_mm)
    top = max(float(seen.max()), 1e-6)
    wanted = float(np.median(where.suv[lung])) * 2.5 * 8 ** random.uniform(0, 1)
    suv = where.suv * (1 - blurred(lump.astype(np.float32), width_mm, spacing_mm))
    suv += seen / top * wanted
    made = ndimage.binary_fill_holes(seen >= part * top)
    shift = random.uniform(-4, 4, 3) / np.asarray(spacing_mm)
    dense = blurred(ndimage.shift(lump.astype(np.float32), shift, order=1), 2, spacing_mm)
    hu = where.hu + dense * (random.choice([30, -100, -400]) - where.hu)
    whole = Patient(suv=suv, hu=hu.astype(np.float32), lesion=where.lesion | made)
    return Made(patient=whole, made=made)


def with_organ(where: Patient, spacing_mm: Sequence[float], random: np.random.Generator) -> Patient:
    """Put something large and dense at a border that takes up more than lung, as a heart does."""
    shape = where.suv.shape
    centre = [random.uniform(0, length - 1) for length in shape]
    axis = random.integers(1, 3)
    centre[axis] = random.choice([0, shape[axis] - 1])
    lump = blob(shape, centre, random.uniform(20, 45), spacing_mm, random)
    soft = blurred((lump & ~where.lesion).astype(np.float32), 7, spacing_mm)
    level = float(np.median(where.suv)) * 1.5 * 5 ** random.uniform(0, 1)
    suv = where.suv + soft * (level - where.suv)
    return replace(where, suv=suv, hu=np.where(lump & ~where.lesion, np.float32(40), where.hu))


def varied(
    where: Patient, part: float, spacing_mm: Sequence[float], random: np.random.Generator
) -> Patient:
    """Return the patient turned, with noise, another uptake and, mostly, made lesions."""
    seed = torch.Generator().manual_seed(int(random.integers(2**31)))
    images = torch.from_numpy(np.stack([where.suv, where.hu - AIR_HU]))[None]
    turned, marks = warp(images, torch.from_numpy(where.lesion)[None].long(), TURNED, seed)
    suv, hu = turned[0].numpy()
    here = Patient(suv=suv, hu=hu + AIR_HU, lesion=marks[0].numpy() > 0)
    if random.uniform() < 0.6:  # noqa: PLR2004
        here = with_organ(here, spacing_mm, random)
    for _ in range(random.integers(0, 3)):
        here = with_lesion(here, part, spacing_mm, random).patient
    if random.uniform() < 0.5:  # noqa: PLR2004 - a dense spot that takes up nothing
        cold = with_lesion(here, part, spacing_mm, random)
        here = replace(here, hu=cold.patient.hu)
    level = random.uniform(0, 0.12) * float(np.median(here.suv))
    noise = level * grain(here.suv.shape, 6, spacing_mm, random)
    return replace(here, suv=np.clip(here.suv + noise, 0, None))


def drawn(pool: Sequence[Patient], random: np.random.Generator) -> Patient:
    """Return one of a pool, mirrored at random and with another uptake as a whole."""
    one = pool[int(random.integers(len(pool)))]
    axes = tuple(axis for axis in range(3) if random.uniform() < 0.5)  # noqa: PLR2004
    gain = np.float32(0.6 * 5 ** random.uniform(0, 1))
    suv, hu = (np.ascontiguousarray(np.flip(array, axes)) for array in (one.suv, one.hu))
    lesion = np.ascontiguousarray(np.flip(one.lesion, axes))
    return Patient(suv=suv * gain, hu=hu, lesion=lesion)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientParts:
    """What is made of two patients: training and validation of one, the test of the other."""

    training: Sequence[Patient]
    validation: Sequence[Patient]
    test: Sequence[Patient]


def patients(recipe: Any, data: Path) -> PatientParts:  # noqa: ANN401 - a module, see `petct_lesion`
    """Return patients on the grid of a model, made as its recipe makes what it learns from."""
    learned, held_out = (
        recipe.coarse(recipe.patient(data, name)) for name in (recipe.LEARNED, recipe.HELD_OUT)
    )
    part, spacing_mm = outline_part(learned), recipe.MODEL_MM

    def made(where: Patient, count: int, seed: int) -> list[Patient]:
        random = np.random.default_rng(seed)
        return [drawn([varied(where, part, spacing_mm, random)], random) for _ in range(count)]

    return PatientParts(
        training=made(learned, 40, 1), validation=made(learned, 30, 2), test=made(held_out, 20, 3)
    )
