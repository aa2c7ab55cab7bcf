"""The measurement group about the input itself, PS3.16 TID 1501: is it fit to be judged?

There is no standard code for a manipulated or an unfamiliar input; those of the scheme 99DAIN are
our own.
"""

from collections.abc import Sequence

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.quality import ImageQuality
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.algorithm import algorithm
from dicom_ai_node.encode.planes import planes
from dicom_ai_node.encode.report_groups import ABSENT, PRESENT, by_header

SCHEME = "99DAIN"
IMAGE_QUALITY = Code("111101", "DCM", "Image Quality")
RATING = Code("QUALITY", SCHEME, "Fitness of the input for this model")
LIMITED = Code("RID13", "RADLEX", "Limited quality")
NON_DIAGNOSTIC = Code("RID14", "RADLEX", "Non-diagnostic quality")
NO_UNITS = Code("1", "UCUM", "no units")
COMMENT = Code("121106", "DCM", "Comment")


def quality_groups(
    findings: Findings, origin: Origin
) -> list[sr.MeasurementsAndQualitativeEvaluations]:
    """Return one group on the input, or none if nobody has looked.

    An input that was declined is rated as non-diagnostic for this model, one that was reported
    as limited (PS3.16 CID 7036). One in which nothing was noticed gets no rating: that nothing
    was noticed does not make it good.
    """
    quality = findings.quality
    if quality is None:
        return []
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derive_uid(origin.job, "tracking", "quality"), identifier="Input"
        ),
        finding_type=IMAGE_QUALITY,
        algorithm_id=algorithm(origin.model),
        measurements=[
            sr.Measurement(name=check.concept, value=float(f"{check.score:.4g}"), unit=NO_UNITS)
            for check in quality.checks
        ],
        qualitative_evaluations=_evaluations(quality),
        source_images=[
            sr.SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID, frames)
            for header, frames in by_header(planes(quality.sources, origin.sources))
        ],
    )
    for text in _comments(quality):
        group[0].ContentSequence.append(
            sr.TextContentItem(COMMENT, text, sr.RelationshipTypeValues.CONTAINS)
        )
    return [group]


def own_codes() -> list[Dataset]:
    """Return Coding Scheme Identification Sequence (0008,0110) for our own codes."""
    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeUID = derive_uid("coding scheme", SCHEME)
    item.CodingSchemeName = "Codes of dicom_ai_node"
    item.CodingSchemeResponsibleOrganization = "dicom_ai_node"
    return [item]


def _evaluations(quality: ImageQuality) -> Sequence[sr.QualitativeEvaluation]:
    found = [
        sr.QualitativeEvaluation(check.flag, PRESENT if check.is_over else ABSENT)
        for check in quality.checks
    ]
    if quality.declined:
        found.append(sr.QualitativeEvaluation(RATING, NON_DIAGNOSTIC))
    elif quality.is_flagged:
        found.append(sr.QualitativeEvaluation(RATING, LIMITED))
    return found


def _comments(quality: ImageQuality) -> list[str]:
    texts = [
        f"{check.concept.meaning}: reported from {check.threshold:.4g} on"
        + (f", highest for {check.of}" if check.of else "")
        for check in quality.checks
    ]
    if quality.looked_at:
        texts.append(quality.looked_at[0].upper() + quality.looked_at[1:])
    if quality.is_purified:
        texts.append("The model saw a smoothed copy of the input")
    if quality.declined:
        texts.append(f"The model did not look at this input. {quality.declined}")
    return texts
