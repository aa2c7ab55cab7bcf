"""Who a result is: its UIDs, numbers, times and the patient and study it belongs to.

Everything here depends on the job and its sources alone, never on the clock or on chance, so that
encoding a job a second time gives the same bytes and an archive sees a duplicate.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from hashlib import sha256

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_ai_node.domain.findings import Segment
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.copies import twin
from dicom_ai_node.encode.provenance import EQUIPMENT, contributing_equipment, request_attributes

IMPLEMENTATION_CLASS_UID = UID(derive_uid("implementation"))
"""The same for all versions of this node, PS3.7 D.3.3.2."""
NODE_NAME = "dicom_ai_node"
"""Manufacturer of what we write where a model names none, and our Implementation Version Name."""

_MODALITY = {
    "segmentation": "SEG", "segmentation_fractional": "SEG", "segmentation_labelmap": "SEG",
    "structured_report": "SR", "secondary_capture": "OT", "derived_image": "",
    "presentation_state": "PR", "rt_structure_set": "RTSTRUCT",
    "annotations": "ANN", "parametric_map": "OT", "key_objects": "KO",
}  # fmt: skip
"""Nothing where it is that of the source."""
_SERIES_HUNDRED = {
    "SEG": 91, "SR": 92, "PR": 93, "OT": 94, "": 95, "RTSTRUCT": 96, "ANN": 97, "KO": 98,
}  # fmt: skip
_TWIN = {"segmentation_fractional": 1, "segmentation_labelmap": 2, "parametric_map": 1}
"""Kinds that share a hundred and may be asked for by one route: each gets its own third of it."""

_COPIED = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "PatientAge", "PatientSize", "PatientWeight", "PatientIdentityRemoved",
    "DeidentificationMethod", "LongitudinalTemporalInformationModified", "StudyInstanceUID",
    "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber",
    "StudyDescription",
)  # fmt: skip
_MAY_BE_EMPTY = frozenset({
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber",
})  # fmt: skip
_TRIAL = ("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName",
          "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID",
          "ClinicalTrialSubjectReadingID")  # fmt: skip
_SAID_BY_SOURCE = frozenset(
    (*_COPIED, *_TRIAL, *EQUIPMENT, "BodyPartExamined", "Modality", "SOPClassUID",
     "TimezoneOffsetFromUTC", "ContributingEquipmentSequence")
)  # fmt: skip
"""All that `result_header` takes from a source."""
_LONGEST_LO = 64
_ZONE = re.compile(r"([+-])([0-9]{2})([0-9]{2})")


def series_number(origin: Origin, kind: str) -> int:
    """Return 91xx for a segmentation, 92xx a report, 93xx graphics, 94xx a picture or a map.

    95xx for an image, 96xx for outlines, 97xx for annotations, 98xx for key objects; xx comes from
    the job.
    """
    chance = int(sha256(origin.job.encode()).hexdigest()[:8], 16) % 33 * 3
    return _SERIES_HUNDRED[_MODALITY[kind]] * 100 + chance + _TWIN.get(kind, 0)


def series_instance_uid(origin: Origin, kind: str) -> str:
    """Return the UID of the series that all objects of `kind` of this job share."""
    return derive_uid(origin.job, kind, "series")


def sop_instance_uid(origin: Origin, kind: str, index: int) -> str:
    """Return the UID of the `index`-th object of `kind`, counted from 0."""
    return derive_uid(origin.job, kind, "instance", str(index))


def tracking_uid(origin: Origin, segment: Segment) -> str:
    """Return the UID by which the report and the segmentation name one found structure."""
    return derive_uid(origin.job, "tracking", str(segment.number))


def tracking_id(segment: Segment) -> str:
    """Return what a person calls this structure in a list: `Fetal head 1`."""
    return segment.tracking_id


def local_time(origin: Origin, source: Dataset) -> datetime:
    """Return `created_at` in the zone in which the source counts its time.

    The source says it in Timezone Offset From UTC; a source without one counts in local time, as
    does this node, PS3.3 C.12.1.1.8.
    """
    if origin.created_at.tzinfo is None:
        return origin.created_at
    return origin.created_at.astimezone(_zone(source))


def result_header(
    origin: Origin, source: Dataset, sop_class_uid: str, kind: str, index: int = 0
) -> Dataset:
    """Return all that a result of any kind shares: from Patient to SOP Common, PS3.3 C.7 and C.12.

    Parameters
    ----------
    source
        The normalised header whose patient, study and body part the result gets.
    kind
        The name of the encoder.
    index
        Which object of its series, counted from 0.
    """
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = sop_class_uid
    header.SOPInstanceUID = sop_instance_uid(origin, kind, index)
    _copy_patient_and_study(header, source)
    _copy_body_part(header, source)
    now = local_time(origin, source)
    header.InstanceCreationDate = header.SeriesDate = header.ContentDate = now.strftime("%Y%m%d")
    header.InstanceCreationTime = header.SeriesTime = header.ContentTime = now.strftime("%H%M%S")
    if _zone(source) is not None:
        header.TimezoneOffsetFromUTC = source.TimezoneOffsetFromUTC
    header.Modality = _MODALITY[kind] or source.Modality
    header.SeriesInstanceUID = series_instance_uid(origin, kind)
    header.SeriesNumber = series_number(origin, kind)
    header.SeriesDescription = f"AI {origin.model.title}"[:_LONGEST_LO].strip()
    header.InstanceNumber = index + 1
    header.Manufacturer = (origin.model.manufacturer or NODE_NAME)[:_LONGEST_LO]
    header.ManufacturerModelName = origin.model.name[:_LONGEST_LO]
    header.SoftwareVersions = [origin.model.version, f"{NODE_NAME} {origin.node_version}"]
    header.DeviceSerialNumber = origin.node_serial[:_LONGEST_LO]
    header.ContentQualification = origin.content_qualification
    header.ContributingEquipmentSequence = contributing_equipment(origin, source, now)
    header.file_meta = file_meta(header)
    return header


def result_headers(origin: Origin, sources: Iterable[Dataset], kind: str) -> Iterator[Dataset]:
    """Give one header for each source, in a series of one: what they have in common is made once.

    Each is what `result_header` returns for its source and place, and may be given other values.
    """
    first, made = None, Dataset()
    for index, source in enumerate(sources):
        if first is None or not all(source.get(it) is first.get(it) for it in _SAID_BY_SOURCE):
            first, made = source, result_header(origin, source, source.SOPClassUID, kind)
        header = Dataset({element.tag: twin(element) for element in made})
        header.SOPInstanceUID = sop_instance_uid(origin, kind, index)
        header.InstanceNumber = index + 1
        header.file_meta = file_meta(header)
        yield header


def file_meta(header: Dataset) -> FileMetaDataset:
    """Return file meta information that names this node and not a library, PS3.10 7.1."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = header.SOPClassUID
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = NODE_NAME
    return meta


