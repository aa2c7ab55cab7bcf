"""A restored image as what its source is: the same SOP class, place and unit, PS3.3 C.7.6.1.1.3.

One instance for every source instance, in a series of its own. What describes how and where the
image was taken is kept; what was true of the old pixels alone is not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
)
from pydicom.valuerep import format_number_as_ds

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.pictures import DerivedPixels
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.copies import copy_of
from dicom_ai_node.encode.identity import add_requests, by_instance, result_headers
from dicom_ai_node.encode.provenance import concept, is_multiframe, source_images
from dicom_ai_node.encode.sides import add_laterality

KIND = "derived_image"


def _tags(*keywords: str) -> frozenset[int]:
    return frozenset(tag for keyword in keywords if (tag := tag_for_keyword(keyword)))


_CLASSES = frozenset({
    CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage,
    ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation,
    UltrasoundImageStorage, UltrasoundMultiFrameImageStorage, XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
})  # fmt: skip
"""Of enhanced images every functional group would have to say that it is derived."""

_DROPPED = _tags(
    "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries", "SmallestImagePixelValueInPlane", "LargestImagePixelValueInPlane",
    "IconImageSequence", "DigitalSignaturesSequence", "MACParametersSequence",
    "OriginalAttributesSequence", "ReferencedImageSequence", "SourceImageSequence",
    "InstanceCreatorUID", "ImageID", "SOPInstanceStatus", "StationName", "DeviceUID",
    "DateOfLastCalibration", "TimeOfLastCalibration", "RequestAttributesSequence",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PlanarConfiguration",
)  # fmt: skip
"""True of the source's pixels, file or equipment, and of nothing that is made from it."""

_KEPT = _tags("SeriesDate", "SeriesTime", "InstanceNumber")
"""Ours to say in other results. PET viewers count decay from the time of the series."""

_IN_PIXELS = (
    "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge", "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge", "CenterOfCircularShutter", "RadiusOfCircularShutter",
    "VerticesOfThePolygonalShutter", "ShutterShape", "ShutterPresentationValue",
    "CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge", "CollimatorUpperHorizontalEdge",
    "CollimatorLowerHorizontalEdge", "CenterOfCircularCollimator", "RadiusOfCircularCollimator",
    "VerticesOfThePolygonalCollimator", "CollimatorShape",
)  # fmt: skip
"""Places counted in pixels that nobody needs; they are left out where pixels have another size."""

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_LONGEST_LO, _LONGEST_ST = 64, 1024


def encode(findings: Findings, origin: Origin) -> Sequence[Dataset]:
    """Return one image for every source instance, or none if nothing was restored.

    Raises
    ------
    TaskFailed
        If a source is of a class that cannot be derived from, not all of its frames were
        restored, or it is a PET whose scale stands in private attributes, which are not copied.
    """
    derived = findings.derived
    if derived is None:
        return []
    known = by_instance(origin.sources)
    places: dict[str, dict[int, int]] = {}
    for place, frame in enumerate(derived.sources):
        places.setdefault(str(frame.sop_instance_uid), {})[frame.number] = place
    if not places.keys() <= known.keys():
        raise TaskFailed("the findings name a frame that is none of the job's inputs")
    headers = result_headers(origin, (known[uid] for uid in places), KIND)
    return [
        _image(origin, known[uid], header, derived, _whole(known[uid], frames))
        for (uid, frames), header in zip(places.items(), headers, strict=True)
    ]


def _whole(source: Dataset, places: Mapping[int, int]) -> list[int]:
    """Return where the frames of an instance lie among the derived ones, in their order."""
    if source.SOPClassUID not in _CLASSES:
        raise TaskFailed("no image can be derived from one of this SOP class")
    if source.get("Modality") == "PT" and source.get("Units") == "CNTS":
        raise TaskFailed("a PET in counts would lose its scale, which is private")
    count = int(source.get("NumberOfFrames") or 1)
    if sorted(places) != list(range(1, count + 1)):
        raise TaskFailed(f"{len(places)} of {count} frames of an instance were restored")
    return [places[number] for number in range(1, count + 1)]


def _image(
    origin: Origin,
    source: Dataset,
    header: Dataset,
    derived: DerivedPixels,
    frames: Sequence[int],
) -> Dataset:
    image = copy_of(source, without=_DROPPED)
    for element in header:
        if element.tag not in _KEPT or not source.get(element.keyword):
            image[element.tag] = element
    image.file_meta = header.file_meta
    image.SeriesDescription = _description(origin, source)
    add_requests(image, source)
    if not source.get("ImageLaterality"):  # then the image says it of itself
        add_laterality(image, source)
    _add_derivation(image, source, origin, derived)
    _drop_empty_tables(image)
    if derived.factor > 1:
        _add_finer_grid(image, derived.factor)
    first, last = frames[0], frames[-1]
    is_run = list(frames) == list(range(first, last + 1))  # then they need not be copied twice
    _add_pixels(image, derived.pixels[first : last + 1] if is_run else derived.pixels[list(frames)])
    return image


