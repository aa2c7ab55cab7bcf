"""The measurement groups of a trajectory: one place per frame, and one group for the whole path.

Every place is a region on its frame (PS3.16 TID 1410), what was measured over all of them a group
of its own (TID 1501); all have one Tracking UID. Viewers that merge groups by it show the first
place only: a cine is seen in the segmentation and in the pictures.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import isfinite

import numpy as np
from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings, Trajectory
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.algorithm import algorithm
from dicom_ai_node.encode.planes import Plane, planes
from dicom_ai_node.encode.provenance import is_multiframe
from dicom_ai_node.encode.report_groups import PRESENT, Group, by_header, measured, sites, tracking

MOST_PLACES = 400
"""A longer path is told by so many of its places, evenly."""
DISTANCE = Code("121206", "DCM", "Distance")
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
PERCENT = Code("%", "UCUM", "Percent")
COMMENT = Code("121106", "DCM", "Comment")
MILLIMETRE, PIXELS = Code("mm", "UCUM", "mm"), Code("{pixels}", "UCUM", "pixels")


def track_groups(findings: Findings, origin: Origin) -> list[Group]:
    """Return the groups of all trajectories, each path's places before what was measured on it.

    Raises
    ------
    TaskFailed
        If something that was measured is not a number, or a frame is none of the sources.
    """
    return [group for path in findings.trajectories for group in _groups_of(path, findings, origin)]


def others(findings: Findings) -> Findings | None:
    """Return what is said about anything that was not followed, or `None` if nothing is."""
    followed = {path.of.number for path in findings.trajectories}
    left = [item for item in findings.measurements if item.of not in followed]
    segmentation = findings.segmentation
    if segmentation is not None and followed:
        segments = tuple(item for item in segmentation.segments if item.number not in followed)
        segmentation = replace(segmentation, segments=segments) if segments else None
    if followed and segmentation is None and not left:
        return None
    return replace(findings, measurements=tuple(left), segmentation=segmentation)


def _groups_of(path: Trajectory, findings: Findings, origin: Origin) -> Iterator[Group]:
    of_path = [item for item in findings.measurements if item.of == path.of.number]
    if not all(isfinite(item.value) for item in of_path):
        raise TaskFailed("a measurement is not a number")
    seen = np.flatnonzero(np.isfinite(path.points).all(axis=1))
    told = seen[np.linspace(0, len(seen) - 1, min(len(seen), MOST_PLACES)).round().astype(int)]
    where = planes([path.sources[index] for index in told], origin.sources)
    for index, plane in zip(told, where, strict=True):
        yield _place(path, int(index), plane, origin)
    closing = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking(origin, path.of),
        finding_type=path.of.type,
        finding_category=path.of.category,
        finding_sites=sites(path.of),
        algorithm_id=algorithm(origin.model),
        measurements=[measured(item, origin) for item in of_path],
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, PRESENT)],
        source_images=[
            sr.SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID, frames)
            for header, frames in by_header(where)
        ],
    )
    if len(told) < len(seen):
        words = f"{len(told)} of {len(seen)} places are told"
        closing[0].ContentSequence.append(
            sr.TextContentItem(COMMENT, words, sr.RelationshipTypeValues.CONTAINS)
        )
    yield closing


def _place(path: Trajectory, index: int, plane: Plane, origin: Origin) -> Group:
    header = plane.header
    row, column = path.points[index]
    # Whole numbers are the corners of pixels here, PS3.3 C.18.6.1.1, and their centres there.
    region = sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues.POINT,
        graphic_data=np.array([[column + 0.5, row + 0.5]]),
        source_image=sr.SourceImageForRegion(
            header.SOPClassUID,
            header.SOPInstanceUID,
            [plane.frame.number] if is_multiframe(header) else None,
        ),
    )
    away = (path.points[index] - path.points[0]) * (path.spacing_mm or (1.0, 1.0))
    percent = 100 * min(max(float(path.confidence[index]), 0.0), 1.0)
    told = [sr.Measurement(name=CERTAINTY, value=round(percent, 1), unit=PERCENT)]
    if np.isfinite(away).all():
        distance = float(f"{np.linalg.norm(away):.6g}")
        unit = PIXELS if path.spacing_mm is None else MILLIMETRE
        told.insert(0, sr.Measurement(name=DISTANCE, value=distance, unit=unit))
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking(origin, path.of),
        referenced_region=region,
        finding_type=path.of.type,
        finding_category=path.of.category,
        finding_sites=sites(path.of),
        algorithm_id=algorithm(origin.model),
        measurements=told,
    )
