"""The measurement groups of a detection, PS3.16: TID 1410 for each box, TID 1501 for what is not.

Every class that was looked for is in the report: a reader must be able to tell what the model has
looked for and not seen from what it was never asked.
"""

from collections.abc import Sequence

import numpy as np
from highdicom import sr
from pydicom.sr.codedict import codes

from dicom_ai_node.domain.findings import Box, Detection, FindingClass, Findings
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.algorithm import algorithm
from dicom_ai_node.encode.marks import check_boxes, outline, tracking_of
from dicom_ai_node.encode.planes import planes
from dicom_ai_node.encode.provenance import is_multiframe
from dicom_ai_node.encode.report_classes import PERCENT, PROBABILITY, explained, sites_of
from dicom_ai_node.encode.report_groups import ABSENT, Group, by_header

_LONGEST_LO = 64


def box_groups(findings: Findings, origin: Origin) -> list[Group]:
    """Return one group per box, then one per class that was looked for and not found.

    Raises
    ------
    TaskFailed
        If a box does not lie in its frame, or the findings name a frame that is none of the
        sources.
    """
    found = findings.detection
    if found is None:
        return []
    check_boxes(found, origin)
    names = tracking_of(found, origin)
    groups: list[Group] = [
        _present(origin, found.classes[box.of], box, name)
        for box, name in zip(found.boxes, names, strict=True)
    ]
    if findings.heat_map is not None:
        of = findings.heat_map.of
        shown = next(n for n, box in enumerate(found.boxes) if box.of == of)
        explained(groups[shown], origin)
    seen = {box.of for box in found.boxes}
    groups += [_absent(origin, found, of) for of in range(len(found.classes)) if of not in seen]
    return groups


def _present(origin: Origin, kind: FindingClass, box: Box, name: tuple[str, str]) -> Group:
    header = planes([box.source], origin.sources)[0].header
    image = sr.SourceImageForRegion(
        header.SOPClassUID,
        header.SOPInstanceUID,
        [box.source.number] if is_multiframe(header) else None,
    )
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(identifier=name[0], uid=name[1]),
        referenced_region=sr.ImageRegion(
            sr.GraphicTypeValues.POLYLINE, np.array(outline(box)), source_image=image
        ),
        finding_type=kind.type,
        finding_sites=sites_of(kind),
        algorithm_id=algorithm(origin.model),
        measurements=[
            sr.Measurement(name=PROBABILITY, value=round(100 * box.probability, 2), unit=PERCENT)
        ],
    )


def _absent(origin: Origin, found: Detection, of: int) -> Group:
    kind = found.classes[of]
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derive_uid(origin.job, "tracking", "class", str(of)),
            identifier=kind.label[:_LONGEST_LO],
        ),
        finding_type=kind.type,
        finding_sites=sites_of(kind),
        algorithm_id=algorithm(origin.model),
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, ABSENT)],
        source_images=_source_images(found, origin),
    )


def _source_images(found: Detection, origin: Origin) -> Sequence[sr.SourceImageForMeasurementGroup]:
    return [
        sr.SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID, frames)
        for header, frames in by_header(planes(found.sources, origin.sources))
    ]
