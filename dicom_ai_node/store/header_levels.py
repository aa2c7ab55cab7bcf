"""Which elements of a header describe its study, its series or the instance, PS3.3 A.1.4."""

import unicodedata
from collections.abc import Mapping
from typing import Any

from pydicom.datadict import tag_for_keyword

Header = Mapping[str, Any]


def _tags(keywords: str) -> frozenset[str]:
    return frozenset(f"{tag_for_keyword(keyword):08X}" for keyword in keywords.split())


STUDY = _tags(
    "StudyDate StudyTime AccessionNumber IssuerOfAccessionNumberSequence ReferringPhysicianName"
    " TimezoneOffsetFromUTC StudyDescription ProcedureCodeSequence NameOfPhysiciansReadingStudy"
    " AdmittingDiagnosesDescription PatientName PatientID IssuerOfPatientID OtherPatientIDsSequence"
    " PatientBirthDate PatientBirthTime PatientSex OtherPatientNames PatientAge PatientSize"
    " PatientWeight EthnicGroup Occupation AdditionalPatientHistory PatientComments"
    " PatientIdentityRemoved DeidentificationMethod StudyInstanceUID StudyID"
)
"""Patient and study, PS3.3 C.7.1 and C.7.2."""

SERIES = _tags(
    "Modality SeriesDescription SeriesDate SeriesTime Manufacturer InstitutionName StationName"
    " InstitutionalDepartmentName PerformingPhysicianName OperatorsName ManufacturerModelName"
    " ReferencedPerformedProcedureStepSequence BodyPartExamined ProtocolName DeviceSerialNumber"
    " SoftwareVersions SeriesInstanceUID SeriesNumber Laterality FrameOfReferenceUID"
    " PositionReferenceIndicator PerformedProcedureStepStartDate PerformedProcedureStepStartTime"
    " PerformedProcedureStepEndDate PerformedProcedureStepEndTime PerformedProcedureStepID"
    " PerformedProcedureStepDescription RequestAttributesSequence PatientPosition"
    " SeriesDescriptionCodeSequence AnatomicRegionSequence"
)
"""Series, equipment and frame of reference, PS3.3 C.7.3 to C.7.5."""

INSTANCE = _tags(
    "SOPClassUID SOPInstanceUID InstanceNumber ImageType ContentDate ContentTime AcquisitionDate"
    " AcquisitionTime AcquisitionDateTime AcquisitionNumber ContentLabel ContentDescription"
    " ConceptNameCodeSequence CompletionFlag VerificationFlag PresentationCreationDate"
    " PresentationCreationTime NumberOfFrames Rows Columns BitsAllocated SegmentationType"
    " InstanceCreationDate InstanceCreationTime PhotometricInterpretation"
)
"""What viewers ask of every instance; the rest is in its whole header."""


def of_study(header: Header) -> dict[str, Any]:
    """Return what a header says about patient and study."""
    return {tag: element for tag, element in header.items() if tag in STUDY}


def of_series(header: Header) -> dict[str, Any]:
    """Return what a header says about its series."""
    return {tag: element for tag, element in header.items() if tag in SERIES}


def of_instance(header: Header) -> dict[str, Any]:
    """Return what a header says about the instance, as far as viewers ask for it."""
    return {tag: element for tag, element in header.items() if tag in INSTANCE}


def folded(element: Header) -> str:
    """Return the name of a person as it is compared: all spellings, no case, no accents."""
    groups = (element.get("Value") or [{}])[0] or {}
    spellings = (groups.get(key, "") for key in ("Alphabetic", "Ideographic", "Phonetic"))
    return fold("=".join(spellings).rstrip("="))


def fold(text: str) -> str:
    """Return a text without case and without accents."""
    parts = unicodedata.normalize("NFKD", text)
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    # Composed again, or Korean would come apart and Japanese lose its voicing.
    return unicodedata.normalize("NFC", plain).casefold()
