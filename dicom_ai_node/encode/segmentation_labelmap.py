"""Findings as a label map segmentation, PS3.3 A.51 and Supplement 243: one frame for all segments.

Many times smaller and faster to make than the binary form, for destinations that take its SOP
class. DCMTK 3.6.7 and Orthanc 1.10.1 do not, for example.
"""

import struct
from collections.abc import Sequence

import imagecodecs
import numpy as np
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.uid import UID, RLELossless

from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.provenance import concept
from dicom_ai_node.encode.segments import (
    MOST_FRAMES,
    Part,
    labels_by_frame,
    segmentation_header,
    segments_on,
)

LABEL_MAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
_RLE_HEADER = struct.pack("<16L", 1, 64, *[0] * 14)
"""How many segments a frame has, and where each begins."""


def encode(findings: Findings, origin: Origin) -> Sequence[Dataset]:
    """Return one LABELMAP segmentation, RLE compressed, or none if nothing was found.

    A segment keeps the number that the model gives it, and the background is segment 0. Raises
    `TaskFailed` if the findings name a frame that is none of the sources.
    """
    found = findings.segmentation
    if found is None:
        return []
    on_frames = labels_by_frame(found.labels)
    segments = segments_on(found, on_frames)
    if not segments:
        return []
    labelled = np.flatnonzero(on_frames[:, 1:].any(axis=1)).tolist()
    objects = []
    for index, start in enumerate(range(0, len(labelled), MOST_FRAMES)):
        chunk = labelled[start : start + MOST_FRAMES]
        part = Part(segments, tuple((None, plane) for plane in chunk))
        seg = segmentation_header(origin, found, part, "segmentation_labelmap", index)
        seg.SOPClassUID = seg.file_meta.MediaStorageSOPClassUID = LABEL_MAP_STORAGE
        seg.SegmentationType = "LABELMAP"
        seg.SegmentsOverlap = "NO"
        seg.SegmentSequence.insert(0, _background())
        seg.PixelPaddingValue = 0
        seg["PixelPaddingValue"].VR = "US"
        seg.BitsAllocated, seg.BitsStored, seg.HighBit = 8, 8, 7
        frames = [_compressed(found.labels[plane]) for plane in chunk]
        seg.file_meta.TransferSyntaxUID = RLELossless
        seg.PixelData = encapsulate(frames)
        seg["PixelData"].VR = "OB"
        seg["PixelData"].is_undefined_length = True
        objects.append(seg)
    return objects


def _background() -> Dataset:
    """Return the item of segment 0: what is none of the others."""
    item = Dataset()
    item.SegmentNumber = 0
    item.SegmentLabel = "Background"
    item.SegmentedPropertyCategoryCodeSequence = [concept(codes.DCM.Background)]
    item.SegmentedPropertyTypeCodeSequence = [concept(codes.DCM.Background)]
    item.SegmentAlgorithmType = "AUTOMATIC"
    item.SegmentAlgorithmName = "Background"
    item.RecommendedDisplayCIELabValue = list(CIELabColor(0, 0, 0).value)
    return item


def _compressed(frame: NDArray[np.uint8]) -> bytes:
    """Return one frame as RLE Lossless, PS3.5 Annex G: one segment, no run beyond a row."""
    runs = bytes(imagecodecs.packbits_encode(frame, axis=-1))
    return _RLE_HEADER + runs + b"\0" * (len(runs) % 2)
