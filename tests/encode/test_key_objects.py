"""Earlier studies of the same patient that look alike are named in a document of its own."""

from dataclasses import replace

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.encode.key_objects import encode
from tests.encode import scenes


def _scene() -> scenes.Scene:
    return scenes.alike(scenes.ALIKE["CT"]())


def _selected(document: Dataset) -> list[str]:
    return [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in document.ContentSequence
        if item.ValueType == "IMAGE"
    ]


def test_it_names_one_image_of_every_earlier_study_the_most_similar_first() -> None:
    """As content, and in the evidence under the study and series that it belongs to."""
    scene = _scene()
    (document,) = encode(scene.findings, scene.origin)
    headers = [prior.header for prior in scene.origin.priors]
    assert document.SOPClassUID == KeyObjectSelectionDocumentStorage
    assert document.Modality == "KO"
    assert document.ConceptNameCodeSequence[0].CodeValue == "113000"
    assert _selected(document) == [header.SOPInstanceUID for header in headers]
    evidence = {
        study.StudyInstanceUID: study.ReferencedSeriesSequence[0].SeriesInstanceUID
        for study in document.CurrentRequestedProcedureEvidenceSequence
    }
    assert evidence == {header.StudyInstanceUID: header.SeriesInstanceUID for header in headers}


def test_it_lies_in_the_study_that_was_looked_at_and_is_marked_as_research() -> None:
    """Of the same patient, and there are no copies of it in the studies that it names."""
    scene = _scene()
    (document,) = encode(scene.findings, scene.origin)
    source = scene.origin.sources[0]
    assert document.StudyInstanceUID == source.StudyInstanceUID
    assert document.PatientID == source.PatientID
    assert document.ContentQualification == "RESEARCH"
    assert "IdenticalDocumentsSequence" not in document
    (text,) = (
        item.TextValue
        for item in document.ContentSequence
        if "ConceptNameCodeSequence" in item
        and item.ConceptNameCodeSequence[0].CodeValue == "113012"
    )
    assert text.startswith("RESEARCH")
    assert "1. study of 20240101, CT, similarity 0.93" in text
    assert "2. study of 20240102, CT, similarity 0.81" in text


def test_without_an_earlier_study_nothing_is_written() -> None:
    """And nothing of an input that the model declined."""
    scene = _scene()
    assert encode(scene.findings, replace(scene.origin, priors=())) == []
    assert encode(Findings(), scene.origin) == []


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        pytest.param("PatientID", "ANOTHER", id="another patient"),
        pytest.param("IssuerOfPatientID", "ANOTHER", id="the same number of another hospital"),
        pytest.param("PatientID", "", id="nobody knows whose"),
    ],
)
def test_an_image_of_another_patient_is_never_named(keyword: str, value: str) -> None:
    """Whatever the index said: the header of the image is asked again."""
    scene = _scene()
    setattr(scene.origin.priors[1].header, keyword, value)
    with pytest.raises(TaskFailed, match="same patient"):
        encode(scene.findings, scene.origin)


def test_who_has_no_number_has_no_past() -> None:
    """Two people without a Patient ID are not one."""
    scene = _scene()
    for header in (*scene.origin.sources, *(prior.header for prior in scene.origin.priors)):
        header.PatientID = ""
    with pytest.raises(TaskFailed, match="same patient"):
        encode(scene.findings, scene.origin)
