"""What can be measured on labels, on the pixels of the source and in real units.

A measure takes labels, the image they belong to and one segment. Nothing is reported in
millimetres where the image has no calibration: then pixels, or ratios that need no unit.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from pydicom.sr.coding import Code

from dicom_ai_node.domain.findings import Measurement, Segment, Segmentation
from dicom_ai_node.domain.image import Frames, Image, Volume
from dicom_ai_node.infer.ellipse import Ellipse, ellipse_around
from dicom_ai_node.infer.suv import SUVBW
from dicom_ai_node.infer.uptake import (
    CUBIC_CENTIMETRE,
    MAXIMUM,
    MEAN,
    SUV,
    SUV_BODY_WEIGHT,
    uptake,
)

AREA = Code("42798000", "SCT", "Area")
VOLUME = Code("118565006", "SCT", "Volume")
LONG_AXIS = Code("103339001", "SCT", "Long axis")
SHORT_AXIS = Code("103340004", "SCT", "Short axis")
HEAD_CIRCUMFERENCE = Code("11984-2", "LN", "Head Circumference")
BIPARIETAL_DIAMETER = Code("11820-8", "LN", "Biparietal Diameter")
OCCIPITAL_FRONTAL_DIAMETER = Code("11851-3", "LN", "Occipital-Frontal Diameter")
CEPHALIC_INDEX = Code("11823-2", "LN", "Cephalic Index")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")

STANDARD_DEVIATION = Code("386136009", "SCT", "Standard Deviation")
MINIMUM = Code("255605001", "SCT", "Minimum")

MILLIMETRE = Code("mm", "UCUM", "mm")
SQUARE_MILLIMETRE = Code("mm2", "UCUM", "square millimeter")
PIXELS = Code("{pixels}", "UCUM", "pixels")
PERCENT = Code("%", "UCUM", "percent")

NO_CALIBRATION = "the image has no calibration: lengths and areas are in pixels or left out"

Measured: TypeAlias = tuple[list[Measurement], list[str]]
"""Measurements of one segment, and notes on what could not be measured."""

_QUANTITIES: Mapping[str, tuple[Code, Code]] = MappingProxyType(
    {
        "[hnsf'U]": (ATTENUATION, Code("[hnsf'U]", "UCUM", "Hounsfield unit")),
        SUVBW: (SUV_BODY_WEIGHT, SUV),
    }
)


def measurements(
    segmentation: Segmentation, image: Image, names: Sequence[str]
) -> tuple[tuple[Measurement, ...], tuple[str, ...]]:
    """Return what the measures called `names` say about every segment, and notes.

    Parameters
    ----------
    segmentation
        Labels on the pixels of `image`.
    names
        Keys of `MEASURES`.
    """
    found: list[Measurement] = []
    notes: list[str] = []
    for segment in segmentation.segments:
        if not (segmentation.labels == segment.number).any():
            notes.append(f"{segment.label}: not found")
            continue
        for name in names:
            measured, remarks = MEASURES[name](segmentation, image, segment)
            found += measured
            notes += [remark for remark in remarks if remark not in notes]
    return tuple(found), tuple(notes)


def area(segmentation: Segmentation, image: Image, segment: Segment) -> Measured:
    """Measure the area in mm2: on every frame, or on the largest section of a stack."""
    found: list[Measurement] = []
    pixel_mm2 = _pixel_mm2(image)
    for frame in _frames_to_measure(segmentation, image, segment):
        pixels = int((segmentation.labels[frame] == segment.number).sum())
        found.append(
            Measurement(
                concept=AREA,
                value=pixels * (pixel_mm2 or 1.0),
                unit=SQUARE_MILLIMETRE if pixel_mm2 else PIXELS,
                of=segment.number,
                frame=segmentation.sources[frame],
                derivation=MAXIMUM if _is_stack(image) else None,
            )
        )
    return found, [] if pixel_mm2 else [NO_CALIBRATION]


def volume(segmentation: Segmentation, image: Image, segment: Segment) -> Measured:
    """Measure the volume in cm3: voxels of a volume, or area by thickness of every slice."""
    mask = segmentation.labels == segment.number
    match image:
        case Volume():
            cm3 = int(mask.sum()) * image.geometry.voxel_cm3
        case Frames(spacing_mm=(row, column), thickness_mm=tuple(thickness)):
            pixels = mask.sum(axis=(1, 2))
            cm3 = float(np.dot(pixels, thickness)) * row * column / 1000
        case _:
            return [], [f"{segment.label}: no volume, the image has no depth or no calibration"]
    measured = Measurement(concept=VOLUME, value=cm3, unit=CUBIC_CENTIMETRE, of=segment.number)
    return [measured], []


def ellipse(segmentation: Segmentation, image: Image, segment: Segment) -> Measured:
    """Measure the axes of the ellipse around the segment in mm, frames as for `area`."""

    def axes(fitted: Ellipse, unit: Code) -> list[tuple[Code, float, Code]]:
        return [(LONG_AXIS, fitted.long_axis, unit), (SHORT_AXIS, fitted.short_axis, unit)]

    return _of_ellipses(segmentation, image, segment, axes)


def head_circumference(segmentation: Segmentation, image: Image, segment: Segment) -> Measured:
    """Measure a fetal head by the ellipse around it: HC, BPD, OFD in mm and the cephalic index.

    The ellipse lies on the outline of the segment, so BPD is outer to outer. Without calibration
    only the cephalic index, which is a ratio, is measured.
    """

    def of_head(fitted: Ellipse, unit: Code) -> list[tuple[Code, float, Code]]:
        index = (CEPHALIC_INDEX, 100 * fitted.short_axis / fitted.long_axis, PERCENT)
        if unit is PIXELS:
            return [index]
        return [
            (HEAD_CIRCUMFERENCE, fitted.perimeter, unit),
            (BIPARIETAL_DIAMETER, fitted.short_axis, unit),
            (OCCIPITAL_FRONTAL_DIAMETER, fitted.long_axis, unit),
            index,
        ]

    return _of_ellipses(segmentation, image, segment, of_head)


def intensity(segmentation: Segmentation, image: Image, segment: Segment) -> Measured:
    """Measure mean, standard deviation, minimum and maximum of valid pixels, in HU or SUV."""
    if image.unit not in _QUANTITIES:
        return [], [f"{segment.label}: no intensities, the values have no unit"]
    concept, unit = _QUANTITIES[image.unit]
    mask = segmentation.labels == segment.number
    if image.valid is not None:
        mask &= image.valid
    values = image.array[mask].astype(np.float64)
    if not values.size:
        return [], [f"{segment.label}: no intensities, all of it is padding"]
    statistics = [
        (MEAN, values.mean()),
        (STANDARD_DEVIATION, values.std()),
        (MINIMUM, values.min()),
        (MAXIMUM, values.max()),
    ]
    return [
        Measurement(
            concept=concept,
            value=float(value),
            unit=unit,
            of=segment.number,
            derivation=derivation,
        )
        for derivation, value in statistics
    ], []


Measure: TypeAlias = Callable[[Segmentation, Image, Segment], Measured]

MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        measure.__name__: measure
        for measure in (area, volume, ellipse, head_circumference, intensity, uptake)
    }
)
"""The names that `measure:` in `configs/dicom.yaml` may use."""


def _of_ellipses(
    segmentation: Segmentation,
    image: Image,
    segment: Segment,
    values: Callable[[Ellipse, Code], list[tuple[Code, float, Code]]],
) -> Measured:
    spacing_mm = _spacing_mm(image)
    unit = MILLIMETRE if spacing_mm else PIXELS
    found: list[Measurement] = []
    notes = [] if spacing_mm else [NO_CALIBRATION]
    for frame in _frames_to_measure(segmentation, image, segment):
        mask = segmentation.labels[frame] == segment.number
        fitted = ellipse_around(mask, spacing_mm or (1.0, 1.0))
        if fitted is None:
            notes.append(f"{segment.label}: too small for an ellipse")
            continue
        found += [
            Measurement(
                concept=concept,
                value=value,
                unit=of_unit,
                of=segment.number,
                frame=segmentation.sources[frame],
            )
            for concept, value, of_unit in values(fitted, unit)
        ]
    return found, notes


def _is_stack(image: Image) -> bool:
    """Return whether the frames are sections through one body."""
    return isinstance(image, Volume) or image.thickness_mm is not None


def _frames_to_measure(segmentation: Segmentation, image: Image, segment: Segment) -> Sequence[int]:
    pixels = (segmentation.labels == segment.number).sum(axis=(1, 2))
    if _is_stack(image):
        return [int(pixels.argmax())]
    return [int(frame) for frame in np.flatnonzero(pixels)]


def _spacing_mm(image: Image) -> tuple[float, float] | None:
    """Return the distance of pixel centres (row, column) in mm, if the image is calibrated."""
    if isinstance(image, Volume):
        return image.geometry.spacing_mm[1:]
    return image.spacing_mm


def _pixel_mm2(image: Image) -> float | None:
    spacing_mm = _spacing_mm(image)
    return spacing_mm[0] * spacing_mm[1] if spacing_mm else None
