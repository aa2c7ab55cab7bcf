"""Made cases for a PET/CT of a lung: dense or not, avid or not, in patients whose blood varies.

Whether a lump counts as avid is settled by what it would take up in an average adult at a blood
glucose of 100 mg/dl. What the PET shows of that depends on the glucose and the build of the made
patient, so that near the threshold nobody can tell without knowing them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dicom_ai_node.training.augment import Warp, warp
from dicom_ai_node.training.body import Body, drawn_body
from dicom_ai_node.training.made import blob, blurred, grain
from dicom_ai_node.training.petct import AIR_HU, LUNG_HU, Patient, with_organ

NO_AIR_HU = -985.0
"""Below there is nothing; above, up to `LUNG_HU`, there is lung."""
CLASSES = 4
NOTHING, AVID_ONLY, DENSE_ONLY, BOTH = range(CLASSES)
AVID_FROM = 2.0
"""SUV by body weight, in an average adult at 100 mg/dl, from which a lump counts as avid."""
RANGE = (0.05, 1.0)
"""How far the logarithm of what a lump takes up lies from that of `AVID_FROM`."""
RADIUS_MM = (6.0, 14.0)
OLDER_YEARS = 8.0
"""Patients with an avid mass are older, in the mean; a made prior."""
LUNG_SUV = 0.45
"""Median uptake of lung to which patients are scaled: 0.3 to 0.6 are usual."""
TURNED = Warp(degrees=20, zoom=(0.85, 1.2), shift=0.08, mirror=(-1, -2, -3))
ERASED_MM = 6.0
"""How far around the drawn outline a real lesion is taken away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lump:
    """A made case: PET in SUV and CT in HU, (slices, rows, columns), of a made patient."""

    suv: NDArray[np.float32]
    hu: NDArray[np.float32]
    body: Body
    label: int


def erased(where: Patient, spacing_mm: Sequence[float], random: np.random.Generator) -> Patient:
    """Return a patient without his lesion: made lung stands in its place, its border is soft."""
    lung = (where.hu < LUNG_HU) & ~where.lesion
    away = ndimage.distance_transform_edt(~where.lesion, sampling=spacing_mm) < ERASED_MM
    soft = np.clip(1.5 * blurred(away.astype(np.float32), ERASED_MM, spacing_mm), 0, 1)
    suv_level, hu_level = float(np.median(where.suv[lung])), float(np.median(where.hu[lung]))
    shape = where.suv.shape
    suv = suv_level * (1 + 0.1 * grain(shape, 7, spacing_mm, random))
    hu = hu_level + 40 * grain(shape, 4, spacing_mm, random)
    return Patient(
        suv=where.suv + soft * (suv - where.suv),
        hu=where.hu + soft * (hu - where.hu),
        lesion=np.zeros_like(where.lesion),
    )


def made_case(
    where: Patient, label: int, spacing_mm: Sequence[float], random: np.random.Generator
) -> Lump:
    """Return the patient, his own lesion erased, as a made case of a class.

    He is turned and mirrored, mostly has an organ at the border, and one spot in or at the lung:
    hot from `AVID_FROM` on or below it, dense or not. Where nothing is, half of the cases have a
    spot that is neither dense nor hot enough.
    """
    body = drawn_body(random, older=OLDER_YEARS * (label == BOTH), inflamed=label == AVID_ONLY)
    here = _turned(where, random)
    if random.uniform() < 0.4:  # noqa: PLR2004
        here = with_organ(here, spacing_mm, random)
    level = LUNG_SUV * np.exp(random.normal(0, 0.2))
    lung = _lung(here)
    background = here.suv * np.float32(level / max(float(np.median(here.suv[lung])), 1e-3))
    here = replace(here, suv=background)
    if label != NOTHING or random.uniform() < 0.5:  # noqa: PLR2004
        here = _with_spot(here, label, body.competed(), spacing_mm, random)
    seen = here.suv * np.float32(body.per_lean)
    noise = random.uniform(0.02, 0.1) * float(np.median(seen))
    seen = np.clip(seen + noise * grain(seen.shape, 6, spacing_mm, random), 0, None)
    return Lump(suv=seen.astype(np.float32), hu=here.hu, body=body, label=label)


def _lung(where: Patient) -> NDArray[np.bool_]:
    lung: NDArray[np.bool_] = (where.hu < LUNG_HU) & (where.hu > NO_AIR_HU)
    return lung


def _turned(where: Patient, random: np.random.Generator) -> Patient:
    seed = torch.Generator().manual_seed(int(random.integers(2**31)))
    images = torch.from_numpy(np.stack([where.suv, where.hu - AIR_HU]))[None]
    marks = torch.from_numpy(where.lesion)[None].long()
    turned, _ = warp(images, marks, TURNED, seed)
    suv, hu = turned[0].numpy()
    # What comes in from outside is air, which takes up a little as the rest does.
    suv = np.where(suv > 0, suv, np.float32(0.2 * np.median(where.suv)))
    return Patient(suv=suv, hu=hu + np.float32(AIR_HU), lesion=np.zeros_like(where.lesion))


def _with_spot(
    where: Patient,
    label: int,
    competed: float,
    spacing_mm: Sequence[float],
    random: np.random.Generator,
) -> Patient:
    lung = ndimage.binary_closing(_lung(where), iterations=2)  # with the vessels in it
    inner = ndimage.binary_erosion(np.ones_like(lung), iterations=2)
    places = np.argwhere(ndimage.binary_erosion(lung) & inner)
    if not len(places):
        places = np.argwhere(inner)
    centre = places[random.integers(len(places))]
    low, high = RADIUS_MM
    radius_mm = low * (high / low) ** random.uniform(0, 1)
    lump = blob(lung.shape, centre, radius_mm, spacing_mm, random)
    away = random.uniform(*RANGE) * (1 if label in {AVID_ONLY, BOTH} else -1)
    wanted = AVID_FROM * np.exp(away) * competed
    seen = blurred(lump * (1 + 0.2 * grain(lump.shape, 6, spacing_mm, random)), 6.5, spacing_mm)
    seen = np.clip(seen / max(float(seen.max()), 1e-6), 0, 1)
    suv = where.suv + seen * np.clip(np.float32(wanted) - where.suv, 0, None)
    hu = where.hu
    if label in {DENSE_ONLY, BOTH}:
        shift = random.uniform(-4, 4, 3) / np.asarray(spacing_mm)
        dense = blurred(ndimage.shift(lump.astype(np.float32), shift, order=1), 2, spacing_mm)
        hu = hu + dense * np.clip(random.uniform(-20, 80) - hu, 0, None)
    elif random.uniform() < 0.5:  # noqa: PLR2004 - a haze, not a mass
        soft = blurred(lump.astype(np.float32), 8, spacing_mm)
        hu = hu + soft * random.uniform(30, 150)
    return replace(where, suv=suv.astype(np.float32), hu=hu.astype(np.float32))
