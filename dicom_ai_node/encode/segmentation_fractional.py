"""Findings as a fractional segmentation, PS3.3 A.51: how sure the model is, pixel by pixel."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.segments import found_segments, planes_with, segmentation_header, split

MOST = 255
"""The stored value of certainty, Maximum Fractional Value (0062,000E)."""


def encode(findings: Findings, origin: Origin) -> Sequence[Dataset]:
    """Return one FRACTIONAL segmentation of probabilities, several if it grows too large.

    None if nothing was found. Only segments that were found are in it, each with all frames on
    which its probability does not round to 0 of 255.

    Raises
    ------
    TaskFailed
        If the task gave labels and no probabilities, or names a frame that is none of the sources.
    """
    found = findings.segmentation
    segments = found_segments(findings)
    if found is None or not segments:
        return []
    if found.probabilities is None:
        raise TaskFailed("a fractional segmentation needs probabilities, and the task gave none")
    place = {segment.number: index for index, segment in enumerate(found.segments)}
    stored = {
        segment.number: _stored(found.probabilities[place[segment.number]]) for segment in segments
    }
    wanted = [(segment, planes_with(stored[segment.number] > 0)) for segment in segments]
    objects = []
    for index, part in enumerate(split(wanted)):
        seg = segmentation_header(origin, found, part, "segmentation_fractional", index)
        seg.SegmentationType = "FRACTIONAL"
        seg.SegmentationFractionalType = "PROBABILITY"
        seg.MaximumFractionalValue = MOST
        seg.SegmentsOverlap = "YES" if len(part.segments) > 1 else "NO"
        seg.BitsAllocated, seg.BitsStored, seg.HighBit = 8, 8, 7
        pixels = b"".join(
            stored[part.segments[segment or 0].number][plane].tobytes()
            for segment, plane in part.frames
        )
        seg.PixelData = pixels + b"\0" * (len(pixels) % 2)
        seg["PixelData"].VR = "OB"
        objects.append(seg)
    return objects


def _stored(probabilities: NDArray[np.float16]) -> NDArray[np.uint8]:
    """Return 0..1 as 0..255; what is no number is no probability."""
    known = np.nan_to_num(probabilities.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    stored: NDArray[np.uint8] = np.rint(np.clip(known, 0, 1) * MOST).astype(np.uint8)
    return stored
