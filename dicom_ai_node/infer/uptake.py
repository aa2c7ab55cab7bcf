"""How much of a tracer a structure has taken up: the numbers that PET reports are made of."""

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from scipy import ndimage

from dicom_ai_node.domain.findings import Measurement, Segment, Segmentation
from dicom_ai_node.domain.image import Image, Volume
from dicom_ai_node.infer.suv import SUVBW

SUV_BODY_WEIGHT = Code("126401", "DCM", "SUVbw")
METABOLIC_VOLUME = Code("126032", "DCM", "Metabolic Volume")
TOTAL_LESION_GLYCOLYSIS = Code("126033", "DCM", "Total Lesion Glycolysis")
MEAN = Code("373098007", "SCT", "Mean")
MAXIMUM = Code("56851009", "SCT", "Maximum")
PEAK = Code("126031", "DCM", "Peak Value Within ROI")

SUV = Code(SUVBW, "UCUM", "Standardized Uptake Value body weight")
CUBIC_CENTIMETRE = Code("cm3", "UCUM", "cubic centimeter")
GRAM = Code("g", "UCUM", "gram")

PEAK_CM3 = 1.0
"""Volume of the ball over which the peak is averaged, as in PERCIST (Wahl et al. 2009)."""


def uptake(
    segmentation: Segmentation, image: Image, segment: Segment
) -> tuple[list[Measurement], list[str]]:
    """Measure SUVmax, SUVmean, SUVpeak, metabolic volume and total lesion glycolysis.

    Total lesion glycolysis is SUVmean times metabolic volume. All parts of the segment count
    together, the maximum and the peak are those of the hottest one.
    """
    if image.unit != SUVBW or not isinstance(image, Volume):
        return [], [f"{segment.label}: no uptake, the image is no volume in SUV"]
    mask = segmentation.labels == segment.number
    cm3 = int(mask.sum()) * image.geometry.voxel_cm3
    valid = np.ones_like(mask) if image.valid is None else image.valid
    values = image.array[mask & valid].astype(np.float64)
    if not values.size:
        return [], [f"{segment.label}: no uptake, all of it is padding"]
    mean = float(values.mean())
    found = [
        (SUV_BODY_WEIGHT, float(values.max()), SUV, MAXIMUM),
        (SUV_BODY_WEIGHT, mean, SUV, MEAN),
        (SUV_BODY_WEIGHT, peak(image, mask, valid), SUV, PEAK),
        (METABOLIC_VOLUME, cm3, CUBIC_CENTIMETRE, None),
        (TOTAL_LESION_GLYCOLYSIS, mean * cm3, GRAM, None),
    ]
    return [
        Measurement(
            concept=concept, value=value, unit=unit, of=segment.number, derivation=derivation
        )
        for concept, value, unit, derivation in found
    ], []


def peak(image: Volume, mask: NDArray[np.bool_], valid: NDArray[np.bool_]) -> float:
    """Return the highest mean of any ball of 1 cm3 whose middle is a pixel of `mask`.

    The ball may reach out of the mask, but padding and what lies outside of the image is left
    out. A pixel belongs to it if its centre does.
    """
    radius_mm = (PEAK_CM3 * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    reach = [int(radius_mm // step) for step in image.geometry.spacing_mm]
    places = np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij")
    steps = np.stack(places, axis=-1) @ image.geometry.affine[:3, :3].T
    ball = np.linalg.norm(steps, axis=-1) <= radius_mm
    window = tuple(
        slice(max(int(where.min()) - n, 0), int(where.max()) + n + 1)
        for where, n in zip(np.nonzero(mask), reach, strict=True)
    )
    inside = valid[window].astype(np.float64)
    sums = ndimage.convolve(image.array[window] * inside, ball.astype(float), mode="constant")
    counts = ndimage.convolve(inside, ball.astype(float), mode="constant")
    means = sums[mask[window]] / np.maximum(counts[mask[window]], 1)
    return float(means.max())
