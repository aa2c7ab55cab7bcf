"""Made bleedings in real head CT: fresh blood in three shapes, and dense things that are none.

Nobody bled here. What is drawn follows what textbooks say of blood of the first days: 50 to 80 HU,
a lens under the bone (epidural), a crescent along it (subdural), a lump with a dark rim of oedema
(intraparenchymal). The noise of the scanner stays: only the smooth part of the tissue gives way.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicom_ai_node.training.made import blob, blurred, grain

BLOOD_HU = (50.0, 80.0)
CALCIUM_HU = (110.0, 400.0)
SOFT_HU = (0.0, 80.0)
"""Tissue inside the skull, water to grey matter and beyond; the rest is bone or metal."""

TISSUE_FWHM_MM = 8.0
"""Detail finer than this is noise and texture, and stays when blood takes the place of tissue."""

SMALLEST_CM2 = 1.0
"""A smaller bleeding is drawn again: nobody would see it in a single slice."""

KNOTS = 5
"""So many places along each side of a slice are moved; all between them follows."""

TRIES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One slice of a head.

    Attributes
    ----------
    hu
        (rows, columns) float32.
    inside
        (rows, columns), what lies inside the skull.
    pixel_mm
        Side of a pixel.
    blood
        (rows, columns), where a bleeding has been drawn; `None` where there is none.
    """

    hu: NDArray[np.float32]
    inside: NDArray[np.bool_]
    pixel_mm: float
    blood: NDArray[np.bool_] | None = None


def varied(head: Head, random: np.random.Generator, reach_mm: float = 4.0) -> Head:
    """Return a head of another shape: every place moved smoothly, by `reach_mm` at one sigma."""
    shape = head.hu.shape
    where = np.indices(shape, dtype=np.float32)
    for axis in range(2):
        knots = random.standard_normal((KNOTS, KNOTS)) * reach_mm / head.pixel_mm
        where[axis] += ndimage.zoom(knots, [length / KNOTS for length in shape], order=3)
    hu = ndimage.map_coordinates(head.hu, where, order=1, mode="nearest")
    inside = ndimage.map_coordinates(head.inside.astype(np.float32), where, order=1) > 0.5  # noqa: PLR2004
    return replace(head, hu=hu.astype(np.float32), inside=inside)


def with_bleeding(head: Head, random: np.random.Generator) -> Head:
    """Draw one bleeding of a random shape, size, place and density."""
    shape = (lens, crescent, lump)[int(random.choice(3, p=[0.25, 0.3, 0.45]))]
    for _ in range(TRIES):
        blood = shape(head, random)
        if blood.sum() * head.pixel_mm**2 >= 100 * SMALLEST_CM2:
            break
    hu = head.hu
    if shape is lump:
        hu = _with_oedema(head, blood, random)
    spacing = (head.pixel_mm, head.pixel_mm)
    # A thick slice holds a part of what lies above and below.
    part = random.uniform(0.8, 1.0)
    soft = blurred(blood.astype(np.float32), random.uniform(1.0, 3.0), spacing) * head.inside * part
    density = random.uniform(*BLOOD_HU) + 2.5 * grain(hu.shape, 5.0, spacing, random)
    return replace(head, hu=_instead(replace(head, hu=hu), soft, density), blood=blood)


def with_distractors(head: Head, random: np.random.Generator) -> Head:
    """Draw what is none: calcium in four of ten heads, streaks in three, an old infarct in two."""
    spacing, hu = (head.pixel_mm, head.pixel_mm), head.hu
    if random.random() < 0.4:  # noqa: PLR2004
        for _ in range(int(random.integers(1, 4))):
            spot = blob(
                hu.shape, _place(head, random, 3.0), random.uniform(1.0, 3.0), spacing, random
            )
            soft = blurred(spot.astype(np.float32), 1.0, spacing) * head.inside
            hu = _instead(replace(head, hu=hu), soft, random.uniform(*CALCIUM_HU))
    if random.random() < 0.3:  # noqa: PLR2004
        hu = _with_streak(replace(head, hu=hu), random)
    if random.random() < 0.2:  # noqa: PLR2004
        scar = blob(hu.shape, _place(head, random, 5.0), random.uniform(5.0, 20.0), spacing, random)
        soft = blurred(scar.astype(np.float32), 4.0, spacing) * head.inside
        hu = hu - soft * np.float32(random.uniform(6.0, 18.0))
    return replace(head, hu=np.asarray(hu, np.float32))


