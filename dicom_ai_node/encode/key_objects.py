"""Earlier studies of the same patient that look alike, as Key Object Selection, PS3.3 A.35.4.

The document lies in the study that was looked at and refers to the others. No copies are put into
those, so that there are no identical documents to name.
"""

from collections.abc import Sequence

from highdicom import ko
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.identity import result_header
from dicom_ai_node.encode.provenance import by_study
from dicom_ai_node.encode.structured_report import observer, requests

KIND = "key_objects"
OF_INTEREST = Code("113000", "DCM", "Of Interest")
_WHOSE = ("PatientID", "IssuerOfPatientID")


def encode(findings: Findings, origin: Origin) -> Sequence[Dataset]:
    """Return a document with one image of every earlier study that looks alike; none without.

    Raises
    ------
    TaskFailed
        If one of them is of another patient, or of nobody knows whom.
    """
    if findings.embedding is None or not origin.priors:
        return []
    source, headers = origin.sources[0], [prior.header for prior in origin.priors]
    whose = _patient(source)
    if not whose[0] or {_patient(header) for header in headers} != {whose}:
        raise TaskFailed("an image that looks alike is not of the same patient")
    document = result_header(origin, source, KeyObjectSelectionDocumentStorage, KIND)
    if "BodyPartExamined" in document:  # a document shows no body part
        del document.BodyPartExamined
    document.ReferencedPerformedProcedureStepSequence = []
    asked = requests(source)
    if asked:
        document.ReferencedRequestSequence = asked
    document.CurrentRequestedProcedureEvidenceSequence = by_study(headers)
    for element in _content(origin, headers):
        document.add(element)
    return [document]


def _content(origin: Origin, headers: Sequence[Dataset]) -> Dataset:
    """Return the root of the content tree, PS3.16 TID 2010."""
    content: Dataset = ko.KeyObjectSelection(
        document_title=OF_INTEREST,
        referenced_objects=headers,
        observer_device_context=observer(origin),
        description=_description(origin),
    )[0]
    for item in content.ContentSequence:
        if item.ValueType in {"IMAGE", "COMPOSITE"}:
            del item.ConceptNameCodeSequence  # the template has none here
    return content


def _patient(header: Dataset) -> tuple[str, ...]:
    return tuple(str(header.get(keyword) or "").strip() for keyword in _WHOSE)


def _description(origin: Origin) -> str:
    """Return in words what is referred to, the most similar one first."""
    lines = [
        f"{place}. study of {prior.header.get('StudyDate') or 'unknown date'}, "
        f"{prior.header.Modality}, similarity {prior.score:.2f}"
        for place, prior in enumerate(origin.priors, start=1)
    ]
    begin = (
        "RESEARCH. Earlier studies of this patient whose images look most like series "
        f"{origin.sources[0].get('SeriesNumber') or '?'} of this study, by "
        f"{origin.model.name} {origin.model.version}; one image stands for each. "
        "Similarity is a cosine, 1 for the same image."
    )
    return "\n".join([begin, *lines])
