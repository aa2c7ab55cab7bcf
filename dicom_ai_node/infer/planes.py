"""Every frame of a series, with whatever describes it, wherever the instance keeps that.

A single-frame image says all in its data set; an enhanced multi-frame one says it in functional
groups, shared by all frames or given for each, PS3.3 C.7.6.16. A `Plane` answers the same question
for both.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from traceback import walk_tb
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import (
    EnhancedCTImageStorage,
    EnhancedMRColorImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from dicom_ai_node.domain.errors import NodeError, Rejected
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.progress import along
from dicom_ai_node.domain.quick_header import Understood, read_header
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.uids import SOPInstanceUID

ENHANCED: Final = frozenset({
    EnhancedCTImageStorage, EnhancedMRImageStorage, EnhancedMRColorImageStorage,
    EnhancedPETImageStorage, LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage, LegacyConvertedEnhancedPETImageStorage,
})  # fmt: skip
"""Images whose frames have functional groups that place them as slices."""

SECONDARY_CAPTURES: Final = frozenset({
    SecondaryCaptureImageStorage, MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
})  # fmt: skip

_MACROS: Final = (
    "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
    "PixelValueTransformationSequence", "FrameContentSequence", "CTImageFrameTypeSequence",
    "MRImageFrameTypeSequence", "PETFrameTypeSequence", "MRDiffusionSequence", "MREchoSequence",
    "CardiacSynchronizationSequence", "TemporalPositionSequence", "CTReconstructionSequence",
)  # fmt: skip
"""The functional groups that we ask."""

PIXELS_AT: Final = "pixels_at"
"""The attribute of a header that says where in its file the pixel data begins."""

_ALIKE: Final = (
    "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PhotometricInterpretation", "ImageOrientationPatient", "PixelSpacing",
    "SliceThickness", "RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue",
)  # fmt: skip
"""What most slices of a series say in the same words."""

_COUNTS: Final = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored")


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One frame of one instance. `number` starts at 1.

    `own` and `shared` hold the attributes of the frame's and of the instance's functional groups.
    """

    ds: Dataset
    number: int = 1
    own: Mapping[str, Any] = field(default_factory=dict, repr=False)
    shared: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def value(self, keyword: str) -> Any:  # noqa: ANN401 (it is what the element holds)
        """Return the value nearest to the frame, or `None` if absent or empty.

        Raises
        ------
        Rejected
            With GEO_MISSING_ATTRIBUTE if it is there and does not match its VR.
        """
        for place in (self.own, self.shared):
            if keyword in place:
                return place[keyword]
        try:
            value = self.ds.get(keyword)
        except (ValueError, TypeError) as error:
            raise Rejected(RejectCode.GEO_MISSING_ATTRIBUTE, f"{keyword} is malformed") from error
        return None if _is_empty(value) else value

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return the values as capitals without padding; () if there are none."""
        value = self.value(keyword)
        values = [value] if isinstance(value, str) or not _is_many(value) else value
        return tuple(str(item).strip().upper() for item in values if not _is_empty(item))

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Return the values as numbers; () if there are none.

        Raises
        ------
        Rejected
            With GEO_MISSING_ATTRIBUTE if one of them is no finite number.
        """
        value = self.value(keyword)
        values = value if _is_many(value) else [value]
        try:
            numbers = tuple(float(item) for item in values if not _is_empty(item))
        except (TypeError, ValueError) as error:
            raise Rejected(RejectCode.GEO_MISSING_ATTRIBUTE, f"{keyword} is no number") from error
        if not all(math.isfinite(number) for number in numbers):
            raise Rejected(RejectCode.GEO_MISSING_ATTRIBUTE, f"{keyword} is not finite")
        return numbers

    @property
    def image_type(self) -> tuple[str, ...]:
        """FrameType, or ImageType where there is none."""
        return self.texts("FrameType") or self.texts("ImageType")

    @property
    def source(self) -> SourceFrame:
        """Where it came from."""
        return SourceFrame(SOPInstanceUID(str(self.ds.SOPInstanceUID)), self.number)


@contextmanager
def legible() -> Iterator[None]:
    """Say of what pydicom cannot read that it is corrupt: it decodes a value when asked for it.

    What is raised in code of ours stays as it is.

    Raises
    ------
    Rejected
        With PIX_CORRUPT.
    """
    try:
        yield
    except (NodeError, MemoryError):  # where memory is short nothing is known of the series
        raise
    except Exception as error:
        # Anything may come, of any type; where it was raised tells.
        *_, (frame, _) = walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] != "pydicom":
            raise
        raise Rejected(RejectCode.PIX_CORRUPT, "a value in a header cannot be read") from error


def read_headers(paths: Iterable[Path]) -> list[Dataset]:
    """Read everything but the pixels; what is no image is left out.

    Raises
    ------
    Rejected
        With PIX_CORRUPT if a file cannot be parsed or an Image Pixel module makes no sense,
        PIX_UNSUPPORTED if none is an image.
    """
    understood = Understood(_ALIKE)
    read = (_header(path, understood) for path in along(list(paths)))
    headers = [ds for ds in read if ds.get("Rows") and ds.get("Columns")]
    if not headers:
        raise Rejected(RejectCode.PIX_UNSUPPORTED, "the series holds no images")
    for ds in headers:
        _check_image(ds)
    return headers