def lens(head: Head, random: np.random.Generator) -> NDArray[np.bool_]:
    """Return an epidural bleeding: bulging inward from the bone."""
    edge, inward = _edge(head, random)
    thick, radius = random.uniform(6.0, 22.0), random.uniform(18.0, 40.0)
    centre = edge + inward * (thick - radius) / head.pixel_mm
    rows, columns = np.ogrid[: head.hu.shape[0], : head.hu.shape[1]]
    away = np.hypot(rows - centre[0], columns - centre[1]) * head.pixel_mm
    return np.asarray((away < radius) & head.inside)


def crescent(head: Head, random: np.random.Generator) -> NDArray[np.bool_]:
    """Return a subdural bleeding: along the bone, thinner towards its two ends."""
    depth = ndimage.distance_transform_edt(head.inside) * head.pixel_mm
    middle = np.argwhere(head.inside).mean(0)
    edge, _ = _edge(head, random)
    rows, columns = np.ogrid[: head.hu.shape[0], : head.hu.shape[1]]
    angle = np.arctan2(rows - middle[0], columns - middle[1])
    turned = angle - np.arctan2(edge[0] - middle[0], edge[1] - middle[1])
    turned = np.abs((turned + np.pi) % (2 * np.pi) - np.pi)
    half = np.radians(random.uniform(25.0, 70.0))
    profile = np.cos(np.clip(turned / half, 0, 1) * np.pi / 2)
    return np.asarray(head.inside & (depth < random.uniform(5.0, 13.0) * profile))


def lump(head: Head, random: np.random.Generator) -> NDArray[np.bool_]:
    """Return an intraparenchymal bleeding: somewhere in the brain, with a bumpy surface."""
    spacing = (head.pixel_mm, head.pixel_mm)
    radius = float(np.exp(random.uniform(np.log(5.0), np.log(22.0))))
    return blob(head.hu.shape, _place(head, random, 6.0), radius, spacing, random) & head.inside


def _with_oedema(
    head: Head, blood: NDArray[np.bool_], random: np.random.Generator
) -> NDArray[np.float32]:
    outside = ndimage.distance_transform_edt(~blood) * head.pixel_mm
    rim = np.clip(1 - outside / random.uniform(3.0, 9.0), 0, 1) * (outside > 0)
    soft = blurred(rim, 3.0, (head.pixel_mm, head.pixel_mm)) * head.inside
    return np.asarray(head.hu - soft * random.uniform(4.0, 14.0), np.float32)


def _with_streak(head: Head, random: np.random.Generator) -> NDArray[np.float32]:
    """Lay a band across the inside, as bone that hardens the beam leaves it."""
    centre, angle = _place(head, random, 0.0), random.uniform(0, np.pi)
    rows, columns = np.ogrid[: head.hu.shape[0], : head.hu.shape[1]]
    across = (rows - centre[0]) * np.cos(angle) + (columns - centre[1]) * np.sin(angle)
    band = np.exp(-0.5 * (across * head.pixel_mm / random.uniform(1.5, 5.0)) ** 2)
    height = random.choice([-1, 1]) * random.uniform(4.0, 12.0)
    return np.asarray(head.hu + band * head.inside * height, np.float32)


def _instead(
    head: Head, part: NDArray[np.floating], density_hu: float | NDArray[np.floating]
) -> NDArray[np.float32]:
    """Put something of `density_hu` in the place of a part, 0..1, of the tissue."""
    spacing = (head.pixel_mm, head.pixel_mm)
    known = (head.inside & (head.hu > SOFT_HU[0]) & (head.hu < SOFT_HU[1])).astype(np.float32)
    weight = np.maximum(blurred(known, TISSUE_FWHM_MM, spacing), 1e-3)
    tissue = blurred(known * head.hu, TISSUE_FWHM_MM, spacing) / weight
    return np.asarray(head.hu + part * (density_hu - tissue), np.float32)


def _place(head: Head, random: np.random.Generator, margin_mm: float) -> tuple[float, float]:
    """Return a pixel inside the skull, `margin_mm` from the bone where there is such a one."""
    depth = ndimage.distance_transform_edt(head.inside) * head.pixel_mm
    places = np.argwhere(depth > min(margin_mm, 0.8 * float(depth.max())))
    row, column = places[int(random.integers(len(places)))]
    return float(row), float(column)


def _edge(
    head: Head, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a pixel at the bone and the unit vector from there inward."""
    depth = ndimage.gaussian_filter(
        ndimage.distance_transform_edt(head.inside), 4.0 / head.pixel_mm
    )
    rim = np.argwhere(head.inside & ~ndimage.binary_erosion(head.inside))
    edge = rim[int(random.integers(len(rim)))]
    slope = np.array([float(g[tuple(edge)]) for g in np.gradient(depth)])
    return edge.astype(np.float64), slope / max(float(np.hypot(*slope)), 1e-6)
