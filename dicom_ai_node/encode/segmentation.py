"""Findings as a binary segmentation, PS3.3 A.51: what every viewer of segmentations shows."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.segments import labels_by_frame, segmentation_header, segments_on, split


def encode(findings: Findings, origin: Origin) -> Sequence[Dataset]:
    """Return one BINARY segmentation, several if it grows too large, none if nothing was found.

    Raises
    ------
    TaskFailed
        If the findings name a frame that is none of the sources.
    """
    found = findings.segmentation
    if found is None:
        return []
    on_frames = labels_by_frame(found.labels)
    wanted = [
        (segment, np.flatnonzero(on_frames[:, segment.number]).tolist())
        for segment in segments_on(found, on_frames)
    ]
    objects = []
    for index, part in enumerate(split(wanted)):
        seg = segmentation_header(origin, found, part, "segmentation", index)
        seg.SegmentationType = "BINARY"
        seg.SegmentsOverlap = "NO"
        seg.BitsAllocated, seg.BitsStored, seg.HighBit = 1, 1, 0
        frames = (
            found.labels[plane] == part.segments[segment or 0].number
            for segment, plane in part.frames
        )
        seg.PixelData = _packed(frames, seg.Rows * seg.Columns)
        seg["PixelData"].VR = "OB"
        objects.append(seg)
    return objects


def _packed(frames: Iterable[NDArray[np.bool_]], pixels: int) -> bytes:
    """Return one bit per pixel, frame after frame without a gap, PS3.5 8.2 and annex D."""
    if pixels % 8:
        frames = [np.concatenate([frame.ravel() for frame in frames])]
    packed = b"".join(np.packbits(frame.ravel(), bitorder="little").tobytes() for frame in frames)
    return packed + b"\0" * (len(packed) % 2)
