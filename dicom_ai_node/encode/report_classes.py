"""The measurement groups of a classification, PS3.16 TID 1501: one per class, found or not.

The probabilities of all classes are told, and which of them is reported: a reader must be able to
tell what the model has looked for and not seen from what it was never asked.
"""

from collections.abc import Sequence
from math import isfinite

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Classification, FindingClass, Findings
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.algorithm import algorithm
from dicom_ai_node.encode.planes import planes
from dicom_ai_node.encode.report_groups import ABSENT, PRESENT, Group, by_header

PROBABILITY = Code("122157", "DCM", "Probability")
PERCENT = Code("%", "UCUM", "Percent")
VISUAL_EXPLANATION = Code("130401", "DCM", "Visual explanation")
SUM_WITHIN = 0.5
"""The probabilities that a report tells add up to 100 %, but for this."""
_LONGEST_LO = 64


def class_groups(
    findings: Findings, origin: Origin
) -> list[sr.MeasurementsAndQualitativeEvaluations]:
    """Return one group per class; the one of the reported class shows its heat map, if there is.

    Raises
    ------
    TaskFailed
        If the probabilities are not those of one answer, or the findings name a frame that is
        none of the sources.
    """
    found = findings.classification
    if found is None:
        return []
    percents = percents_of(found)
    groups = [_group(origin, found, place, percent) for place, percent in enumerate(percents)]
    if findings.heat_map is not None:
        explained(groups[findings.heat_map.of], origin)
    return groups


def explained(group: Group, origin: Origin) -> None:
    """Refer from a group to the pictures and maps that show what speaks for it."""
    for kind in ("secondary_capture", "parametric_map"):
        for picture in origin.encoded.get(kind, ()):
            group[0].ContentSequence.append(_explanation(picture))


def percents_of(found: Classification) -> list[float]:
    """Return the probabilities as they are told, in hundredths of a percent.

    Raises
    ------
    TaskFailed
        If there is not one number per class, or they do not add up to 100 %.
    """
    if len(found.probabilities) != len(found.classes):
        raise TaskFailed("a classification does not have one probability per class")
    if not all(isfinite(item) for item in found.probabilities):
        raise TaskFailed("a probability is not a number")
    percents = [round(100 * item, 2) for item in found.probabilities]
    if min(percents) < 0 or abs(sum(percents) - 100) > SUM_WITHIN:
        raise TaskFailed("the probabilities of a classification do not add up to 1")
    return percents


def _group(
    origin: Origin, found: Classification, place: int, percent: float
) -> sr.MeasurementsAndQualitativeEvaluations:
    item = found.classes[place]
    presence = PRESENT if place == found.present else ABSENT
    spoken = found.sources if found.decided_by is None else (found.decided_by,)
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derive_uid(origin.job, "tracking", "class", str(place)),
            identifier=item.label[:_LONGEST_LO],
        ),
        finding_type=item.type,
        finding_sites=sites_of(item),
        algorithm_id=algorithm(origin.model),
        measurements=[sr.Measurement(name=PROBABILITY, value=percent, unit=PERCENT)],
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, presence)],
        source_images=[
            sr.SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID, frames)
            for header, frames in by_header(planes(spoken, origin.sources))
        ],
    )


def sites_of(item: FindingClass) -> Sequence[sr.FindingSite]:
    """Return where a finding is; one that is a body part of one side is its own place."""
    place = item.site or (None if item.modifier is None else item.type)
    return [] if place is None else [sr.FindingSite(place, laterality=item.modifier)]


def _explanation(picture: Dataset) -> sr.ImageContentItem:
    return sr.ImageContentItem(
        name=VISUAL_EXPLANATION,
        referenced_sop_class_uid=picture.SOPClassUID,
        referenced_sop_instance_uid=picture.SOPInstanceUID,
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )
