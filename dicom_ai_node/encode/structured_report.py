"""Findings as a Comprehensive 3D SR after TID 1500, PS3.3 A.35.13 and IHE AI Results."""

from collections.abc import Mapping, Sequence

from highdicom import sr
from highdicom.sr.utils import collect_evidence
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage

from dicom_ai_node.domain.clinical import CLINICAL_INPUTS
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.identity import NODE_NAME, result_header
from dicom_ai_node.encode.planes import planes
from dicom_ai_node.encode.provenance import by_study, request_attributes
from dicom_ai_node.encode.report_boxes import box_groups
from dicom_ai_node.encode.report_classes import class_groups
from dicom_ai_node.encode.report_clinical import clinical_groups
from dicom_ai_node.encode.report_courses import course_groups, earlier_evidence
from dicom_ai_node.encode.report_groups import Group, groups
from dicom_ai_node.encode.report_lesions import lesion_groups
from dicom_ai_node.encode.report_quality import SCHEME, own_codes, quality_groups
from dicom_ai_node.encode.report_tracks import others, track_groups

KIND = "structured_report"
COMMENT = Code("121106", "DCM", "Comment")
_PROCEDURES: Mapping[str, Code] = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
}
_ANY_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
"""CID 100 has no code for X-ray or ultrasound that all validators know."""
_REQUEST = ("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest")


def encode(findings: Findings, origin: Origin) -> Sequence[Dataset]:
    """Return one report. It is made even if nothing was found: then it says just that.

    COMPLETE, because the model said all that it says; PRELIMINARY and UNVERIFIED, because no
    person has looked at it.

    Raises
    ------
    TaskFailed
        If a measurement is not a number, measures a segment that nobody knows, the probabilities
        of a classification do not add up, or the findings name a frame that is none of the
        sources.
    """
    source = _primary(findings, origin)
    report = _header(origin, source)
    measured = _groups(findings, origin)
    _add_notes(measured[0][0], findings.notes)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer(origin)),
        procedure_reported=_procedure(source, origin),
        imaging_measurements=measured,
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=_library(origin),
    )[0]
    _separate(content)
    for element in content:
        report.add(element)
    objects = _evidence(findings, origin)
    here, elsewhere = collect_evidence(
        [*origin.sources, *objects], content, study_instance_uid=report.StudyInstanceUID
    )
    report.CurrentRequestedProcedureEvidenceSequence = here
    if pertinent := earlier_evidence(findings, elsewhere):
        report.PertinentOtherEvidenceSequence = pertinent
    own = (findings.quality, findings.courses or None, findings.lesions)
    if SCHEME in _schemes(findings) or any(item is not None for item in own):
        report.CodingSchemeIdentificationSequence = own_codes()
    if origin.predecessors:
        report.PredecessorDocumentsSequence = by_study(origin.predecessors)
    return [report]


def _separate(container: Dataset) -> None:
    """Say that what it contains is no running text: viewers then write the name of each value."""
    container.ContinuityOfContent = "SEPARATE"
    for item in container.get("ContentSequence", ()):
        if item.ValueType == "CONTAINER":
            _separate(item)


def _schemes(findings: Findings) -> set[str]:
    """Return the coding schemes of what was measured, asked and answered."""
    answer = findings.classification
    return {
        *(item.concept.scheme_designator for item in findings.measurements),
        *(item.type.scheme_designator for item in (answer.classes if answer else ())),
        *(CLINICAL_INPUTS.scheme_designator for _ in findings.clinical[:1]),
    }


def _primary(findings: Findings, origin: Origin) -> Dataset:
    """Return the header of what was looked at, or of the first input."""
    paths = findings.trajectories
    looked_at = (
        findings.segmentation
        or findings.classification
        or findings.detection
        or (paths[0] if paths else None)
    )
    if looked_at is None or not looked_at.sources:
        return origin.sources[0]
    return planes(looked_at.sources[:1], origin.sources)[0].header


def _groups(findings: Findings, origin: Origin) -> list[Group]:
    quality = quality_groups(findings, origin)
    if findings.quality is not None and findings.quality.declined:
        return [*quality]
    told = [
        *class_groups(findings, origin),
        *box_groups(findings, origin),
        *track_groups(findings, origin),
        *clinical_groups(findings, origin),
    ]
    left = others(findings)
    if left is None or (told and left.segmentation is None and not left.measurements):
        return [*told, *course_groups(findings, origin), *quality]
    single = [*lesion_groups(findings, origin), *course_groups(findings, origin)]
    return [*told, *groups(left, origin), *single, *quality]


def _evidence(findings: Findings, origin: Origin) -> list[Dataset]:
    """Return the objects of this job that the report may refer to: pictures only of heat maps."""
    return [
        item
        for kind, made in origin.encoded.items()
        for item in made
        if kind != "presentation_state"
        and (kind != "secondary_capture" or findings.heat_map is not None)
    ]


def _header(origin: Origin, source: Dataset) -> Dataset:
    report = result_header(origin, source, Comprehensive3DSRStorage, KIND)
    for keyword in ("BodyPartExamined", "Laterality"):  # a document shows no body part
        if keyword in report:
            delattr(report, keyword)
    report.CompletionFlag = "COMPLETE"
    report.VerificationFlag = "UNVERIFIED"
    report.PreliminaryFlag = "PRELIMINARY"
    report.PerformedProcedureCodeSequence = []
    report.ReferencedPerformedProcedureStepSequence = []
    asked = requests(source)
    if asked:
        report.ReferencedRequestSequence = asked
    return report


def requests(source: Dataset) -> list[Dataset]:
    """Return the items of Referenced Request Sequence (0040,A370)."""
    items = []
    for received in request_attributes(source):
        item = Dataset()
        item.StudyInstanceUID = received.get("StudyInstanceUID") or source.StudyInstanceUID
        item.ReferencedStudySequence = []
        item.AccessionNumber = received.get("AccessionNumber") or source.get("AccessionNumber")
        item.RequestedProcedureID = received.RequestedProcedureID
        item.RequestedProcedureDescription = received.get("RequestedProcedureDescription")
        item.RequestedProcedureCodeSequence = []
        for keyword in _REQUEST:
            setattr(item, keyword, None)
        items.append(item)
    return items


def observer(origin: Origin) -> sr.ObserverContext:
    """Return who has seen it: the model on this node, PS3.16 TID 1002."""
    model = origin.model
    return sr.ObserverContext(
        codes.DCM.Device,
        sr.DeviceObserverIdentifyingAttributes(
            uid=model.device_uid,
            name=NODE_NAME,
            manufacturer_name=model.manufacturer or NODE_NAME,
            model_name=model.name,
            serial_number=origin.node_serial,
        ),
    )


def _procedure(source: Dataset, origin: Origin) -> Code:
    """Return the imaging procedure that was reported on, not what the model did with it.

    A PET with its CT is one procedure, the PET.
    """
    modalities = {str(one.get("Modality")) for one in origin.sources}
    modality = "PT" if "PT" in modalities else str(source.get("Modality"))
    return _PROCEDURES.get(modality, _ANY_PROCEDURE)


def _library(origin: Origin) -> list[Dataset]:
    """Return one card per input series of images for the image library: its middle instance.

    A card says what highdicom's library asks for; a source that does not know its geometry is
    described as an image of its class and size.
    """
    cards = []
    by_series: dict[str, list[Dataset]] = {}
    for source in origin.sources:
        # Neither a report among the inputs nor an outline is an image that was acquired, CID 29.
        if "Rows" not in source or source.get("Modality") == "SEG":
            continue
        by_series.setdefault(str(source.SeriesInstanceUID), []).append(source)
    for series in by_series.values():
        source = series[len(series) // 2]
        plane = planes([SourceFrame(source.SOPInstanceUID)], [source])[0]
        card = Dataset()
        for keyword in ("SOPClassUID", "SOPInstanceUID", "Rows", "Columns", "FrameOfReferenceUID"):
            if source.get(keyword):
                setattr(card, keyword, source.get(keyword))
        card.Modality = "OT"
        if plane.is_placed and plane.thickness:
            card.Modality = "CT"  # what the library calls cross-sectional
            card.PixelSpacing, card.SliceThickness = list(plane.spacing or ()), plane.thickness
            card.ImagePositionPatient = list(plane.position or ())
            card.ImageOrientationPatient = list(plane.orientation or ())
        cards.append(card)
    return cards


def _add_notes(group: Dataset, notes: Sequence[str]) -> None:
    """Add the sentences of the task to the first group; they hold for all."""
    for note in notes:
        group.ContentSequence.append(
            sr.TextContentItem(COMMENT, note, sr.RelationshipTypeValues.CONTAINS)
        )