def _description(origin: Origin, source: Dataset) -> str:
    """Return what the series is called: its source, then what was done, then how to take it."""
    is_product = origin.content_qualification == "PRODUCT"
    said = f"AI {origin.model.title}{'' if is_product else f' ({origin.content_qualification})'}"
    before = str(source.get("SeriesDescription") or "")[: max(0, _LONGEST_LO - len(said) - 1)]
    return f"{before} {said}".strip()[:_LONGEST_LO].strip()


def _add_derivation(
    image: Dataset, source: Dataset, origin: Origin, derived: DerivedPixels
) -> None:
    values = source.get("ImageType") or []
    kept = [values] if isinstance(values, str) else list(values)
    image.ImageType = ["DERIVED", *(kept[1:] or ["PRIMARY"])]
    model = origin.model
    texts = (
        source.get("DerivationDescription"),
        f"{model.title} by the network {model.name} {model.version}, which changed pixel values",
    )
    image.DerivationDescription = "; ".join(map(str, filter(None, texts)))[-_LONGEST_ST:]
    image.DerivationCodeSequence = [
        *(source.get("DerivationCodeSequence") or ()),
        concept(derived.derivation),
    ]
    image.SourceImageSequence = source_images([source])
    for item in image.SourceImageSequence:
        item.SpatialLocationsPreserved = "YES" if derived.factor == 1 else "NO"


def _drop_empty_tables(image: Dataset) -> None:
    """Leave out LUTs whose entries were too long to be kept in a header."""
    for keyword in ("VOILUTSequence", "ModalityLUTSequence"):
        tables = image.get(keyword)
        if tables is not None and not all("LUTData" in table for table in tables):
            delattr(image, keyword)


def _add_finer_grid(image: Dataset, factor: int) -> None:
    """Let pixels be `factor` times smaller between the same outer borders, PS3.3 C.7.6.2.1.1."""
    for keyword in _IN_PIXELS:
        if keyword in image:
            delattr(image, keyword)
    if image.get("ImagePositionPatient") and image.get("PixelSpacing"):
        # The centre of the first pixel moves toward the corner by half of what the pixel lost.
        down, across = (float(step) * (1 - 1 / factor) / 2 for step in image.PixelSpacing)
        cosines = np.asarray(image.ImageOrientationPatient, np.float64).reshape(2, 3)
        corner = np.asarray(image.ImagePositionPatient, np.float64)
        corner = corner - cosines[0] * across - cosines[1] * down
        image.ImagePositionPatient = [format_number_as_ds(float(value)) for value in corner]
    for keyword in _SPACINGS:
        if image.get(keyword):
            finer = [format_number_as_ds(float(step) / factor) for step in image.get(keyword)]
            setattr(image, keyword, finer)
    for region in image.get("SequenceOfUltrasoundRegions") or ():
        _refine_region(region, factor)


def _refine_region(region: Dataset, factor: int) -> None:
    """Scale an ultrasound region, PS3.3 C.8.5.5: places in pixels, steps per pixel."""
    for axis in "XY":
        for keyword, beyond in (
            (f"RegionLocationMin{axis}0", 0),
            (f"RegionLocationMax{axis}1", factor - 1),
            (f"ReferencePixel{axis}0", 0),
        ):
            if region.get(keyword) is not None:
                setattr(region, keyword, int(region.get(keyword)) * factor + beyond)
        if region.get(f"PhysicalDelta{axis}") is not None:
            step = float(region.get(f"PhysicalDelta{axis}")) / factor
            setattr(region, f"PhysicalDelta{axis}", step)


def _add_pixels(image: Dataset, frames: NDArray[Any]) -> None:
    """Write (frames, rows, columns) or (frames, rows, columns, 3) as PS3.3 C.7.6.3 says."""
    is_colour = frames.ndim == 4  # noqa: PLR2004
    image.Rows, image.Columns = frames.shape[1:3]
    image.SamplesPerPixel = 3 if is_colour else 1
    if is_colour:
        image.PhotometricInterpretation, image.PlanarConfiguration = "RGB", 0
    image.BitsAllocated = frames.itemsize * 8
    image.HighBit = int(image.BitsStored) - 1
    image.PixelRepresentation = int(frames.dtype.kind == "i")
    if is_multiframe(image):
        image.NumberOfFrames = len(frames)
    pixels = frames.astype(frames.dtype.newbyteorder("<"), copy=False).tobytes()
    image.PixelData = pixels + b"\0" if len(pixels) % 2 else pixels
    image["PixelData"].VR = "OB" if frames.itemsize == 1 else "OW"