def planes_of(headers: Sequence[Dataset]) -> list[Plane]:
    """Return every frame of every instance that is a slice.

    Raises
    ------
    Rejected
        With GEO_MULTIFRAME if a multi-frame image has no functional groups, as many groups as it
        has not frames, or is a part of a concatenation whose other parts are not all here.
    """
    _check_concatenations(headers)
    return [plane for ds in headers for plane in _frames_of(ds)]


def frame_count(ds: Dataset) -> int:
    """Return NumberOfFrames, which is 1 where it is absent.

    Raises
    ------
    Rejected
        With PIX_CORRUPT if it is no positive number.
    """
    try:
        value = ds.get("NumberOfFrames")
        count = 1 if _is_empty(value) else int(value)
    except (TypeError, ValueError) as error:
        raise Rejected(RejectCode.PIX_CORRUPT, "NumberOfFrames is no number") from error
    if count < 1:
        raise Rejected(RejectCode.PIX_CORRUPT, "NumberOfFrames is less than 1")
    return count


def _header(path: Path, understood: Understood) -> Dataset:
    try:
        ds, pixels_at = read_header(path, understood=understood)
    except MemoryError:
        raise
    except Exception as error:
        # pydicom raises anything for bytes that are no data set.
        raise Rejected(RejectCode.PIX_CORRUPT, "an instance cannot be parsed") from error
    setattr(ds, PIXELS_AT, pixels_at)
    return ds


def _check_image(ds: Dataset) -> None:
    """Raise unless everything that decoders rely on is there, PS3.3 C.7.6.3."""
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        value = ds.get(keyword)
        if not value or not isinstance(value, str):
            raise Rejected(RejectCode.PIX_CORRUPT, f"{keyword} is absent, or several")
    for keyword in ("Modality", "PhotometricInterpretation"):
        if not isinstance(ds.get(keyword) or "", str):
            raise Rejected(RejectCode.PIX_CORRUPT, f"{keyword} has several values")
    numbers = {keyword: ds.get(keyword) for keyword in _COUNTS}
    wrong = [keyword for keyword, value in numbers.items() if not isinstance(value, int)]
    if wrong:
        raise Rejected(RejectCode.PIX_CORRUPT, f"{', '.join(wrong)} absent or no number")
    allocated, stored = numbers["BitsAllocated"], numbers["BitsStored"]
    high = ds.get("HighBit", stored - 1)
    if not (0 < stored <= allocated and isinstance(high, int) and high < allocated):
        raise Rejected(RejectCode.PIX_CORRUPT, f"{stored} bits up to bit {high} of {allocated}")


def _frames_of(ds: Dataset) -> Iterable[Plane]:
    count = frame_count(ds)
    if ds.get("SOPClassUID") not in ENHANCED:
        if count > 1:
            raise Rejected(
                RejectCode.GEO_MULTIFRAME, "a multi-frame image does not say where its frames lie"
            )
        return [Plane(ds)]
    per_frame = ds.get("PerFrameFunctionalGroupsSequence") or ()
    if len(per_frame) != count:
        raise Rejected(
            RejectCode.GEO_MULTIFRAME,
            f"there are {count} frames and {len(per_frame)} functional groups",
        )
    shared_groups = ds.get("SharedFunctionalGroupsSequence") or ()
    shared = _attributes(shared_groups[0]) if shared_groups else {}
    return [
        Plane(ds, number, _attributes(group), shared)
        for number, group in enumerate(per_frame, start=1)
    ]


def _attributes(group: Dataset) -> Mapping[str, Any]:
    """Return what the macros of one functional group say, by keyword."""
    found: dict[str, Any] = {}
    for macro in _MACROS:
        for item in list(group.get(macro) or ())[:1]:
            try:
                found |= {e.keyword: e.value for e in item if e.keyword and not _is_empty(e.value)}
            except (ValueError, TypeError) as error:
                raise Rejected(RejectCode.GEO_MULTIFRAME, f"{macro} is malformed") from error
    return found


def _check_concatenations(headers: Sequence[Dataset]) -> None:
    """Refuse parts without their whole: each part is an instance of its own, PS3.3 C.7.6.16.2."""
    parts: dict[str, list[Dataset]] = {}
    for ds in headers:
        if ds.get("ConcatenationUID"):
            parts.setdefault(str(ds.ConcatenationUID), []).append(ds)
    for members in parts.values():
        numbers = sorted(int(ds.get("InConcatenationNumber") or 0) for ds in members)
        totals = [int(ds.get("InConcatenationTotalNumber") or 0) for ds in members]
        total = max(totals) or numbers[-1]
        if numbers != list(range(1, total + 1)):
            raise Rejected(
                RejectCode.GEO_MULTIFRAME,
                f"{len(numbers)} parts of a concatenation are here, it has {total}",
            )


def _is_many(value: object) -> bool:
    return isinstance(value, (list, tuple, pydicom.multival.MultiValue))


def _is_empty(value: object) -> bool:
    return value is None or (hasattr(value, "__len__") and len(value) == 0)
