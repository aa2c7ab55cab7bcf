"""Which attribute belongs to the study, the series or the instance, PS3.3 A.1.4 and PS3.4 C.6.2."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from dicom_ai_node.domain.archive import Header, Level
from dicom_ai_node.domain.errors import Refused

_HEX = re.compile(r"[0-9A-Fa-f]{8}")
DEEPEST = 8
"""A key further inside of sequences is refused."""


def _tags(keywords: str) -> tuple[str, ...]:
    return tuple(f"{tag_for_keyword(keyword):08X}" for keyword in keywords.split())


STUDY = frozenset(
    _tags(
        "StudyDate StudyTime AccessionNumber IssuerOfAccessionNumberSequence"
        " ReferringPhysicianName TimezoneOffsetFromUTC StudyDescription ProcedureCodeSequence"
        " NameOfPhysiciansReadingStudy AdmittingDiagnosesDescription PatientName PatientID"
        " IssuerOfPatientID OtherPatientIDsSequence PatientBirthDate PatientBirthTime PatientSex"
        " OtherPatientNames PatientAge PatientSize PatientWeight EthnicGroup Occupation"
        " AdditionalPatientHistory PatientComments PatientIdentityRemoved DeidentificationMethod"
        " StudyInstanceUID StudyID"
    )
)
"""Patient and study, PS3.3 C.7.1 and C.7.2."""

SERIES = frozenset(
    _tags(
        "Modality SeriesDescription SeriesDate SeriesTime Manufacturer InstitutionName StationName"
        " InstitutionalDepartmentName PerformingPhysicianName OperatorsName ManufacturerModelName"
        " ReferencedPerformedProcedureStepSequence BodyPartExamined ProtocolName"
        " DeviceSerialNumber SoftwareVersions SeriesInstanceUID SeriesNumber Laterality"
        " FrameOfReferenceUID PositionReferenceIndicator PerformedProcedureStepStartDate"
        " PerformedProcedureStepStartTime PerformedProcedureStepEndDate"
        " PerformedProcedureStepEndTime PerformedProcedureStepID"
        " PerformedProcedureStepDescription RequestAttributesSequence PatientPosition"
        " SeriesDescriptionCodeSequence AnatomicRegionSequence"
    )
)
"""Series, equipment and frame of reference, PS3.3 C.7.3 to C.7.5."""

INSTANCE = frozenset(
    _tags(
        "SOPClassUID SOPInstanceUID InstanceNumber ImageType ContentDate ContentTime"
        " AcquisitionDate AcquisitionTime AcquisitionDateTime AcquisitionNumber ContentLabel"
        " ContentDescription ConceptNameCodeSequence CompletionFlag VerificationFlag"
        " PresentationCreationDate PresentationCreationTime NumberOfFrames Rows Columns"
        " BitsAllocated SegmentationType InstanceCreationDate InstanceCreationTime"
        " PhotometricInterpretation"
    )
)
"""What viewers ask of every instance; the rest is in its whole header."""

COMPUTED: Mapping[str, Level] = MappingProxyType({
    "00080056": Level.IMAGE,  # Instance Availability
    "00080061": Level.STUDY,  # Modalities in Study
    "00080062": Level.STUDY,  # SOP Classes in Study
    "00201206": Level.STUDY,  # Number of Study Related Series
    "00201208": Level.STUDY,  # Number of Study Related Instances
    "00201209": Level.SERIES,  # Number of Series Related Instances
})  # fmt: skip
"""What no file says and every answer may hold, with its level; it may be a key, too."""

TOLD: Mapping[Level, tuple[str, ...]] = MappingProxyType({
    Level.STUDY: _tags(
        "StudyDate StudyTime AccessionNumber InstanceAvailability ModalitiesInStudy"
        " ReferringPhysicianName TimezoneOffsetFromUTC StudyDescription RetrieveURL PatientName"
        " PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID"
        " NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances"
    ),
    Level.SERIES: _tags(
        "InstanceAvailability Modality TimezoneOffsetFromUTC SeriesDescription RetrieveURL"
        " StudyInstanceUID SeriesInstanceUID SeriesNumber NumberOfSeriesRelatedInstances"
        " PerformedProcedureStepStartDate PerformedProcedureStepStartTime"
        " RequestAttributesSequence"
    ),
    Level.IMAGE: _tags(
        "SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC RetrieveURL"
        " StudyInstanceUID SeriesInstanceUID InstanceNumber Rows Columns BitsAllocated"
        " NumberOfFrames"
    ),
})  # fmt: skip
"""What is told of each level where nobody asks for more, PS3.18 10.6.3.3."""


def level_of(tag: str) -> Level:
    """Return the level of an attribute; what belongs to no level is told by each instance."""
    if tag in STUDY:
        return Level.STUDY
    if tag in SERIES:
        return Level.SERIES
    return COMPUTED.get(tag, Level.IMAGE)


def path_of(name: str) -> tuple[str, ...]:
    """Return the tags of `Keyword`, `00100010`, or several of them joined by dots.

    Raises
    ------
    Refused
        If a part is neither a keyword nor eight hexadecimal digits.
    """
    parts = name.split(".")
    if len(parts) > DEEPEST:
        raise Refused(f"an attribute further inside than {DEEPEST} sequences cannot be named")
    return tuple(map(_tag, parts))


def _tag(part: str) -> str:
    if _HEX.fullmatch(part):
        return part.upper()
    tag = tag_for_keyword(part)
    if tag is None or not part:
        raise Refused("each attribute is named by its keyword in PS3.6 or by 8 hexadecimal digits")
    return f"{tag:08X}"


def vr_of(tag: str) -> str:
    """Return the VR of an attribute in PS3.6; empty for one that is not listed there."""
    try:
        return dictionary_VR(int(tag, 16))
    except KeyError:
        return ""


def spoken(path: Iterable[str]) -> str:
    """Return a path as somebody reads it: keywords, or tags where there are none."""
    return ".".join(keyword_for_tag(int(tag, 16)) or tag for tag in path)


def picked(header: Header, tags: Iterable[str]) -> Header:
    """Return those elements of a header that somebody has asked for, in the order of tags."""
    return {tag: header[tag] for tag in sorted(set(tags)) if tag in header}


def of_study(header: Header) -> Header:
    """Return what a header says about patient and study."""
    return {tag: element for tag, element in header.items() if tag in STUDY}


def of_series(header: Header) -> Header:
    """Return what a header says about its series."""
    return {tag: element for tag, element in header.items() if tag in SERIES}


def of_instance(header: Header) -> Header:
    """Return what a header says about the instance, as far as viewers ask for it."""
    return {tag: element for tag, element in header.items() if tag in INSTANCE}
