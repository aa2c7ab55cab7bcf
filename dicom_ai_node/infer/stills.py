"""Projections, ultrasound and cines: images that are looked at one by one."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import Frames, SourceFrame
from dicom_ai_node.domain.progress import done
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.colour import FULL_SCALE, luma
from dicom_ai_node.infer.pixels import Decoded, check_size, decoded_frames
from dicom_ai_node.infer.planes import Plane, frame_count
from dicom_ai_node.infer.stacks import eligible
from dicom_ai_node.infer.ultrasound import Calibrated, calibrated, times_ms
from dicom_ai_node.infer.units import NO_UNIT
from dicom_ai_node.infer.xray import check_presentable, is_frontal, pixel_spacing_mm, presented

_ULTRASOUND: Final = frozenset({"US", "IVUS"})
_SLIDE: Final = "SM"


@dataclass(frozen=True, slots=True)
class _Image:
    """One instance and what its pixels measure."""

    header: Dataset
    calibrated: Calibrated

    @property
    def frames(self) -> int:
        return frame_count(self.header)

    @property
    def is_ultrasound(self) -> bool:
        return self.header.get("Modality") in _ULTRASOUND


def read_frames(
    headers: Sequence[Dataset], options: Mapping[str, Option], max_pixels_bytes: int
) -> Frames:
    """Return the frames of a series in 0..255; see `read.read_series`.

    One cine is one candidate; single images of equal size and calibration are one together. The
    candidate with the most frames is read. The option `views: frontal` leaves out X-rays that
    are not, or do not say that they are, taken from the front or the back.
    """
    planes, notes = eligible([Plane(ds) for ds in headers], options)
    images = [_image(plane.ds, options) for plane in planes]
    chosen, left_out = _largest(_of_view(images, options))
    notes += (f"{left_out} other frames left out",) if left_out else ()
    check_size([image.header for image in chosen], max_pixels_bytes)
    array, valid = _filled(chosen, options)
    times, time_notes = times_ms(chosen[0].header)
    facts = chosen[0].calibrated
    return Frames(
        array=array,
        unit=NO_UNIT,
        sources=tuple(
            SourceFrame(SOPInstanceUID(str(image.header.SOPInstanceUID)), number)
            for image in chosen
            for number in range(1, image.frames + 1)
        ),
        spacing_mm=facts.spacing_mm,
        region=facts.region,
        times_ms=times,
        valid=valid,
        notes=notes + facts.notes + time_notes,
    )


def _image(header: Dataset, options: Mapping[str, Option]) -> _Image:
    if header.get("Modality") == _SLIDE:
        raise Rejected(RejectCode.PIX_UNSUPPORTED, "tiles of a slide are no frames")
    if header.get("Modality") in _ULTRASOUND:
        return _Image(header, calibrated(header, options))
    check_presentable(header)
    spacing_mm, note = pixel_spacing_mm(header)
    region = (0, int(header.Rows), 0, int(header.Columns))
    return _Image(header, Calibrated(region, spacing_mm, (note,) if note else ()))


def _of_view(images: Sequence[_Image], options: Mapping[str, Option]) -> Sequence[_Image]:
    if options.get("views") != "frontal":
        return images
    frontal = [image for image in images if is_frontal(image.header)]
    if not frontal:
        raise Rejected(RejectCode.IN_COVERAGE, "no frontal view")
    return frontal


def _largest(images: Sequence[_Image]) -> tuple[list[_Image], int]:
    """Return the images that are read together, in order, and how many frames are not."""
    candidates: dict[Hashable, list[_Image]] = {}
    for image in images:
        candidates.setdefault(_kind(image), []).append(image)
    by_size = sorted(candidates.values(), key=_frames_in, reverse=True)
    if len(by_size) > 1 and _frames_in(by_size[0]) == _frames_in(by_size[1]):
        raise Rejected(
            RejectCode.GEO_MIXED,
            f"{len(by_size)} images or cines that differ, none has the most frames",
        )
    chosen = sorted(by_size[0], key=_place)
    return chosen, _frames_in(images) - _frames_in(chosen)


def _kind(image: _Image) -> Hashable:
    if image.frames > 1:
        return str(image.header.SOPInstanceUID)
    header = image.header
    return header.SOPClassUID, header.Rows, header.Columns, image.calibrated


def _frames_in(images: Sequence[_Image]) -> int:
    return sum(image.frames for image in images)


def _place(image: _Image) -> tuple[int, str]:
    number = "".join(Plane(image.header).texts("InstanceNumber"))
    return int(number) if number.isdecimal() else 0, str(image.header.SOPInstanceUID)


def _filled(
    images: Sequence[_Image], options: Mapping[str, Option]
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Decode every frame into its place; one frame at a time is in memory beside the array."""
    first = images[0].header
    shape = (_frames_in(images), int(first.Rows), int(first.Columns))
    array = np.empty(shape, np.float32)
    valid: NDArray[np.bool_] | None = None
    at = 0
    for image in images:
        for decoded in decoded_frames(image.header):
            array[at], frame_valid = _shown(image, decoded, options)
            if frame_valid is not None:
                valid = np.ones(shape, np.bool_) if valid is None else valid
                valid[at] = frame_valid
            at += 1
            done(at / len(array))
    return array, valid


def _shown(
    image: _Image, decoded: Decoded, options: Mapping[str, Option]
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Return one frame in 0..255, more is brighter, and where it is valid."""
    if decoded.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return luma(decoded, image.header), None
    if not image.is_ultrasound:
        return presented(image.header, decoded.values, options)
    full = 2 ** int(image.header.BitsStored) - 1
    shown = decoded.values.astype(np.float32) * np.float32(FULL_SCALE / full)
    if decoded.photometric == "MONOCHROME1":
        shown = FULL_SCALE - shown
    return shown, None
