"""The measurement groups of single lesions, of those that are gone, and of all targets together.

A lesion is a point in the patient (PS3.16 TID 1411 with a volume surface) whose Tracking UID stays
the same from study to study: the next study finds it again by both. What the sum of the targets
means is said in the words of RECIST 1.1, and that it was not a person who said it.
"""

from collections.abc import Iterator

import numpy as np
from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_ai_node.domain.findings import Findings, Segment
from dicom_ai_node.domain.lesions import (
    LONG_AXIS,
    MILLIMETRE,
    SHORT_AXIS,
    SUM_OF_DIAMETERS,
    Fate,
    Gone,
    Lesion,
    Lesions,
    Response,
    lesion_name,
)
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.algorithm import algorithm
from dicom_ai_node.encode.planes import planes
from dicom_ai_node.encode.provenance import is_multiframe
from dicom_ai_node.encode.report_groups import ABSENT, Group, sites
from dicom_ai_node.encode.report_quality import SCHEME

FATE = Code("FATE", SCHEME, "Compared with earlier studies")
FATES = {
    Fate.FIRST: Code("FIRST", SCHEME, "No earlier study"),
    Fate.NEW: Code("NEW", SCHEME, "New"),
    Fate.FOLLOWED: Code("FOLLOWED", SCHEME, "Known from earlier studies"),
    Fate.PART: Code("PART", SCHEME, "Part of what was one lesion"),
    Fate.UNKNOWN: Code("UNKNOWN", SCHEME, "Could not be compared"),
}
MERGED = Code("MERGED", SCHEME, "Merged with another lesion")
VANISHED = Code("VANISHED", SCHEME, "Not found any more")
SINCE_FIRST = Code("SUMFIRST", SCHEME, "Relative change of the sum since the first study")
SINCE_LEAST = Code("SUMLEAST", SCHEME, "Relative change of the sum since its least value")
NEW_LESIONS = Code("NEWCOUNT", SCHEME, "Number of new lesions")
CURRENT_RESPONSE = Code("112048", "DCM", "Current Response")
METHOD = Code("112021", "DCM", "Response Evaluation Method")
LIKE_RECIST = Code("RECISTLIKE", SCHEME, "Like RECIST 1.1, by an algorithm, for research")
COMMENT = Code("121106", "DCM", "Comment")
SUV = Code("126401", "DCM", "SUVbw")
SUV_UNIT = Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight")
PERCENT, COUNT = Code("%", "UCUM", "Percent"), Code("{lesions}", "UCUM", "lesions")

_WORDS = {
    "112041": "complete response",
    "112042": "partial response",
    "112043": "progressive disease",
    "112044": "stable disease",
}


def lesion_groups(findings: Findings, origin: Origin) -> list[Group]:
    """Return one group per lesion, present or gone, and one of all targets if they are compared."""
    if findings.lesions is None or findings.segmentation is None:
        return []
    segments = {item.number: item for item in findings.segmentation.segments}
    return [*_groups(findings.lesions, segments, origin)]


def _groups(lesions: Lesions, segments: dict[int, Segment], origin: Origin) -> Iterator[Group]:
    for lesion in lesions.present:
        yield _present(lesion, segments[lesion.of], lesions.frame_of_reference_uid, origin)
    for gone in lesions.gone:
        yield _gone(gone, segments[gone.of], origin)
    if lesions.response is not None:
        numbers = [it.of for it in lesions.present] + [it.of for it in lesions.gone]
        of = next(iter(numbers), min(segments))
        yield _response(lesions.response, segments[of], origin)


def _present(lesion: Lesion, segment: Segment, frame_of_reference: str, origin: Origin) -> Group:
    (plane,) = planes([lesion.frame], origin.sources)
    header = plane.header
    surface = sr.VolumeSurface(
        graphic_type=sr.GraphicTypeValues3D.POINT,
        graphic_data=np.array([lesion.centre_mm]),
        frame_of_reference_uid=frame_of_reference,
        source_images=[
            sr.SourceImageForSegmentation(
                header.SOPClassUID,
                header.SOPInstanceUID,
                [plane.frame.number] if is_multiframe(header) else None,
            )
        ],
    )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=lesion.tracking_uid, identifier=lesion_name(segment.label, lesion.number)
        ),
        referenced_volume_surface=surface,
        finding_type=segment.type,
        finding_category=segment.category,
        finding_sites=sites(segment),
        algorithm_id=algorithm(origin.model),
        measurements=_measured(lesion),
        qualitative_evaluations=[sr.QualitativeEvaluation(FATE, FATES[lesion.fate])],
    )


def _measured(lesion: Lesion) -> list[sr.Measurement]:
    found = [
        (LONG_AXIS, lesion.long_mm, MILLIMETRE, None),
        (SHORT_AXIS, lesion.short_mm, MILLIMETRE, None),
        (codes.SCT.Volume, lesion.volume_cm3, codes.UCUM.CubicCentimeter, None),
    ]
    if lesion.suv_max is not None:
        found.append((SUV, lesion.suv_max, SUV_UNIT, codes.SCT.Maximum))
    return [
        sr.Measurement(name=name, value=float(f"{value:.6g}"), unit=unit, derivation=derivation)
        for name, value, unit, derivation in found
    ]


def _gone(gone: Gone, segment: Segment, origin: Origin) -> Group:
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=gone.tracking_uid, identifier=lesion_name(segment.label, gone.number)
        ),
        finding_type=segment.type,
        finding_category=segment.category,
        finding_sites=sites(segment),
        algorithm_id=algorithm(origin.model),
        qualitative_evaluations=[
            sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, ABSENT),
            sr.QualitativeEvaluation(FATE, MERGED if gone.merged_into else VANISHED),
        ],
    )
    if gone.merged_into:
        _say(group, f"Merged with {lesion_name(segment.label, gone.merged_into)}")
    return group


def _response(response: Response, segment: Segment, origin: Origin) -> Group:
    told = [(SUM_OF_DIAMETERS, response.sum_mm, MILLIMETRE), (NEW_LESIONS, response.new, COUNT)]
    for name, before in ((SINCE_FIRST, response.baseline_mm), (SINCE_LEAST, response.nadir_mm)):
        if before > 0:
            told.append((name, 100 * (response.sum_mm - before) / before, PERCENT))
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derive_uid(origin.job, "tracking", "targets"), identifier="Target lesions"
        ),
        finding_type=segment.type,
        finding_category=segment.category,
        algorithm_id=algorithm(origin.model),
        measurements=[
            sr.Measurement(name=name, value=float(f"{value:.4g}"), unit=unit)
            for name, value, unit in told
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(CURRENT_RESPONSE, response.category),
            sr.QualitativeEvaluation(METHOD, LIKE_RECIST),
        ],
    )
    _say(group, response_in_words(response))
    return group


def _say(group: sr.MeasurementsAndQualitativeEvaluations, words: str) -> None:
    text = sr.TextContentItem(COMMENT, words, sr.RelationshipTypeValues.CONTAINS)
    group[0].ContentSequence.append(text)


def response_in_words(response: Response) -> str:
    """Return what has become of the target lesions, for people."""
    numbers = ", ".join(map(str, sorted(response.targets)))
    new = f"; {response.new} new" if response.new else ""
    like = "progressive disease" if response.is_progressive else _WORDS[response.category.value]
    return (
        f"Targets {numbers}: {response.sum_mm:.1f} mm, first {response.baseline_mm:.1f} mm, "
        f"least {response.nadir_mm:.1f} mm{new}: like {like} (research)"
    )
