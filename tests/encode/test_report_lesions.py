"""Every lesion has a group of its own, by which the next study finds it again."""

import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.lesions import LONG_AXIS, SHORT_AXIS
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.report_lesions import response_in_words
from dicom_ai_node.encode.write import ENCODERS, encode_job
from dicom_ai_node.infer.reports import reported
from tests import phantoms
from tests.encode import scenes


@pytest.fixture(scope="module")
def scene() -> scenes.Scene:
    """Return a PET with lesions."""
    return scenes.with_lesions(phantoms.pet())


@pytest.fixture(scope="module")
def report(scene: scenes.Scene) -> Dataset:
    """Return its report."""
    return dict(encode_job(scene.findings, scene.origin, ENCODERS))["structured_report"]


def _group(report: Dataset, name: str) -> dict[str, Dataset]:
    """Return what is said about a lesion, by the codes of the items."""
    (group,) = [
        group
        for group in report.ContentSequence[-1].ContentSequence
        if group.ContentSequence[0].TextValue == name
    ]
    return {
        (item.get("ConceptNameCodeSequence") or [Dataset()])[0].get("CodeValue", ""): item
        for item in group.ContentSequence
    }


def test_a_lesion_is_read_back_with_its_place(scene: scenes.Scene, report: Dataset) -> None:
    """Diameters, tracking UID, and where it lies in which frame of reference."""
    lesions = scene.findings.lesions
    assert lesions is not None
    found = {
        item.tracking_uid: item
        for item in reported(report).measurements
        if item.concept == LONG_AXIS and item.place is not None
    }
    assert len(found) == 3
    for lesion in lesions.present:
        item = found[lesion.tracking_uid]
        assert item.value == pytest.approx(lesion.long_mm, rel=1e-5)
        assert item.place is not None
        assert item.place.at_mm == pytest.approx(lesion.centre_mm)
        assert item.place.frame_of_reference_uid == lesions.frame_of_reference_uid
        assert item.tracking_id == f"Liver no. {lesion.number}"
        assert item.sources == (lesion.frame.sop_instance_uid,)


def test_it_says_what_has_become_of_each(report: Dataset) -> None:
    """Known, new, a part, merged or not found any more."""
    fates = {
        number: _group(report, f"Liver no. {number}")["FATE"].ConceptCodeSequence[0].CodeValue
        for number in range(1, 6)
    }
    assert fates == {1: "FOLLOWED", 2: "NEW", 3: "PART", 4: "MERGED", 5: "VANISHED"}
    merged = _group(report, "Liver no. 4")
    assert merged["121106"].TextValue == "Merged with Liver no. 1"
    assert derive_uid("lesion", "4") == merged["112040"].UID
    assert LONG_AXIS.value not in merged


def test_only_a_pet_lesion_has_an_uptake(report: Dataset) -> None:
    """Where there is none, nothing is said."""
    first, second = _group(report, "Liver no. 1"), _group(report, "Liver no. 2")
    assert first["126401"].MeasuredValueSequence[0].NumericValue == 9.5
    assert "126401" not in second
    assert SHORT_AXIS.value in second


def test_the_response_is_called_what_it_is(scene: scenes.Scene, report: Dataset) -> None:
    """In the words of RECIST and with the word that it is not a person's judgement."""
    group = _group(report, "Target lesions")
    assert group["112048"].ConceptCodeSequence[0].CodeMeaning == "Target Lesion Stable Disease"
    assert "research" in group["112021"].ConceptCodeSequence[0].CodeMeaning
    assert group["SUMLD"].MeasuredValueSequence[0].NumericValue == 40
    assert group["SUMFIRST"].MeasuredValueSequence[0].NumericValue == -20
    assert group["NEWCOUNT"].MeasuredValueSequence[0].NumericValue == 1
    lesions = scene.findings.lesions
    assert lesions is not None
    assert lesions.response is not None
    assert group["121106"].TextValue == response_in_words(lesions.response)
    assert response_in_words(lesions.response) == (
        "Targets 1, 5: 40.0 mm, first 50.0 mm, least 35.0 mm; 1 new:"
        " like progressive disease (research)"
    )
