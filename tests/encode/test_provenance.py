"""Where a result comes from."""

from pydicom.dataset import Dataset

from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.headers import normalised
from dicom_ai_node.encode.provenance import (
    add_loss,
    add_references,
    contributing_equipment,
    derived_from,
    is_coded,
    request_attributes,
)
from tests import phantoms
from tests.encode import scenes


def test_equipment_of_the_source_is_kept_if_its_purpose_is_coded() -> None:
    """Half an item would make the result invalid."""
    whole, half = Dataset(), Dataset()
    whole.Manufacturer = half.Manufacturer = "Gateway"
    whole.PurposeOfReferenceCodeSequence = [Dataset()]
    purpose = whole.PurposeOfReferenceCodeSequence[0]
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109103", "DCM"
    purpose.CodeMeaning = "Modifying Equipment"
    source = normalised(phantoms.dx(ContributingEquipmentSequence=[whole, half]))
    origin = scenes.origin([source])
    items = contributing_equipment(origin, source, origin.created_at)
    assert [item.Manufacturer for item in items] == ["Gateway", "Phantoms", "dicom_ai_node"]


def test_sources_in_another_study_are_referenced_as_such() -> None:
    """A prior is no part of the study that the result belongs to."""
    now = normalised(phantoms.dx())
    prior = normalised(phantoms.cr(StudyInstanceUID=derive_uid("prior")))
    header = Dataset()
    header.StudyInstanceUID = now.StudyInstanceUID
    add_references(header, [now, prior])
    (series,) = header.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == now.SeriesInstanceUID
    (study,) = header.StudiesContainingOtherReferencedInstancesSequence
    assert study.StudyInstanceUID == prior.StudyInstanceUID


def test_what_was_lost_stays_lost() -> None:
    """A result of a lossy image says so, with ratio and method."""
    clean = normalised(phantoms.us())
    lossy = normalised(
        phantoms.us(
            LossyImageCompression="01",
            LossyImageCompressionRatio="12.5",
            LossyImageCompressionMethod="ISO_10918_1",
        )
    )
    header = Dataset()
    add_loss(header, [clean])
    assert header.LossyImageCompression == "00"
    add_loss(header, [clean, lossy])
    assert header.LossyImageCompression == "01"
    assert header.LossyImageCompressionRatio == 12.5


def test_a_frame_of_a_cine_is_named_by_its_number() -> None:
    """A frame of a single image is the image."""
    cine, still = normalised(phantoms.us_cine()), normalised(phantoms.us())
    for source, has_number in ((cine, True), (still, False)):
        item = derived_from(source, SourceFrame(source.SOPInstanceUID, 3))
        assert ("ReferencedFrameNumber" in item.SourceImageSequence[0]) is has_number


def test_requests_are_repeated_if_they_say_what_was_requested() -> None:
    """An item without the two identifiers that it needs is left out."""
    good, bad = Dataset(), Dataset()
    good.RequestedProcedureID, good.ScheduledProcedureStepID = "R1", "S1"
    bad.RequestedProcedureDescription = "chest"
    source = normalised(phantoms.dx(RequestAttributesSequence=[good, bad]))
    assert [item.RequestedProcedureID for item in request_attributes(source)] == ["R1"]


def test_a_code_has_value_scheme_and_meaning() -> None:
    """A sequence that is empty or lacks one is no code."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = "1", "DCM"
    assert not is_coded(None)
    assert not is_coded([])
    assert not is_coded([item])
    item.CodeMeaning = "One"
    assert is_coded([item])
