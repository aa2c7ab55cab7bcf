"""Who a result is."""

from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from dicom_ai_node.domain.uids import JobKey, is_uid
from dicom_ai_node.encode.headers import normalised
from dicom_ai_node.encode.identity import (
    file_meta,
    local_time,
    result_header,
    series_instance_uid,
    series_number,
    sop_instance_uid,
    tracking_uid,
)
from dicom_ai_node.encode.write import ENCODERS
from tests import phantoms
from tests.encode import scenes


def _origin(**changes: object) -> scenes.Origin:
    return scenes.origin([normalised(phantoms.dx())], **changes)


def _header(received: Dataset, **changes: object) -> Dataset:
    source = normalised(received)
    return result_header(
        scenes.origin([source], **changes), source, SegmentationStorage, "segmentation"
    )


def test_uids_depend_on_the_job_and_nothing_else() -> None:
    """The same job has the same UIDs for ever, another job has others, each object its own."""
    one, same, other = _origin(), _origin(), _origin(job=JobKey("00" * 32))
    assert series_instance_uid(one, "segmentation") == series_instance_uid(same, "segmentation")
    assert series_instance_uid(one, "segmentation") != series_instance_uid(other, "segmentation")
    uids = {sop_instance_uid(one, kind, index) for kind in ENCODERS for index in range(3)}
    uids |= {series_instance_uid(one, kind) for kind in ENCODERS}
    uids |= {tracking_uid(one, segment) for segment in scenes.MODEL.segments}
    assert len(uids) == len(ENCODERS) * 4 + 3
    assert all(is_uid(uid) for uid in uids)


@pytest.mark.parametrize(
    ("kind", "hundred"),
    [
        ("segmentation", 91),
        ("segmentation_fractional", 91),
        ("segmentation_labelmap", 91),
        ("structured_report", 92),
        ("secondary_capture", 94),
        ("parametric_map", 94),
        ("derived_image", 95),
        ("rt_structure_set", 96),
    ],
)
def test_series_numbers_tell_the_kind(kind: str, hundred: int) -> None:
    """A radiologist finds all segmentations in the 9100s, whatever the job."""
    for job in range(50):
        assert series_number(_origin(job=JobKey(f"{job:064x}")), kind) // 100 == hundred


def test_no_two_series_of_a_job_share_a_number() -> None:
    """Also where a route asks for three forms of the same segmentation."""
    origin = _origin()
    assert len({series_number(origin, kind) for kind in ENCODERS}) == len(ENCODERS)


def test_a_result_belongs_to_the_patient_and_study_of_its_source() -> None:
    """In the same study, in a series of its own."""
    source = phantoms.dx()
    header = _header(source)
    for keyword in ("PatientName", "PatientID", "PatientSex", "PatientBirthDate", "StudyID",
                    "StudyInstanceUID", "StudyDate", "AccessionNumber", "BodyPartExamined"):  # fmt: skip
        assert header.get(keyword) == source.get(keyword)
    assert header.SeriesInstanceUID != source.SeriesInstanceUID
    assert header.SeriesDescription == "AI Abdominal organs"
    assert header.ContentQualification == "RESEARCH"


def test_a_result_names_model_node_and_scanner() -> None:
    """The model by its Device UID, with the purpose that the site wants."""
    purpose = Code("Newcode1", "99IHE", "Processing Algorithm")
    header = _header(phantoms.dx(), equipment_purpose=purpose)
    scanner, model = header.ContributingEquipmentSequence
    assert scanner.Manufacturer == "Phantoms"
    assert model.DeviceUID == scenes.MODEL.device_uid
    assert model.PurposeOfReferenceCodeSequence[0].CodeValue == "Newcode1"
    assert header.SoftwareVersions == ["1.2.0", "dicom_ai_node 0.1.0"]


def test_results_count_time_as_their_source_does() -> None:
    """A Series Date before the Study Date would look like another examination."""
    east = normalised(phantoms.dx(TimezoneOffsetFromUTC="+0800"))
    origin = scenes.origin([east], created_at=datetime(2026, 1, 31, 20, 0, tzinfo=UTC))
    assert local_time(origin, east).strftime("%Y%m%d%H") == "2026020104"
    header = result_header(origin, east, SegmentationStorage, "segmentation")
    assert header.SeriesDate == header.ContentDate == "20260201"
    assert header.TimezoneOffsetFromUTC == "+0800"


def test_files_name_this_node_and_no_library() -> None:
    """Whoever has trouble with a file finds out who wrote it."""
    meta = file_meta(_header(phantoms.dx()))
    assert meta.ImplementationVersionName == "dicom_ai_node"
    assert len(meta.ImplementationVersionName) <= 16
    assert is_uid(meta.ImplementationClassUID)


def test_what_was_asked_of_the_source_is_repeated() -> None:
    """De-identification and clinical trial attributes stay with the patient."""
    header = _header(
        phantoms.dx(
            PatientIdentityRemoved="YES",
            ClinicalTrialSponsorName="S",
            ClinicalTrialProtocolID="P",
            ClinicalTrialSubjectID="7",
        )
    )
    assert header.PatientIdentityRemoved == "YES"
    assert header.DeidentificationMethod
    assert header.ClinicalTrialSubjectID == "7"
    assert "ClinicalTrialProtocolName" in header
