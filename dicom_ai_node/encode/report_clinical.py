"""The measurement group of what a model was told of the patient, PS3.16 TID 1501.

No template has a place for what went into an algorithm beside images; the code of the group is our
own. What was not known is named too: it is part of what the answer rests on.
"""

from collections.abc import Mapping

from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_ai_node.domain.clinical import CLINICAL_INPUTS, KnownFact
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.algorithm import algorithm
from dicom_ai_node.encode.report_quality import COMMENT

_SAID: Mapping[str, Code] = {"M": codes.DCM.Male, "F": codes.DCM.Female}
"""PS3.16 CID 7455."""


def clinical_groups(
    findings: Findings, origin: Origin
) -> list[sr.MeasurementsAndQualitativeEvaluations]:
    """Return one group with every fact that the model asked for, or none if it asked for none."""
    facts = findings.clinical
    if not facts:
        return []
    known = [fact for fact in facts if fact.value is not None]
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derive_uid(origin.job, "tracking", "clinical"), identifier="Clinical facts"
        ),
        finding_type=CLINICAL_INPUTS,
        algorithm_id=algorithm(origin.model),
        measurements=[
            sr.Measurement(name=fact.concept, value=float(f"{fact.value:.6g}"), unit=fact.unit)
            for fact in known
            if fact.unit is not None
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(fact.concept, _SAID[fact.said])
            for fact in known
            if fact.said in _SAID
        ],
    )
    for text in _told(facts):
        group[0].ContentSequence.append(
            sr.TextContentItem(COMMENT, text, sr.RelationshipTypeValues.CONTAINS)
        )
    return [group]


def _told(facts: tuple[KnownFact, ...]) -> list[str]:
    """Return in words where the facts are from."""
    ways = {
        "from the header of the images": [f for f in facts if f.value is not None and not f.report],
        "from a structured report": [
            f for f in facts if f.value is not None and f.report and f.days_before is None
        ],
        "unknown to the model": [f for f in facts if f.value is None],
    }
    told = [
        f"{', '.join(fact.concept.meaning for fact in found)}: {way}"
        for way, found in ways.items()
        if found
    ]
    return told + [
        f"{fact.concept.meaning}: from a structured report of an earlier study,"
        f" observed {fact.days_before:.0f} days before this one"
        for fact in facts
        if fact.days_before is not None
    ]
