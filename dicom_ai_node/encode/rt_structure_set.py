"""Findings as an RT Structure Set, PS3.3 A.19: outlines for those who plan radiotherapy.

Each outline lies in the plane of the source image that it was found on, tilted or not, and runs
along the borders of the pixels: between their centres, half a pixel outside of the outermost.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from dicom_ai_node.domain.findings import Findings, Segment, Segmentation
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.contours import contours
from dicom_ai_node.encode.identity import add_requests, local_time, result_header
from dicom_ai_node.encode.planes import Plane, are_placed, planes
from dicom_ai_node.encode.provenance import concept, reference
from dicom_ai_node.encode.segments import found_segments, planes_with

KIND = "rt_structure_set"
_ANATOMY = "91723000"
"""SNOMED CT Anatomical Structure."""
_STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, the class by which a structure set names a study."""


def encode(findings: Findings, origin: Origin) -> Sequence[Dataset]:
    """Return one structure set with a region for every segment that was found.

    None if nothing was found, or what was found has no place in the patient: an X-ray and an
    ultrasound image have no frame of reference to plan in.

    Raises
    ------
    TaskFailed
        If the findings name a frame that is none of the sources.
    """
    found = findings.segmentation
    segments = found_segments(findings)
    if found is None or not segments:
        return []
    where = planes(found.sources, origin.sources)
    if not are_placed(where):
        return []
    source = where[0].header
    result = _header(origin, source)
    series = [item for item in origin.sources if item.SeriesInstanceUID == source.SeriesInstanceUID]
    result.ReferencedFrameOfReferenceSequence = [_frame_of_reference(source, series)]
    result.StructureSetROISequence = []
    result.ROIContourSequence = []
    result.RTROIObservationsSequence = []
    for segment in segments:
        result.StructureSetROISequence.append(_region(origin, segment, source))
        result.ROIContourSequence.append(_outlines(found, segment, where))
        result.RTROIObservationsSequence.append(_observation(segment))
    return [result]


def _header(origin: Origin, source: Dataset) -> Dataset:
    result = result_header(origin, source, RTStructureSetStorage, KIND)
    # Outlines may be longer than the 64 KiB that an explicit DS has room for, PS3.5 7.1.2.
    result.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    for keyword in ("BodyPartExamined", "ContentDate", "ContentTime"):
        if keyword in result:
            delattr(result, keyword)
    add_requests(result, source)
    now = local_time(origin, source)
    result.OperatorsName = None
    result.StructureSetLabel = origin.model.name[:16]
    result.StructureSetName = origin.model.title[:64]
    result.StructureSetDescription = "Found by an algorithm. Research use only."
    if origin.content_qualification == "PRODUCT":
        result.StructureSetDescription = "Found by an algorithm."
    result.StructureSetDate = now.strftime("%Y%m%d")
    result.StructureSetTime = now.strftime("%H%M%S")
    result.ApprovalStatus = "UNAPPROVED"
    result.FrameOfReferenceUID = source.FrameOfReferenceUID
    result.PositionReferenceIndicator = source.get("PositionReferenceIndicator") or None
    return result


def _frame_of_reference(source: Dataset, series: Sequence[Dataset]) -> Dataset:
    """Return which images the outlines were drawn on, by study and series."""
    of_series, of_study, item = Dataset(), Dataset(), Dataset()
    of_series.SeriesInstanceUID = source.SeriesInstanceUID
    of_series.ContourImageSequence = [reference(image) for image in series]
    of_study.ReferencedSOPClassUID = _STUDY_COMPONENT
    of_study.ReferencedSOPInstanceUID = source.StudyInstanceUID
    of_study.RTReferencedSeriesSequence = [of_series]
    item.FrameOfReferenceUID = source.FrameOfReferenceUID
    item.RTReferencedStudySequence = [of_study]
    return item


def _region(origin: Origin, segment: Segment, source: Dataset) -> Dataset:
    item = Dataset()
    item.ROINumber = segment.number
    item.ReferencedFrameOfReferenceUID = source.FrameOfReferenceUID
    item.ROIName = segment.label[:64]
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = f"{origin.model.name} {origin.model.version}"[:64]
    return item


def _outlines(found: Segmentation, segment: Segment, where: Sequence[Plane]) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = list(segment.colour_rgb)
    item.ReferencedROINumber = segment.number
    item.ContourSequence = []
    for number, (plane, polygon) in enumerate(_polygons(found, segment, where), start=1):
        outline = Dataset()
        outline.ContourImageSequence = [reference(plane.header, plane.frame)]
        outline.ContourGeometricType = "CLOSED_PLANAR"
        outline.NumberOfContourPoints = len(polygon)
        outline.ContourNumber = number
        outline.ContourData = [_millimetres(value) for value in in_patient(polygon, plane).ravel()]
        item.ContourSequence.append(outline)
    return item


def _polygons(
    found: Segmentation, segment: Segment, where: Sequence[Plane]
) -> Iterator[tuple[Plane, NDArray[np.float64]]]:
    mask = found.labels == segment.number
    for index in planes_with(mask):
        for polygon in contours(mask[index]):
            yield where[index], polygon


def in_patient(points: NDArray[np.float64], plane: Plane) -> NDArray[np.float64]:
    """Return (points, 3), x, y, z in mm, of (row, column) points on a frame, PS3.3 C.7.6.2.1.1."""
    along_row, along_column = np.asarray(plane.orientation, np.float64).reshape(2, 3)
    row_mm, column_mm = (float(step) for step in plane.spacing or ())
    rows, columns = points[:, :1], points[:, 1:]
    found: NDArray[np.float64] = (
        plane.corner_mm + columns * column_mm * along_row + rows * row_mm * along_column
    )
    return found


def _millimetres(value: float) -> str:
    """Return a coordinate to the nearest micrometre."""
    return f"{round(float(value), 3) + 0.0:.10g}"


def _observation(segment: Segment) -> Dataset:
    item = Dataset()
    item.ObservationNumber = segment.number
    item.ReferencedROINumber = segment.number
    code = concept(segment.type)
    if segment.modifier is not None:
        code.SegmentedPropertyTypeModifierCodeSequence = [concept(segment.modifier)]
    item.RTROIIdentificationCodeSequence = [code]
    # Whether a lesion is a target is for a person to say.
    item.RTROIInterpretedType = "ORGAN" if segment.category.value == _ANATOMY else None
    item.ROIInterpreter = None
    return item
