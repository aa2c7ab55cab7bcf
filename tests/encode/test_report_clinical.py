"""A report names what the model was told of the patient, and what it was not."""

from dataclasses import replace

from pydicom.dataset import Dataset

from dicom_ai_node.encode.report_clinical import clinical_groups
from dicom_ai_node.encode.structured_report import encode
from tests import phantoms
from tests.encode import scenes
from tests.peers import air


def _group(scene: scenes.Scene) -> Dataset:
    (report,) = encode(scene.findings, scene.origin)
    assert air.objections(report) == []
    group = report.ContentSequence[-1].ContentSequence[-1]
    assert isinstance(group, Dataset)
    return group


def test_known_facts_are_numbers_with_their_codes_and_units() -> None:
    """A sex is a code; a number has no more digits than anyone can use."""
    group = _group(scenes.fused(phantoms.ct(), phantoms.pet(), scenes.labs()))
    numbers = {
        item.ConceptNameCodeSequence[0].CodeValue: (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }
    assert numbers == {"121033": (71, "a"), "2339-0": (135.123, "mg/dL"), "2160-0": (0.9, "mg/dL")}
    codes = {
        item.ConceptNameCodeSequence[0].CodeValue: item.ConceptCodeSequence[0].CodeValue
        for item in group.ContentSequence
        if item.ValueType == "CODE"
    }
    assert codes["121032"] == "F"
    assert codes["121071"] == "CLINICAL"


def test_it_is_said_where_facts_are_from_and_which_are_unknown() -> None:
    """So that a reader can judge what the answer rests on."""
    group = _group(scenes.fused(phantoms.ct(), phantoms.pet(), scenes.labs()))
    assert [item.TextValue for item in group.ContentSequence if item.ValueType == "TEXT"][-4:] == [
        "Subject Age, Subject Sex: from the header of the images",
        "Glucose [Mass/volume] in Blood: from a structured report",
        "Body height: unknown to the model",
        (
            "Creatinine [Mass/volume] in Serum or Plasma: from a structured report of an earlier study,"
            " observed 12 days before this one"
        ),
    ]


def test_a_report_of_an_earlier_study_is_other_evidence() -> None:
    """Whoever wants to look it up finds it by what the new report names."""
    scene = scenes.fused(phantoms.ct(), phantoms.pet(), scenes.labs())
    (report,) = encode(scene.findings, scene.origin)
    named = {
        instance.ReferencedSOPInstanceUID
        for study in report.PertinentOtherEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    (told,) = [fact.report for fact in scene.findings.clinical if fact.days_before is not None]
    assert told is not None
    assert told.sop_instance_uid in named


def test_the_code_of_the_group_is_declared_as_our_own() -> None:
    """A private scheme that nobody knows would be a riddle."""
    scene = scenes.fused(phantoms.ct(), phantoms.pet())
    (report,) = encode(scene.findings, scene.origin)
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99DAIN"


def test_a_model_that_asks_for_nothing_has_no_such_group() -> None:
    """As most do."""
    scene = scenes.fused(phantoms.ct(), phantoms.pet())
    assert clinical_groups(replace(scene.findings, clinical=()), scene.origin) == []


def test_all_inputs_are_evidence_and_the_procedure_is_the_pet() -> None:
    """CT, PET and the report with the lab values; those of another study are other evidence."""
    scene = scenes.fused(phantoms.ct(), phantoms.pet(), scenes.labs())
    (report,) = encode(scene.findings, scene.origin)
    named = {
        item.SeriesInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for item in study.ReferencedSeriesSequence
    }
    wanted = (phantoms.ct()[0], phantoms.pet()[0], scenes.labs())
    assert {image.SeriesInstanceUID for image in wanted} <= named
    procedure = next(
        item
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "121058"
    )
    assert procedure.ConceptCodeSequence[0].CodeValue == "44136-0"