def add_requests(header: Dataset, source: Dataset) -> None:
    """Say on whose request the sources were made, PS3.3 10.6; only where the source knows."""
    requests = request_attributes(source)
    if requests:
        header.RequestAttributesSequence = requests


def by_instance(sources: Sequence[Dataset]) -> Mapping[str, Dataset]:
    """Return the headers by SOP Instance UID."""
    return {str(source.SOPInstanceUID): source for source in sources}


def _copy_patient_and_study(header: Dataset, source: Dataset) -> None:
    for keyword in _COPIED:
        value = source.get(keyword)
        if value or keyword in _MAY_BE_EMPTY:
            setattr(header, keyword, value or None)
    if header.get("PatientIdentityRemoved") == "YES" and "DeidentificationMethod" not in header:
        header.DeidentificationMethod = "Not stated by the source"
    if all(source.get(keyword) for keyword in (*_TRIAL[:2], "ClinicalTrialSubjectID")):
        for keyword in _TRIAL:
            if source.get(keyword) or keyword in _TRIAL[2:5]:
                setattr(header, keyword, source.get(keyword) or None)


def _copy_body_part(header: Dataset, source: Dataset) -> None:
    if source.get("BodyPartExamined"):
        header.BodyPartExamined = source.BodyPartExamined


def _zone(source: Dataset) -> timezone | None:
    found = _ZONE.fullmatch(str(source.get("TimezoneOffsetFromUTC") or ""))
    if found is None:
        return None
    sign = -1 if found[1] == "-" else 1
    return timezone(sign * timedelta(hours=int(found[2]), minutes=int(found[3])))
