"""What is known of a patient comes from headers and reports, and nothing of it is guessed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileDataset

from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.clinical import known_facts
from dicom_ai_node.samples.headers import code
from dicom_ai_node.samples.labs import lab_report
from tests import phantoms
from tests.model_folders import fuse_model


def _labs(*values: tuple[str, str, float, str, str], **changes: object) -> FileDataset:
    """Return a report of (code, scheme, value, unit, time) of the patient of the phantoms."""
    report = lab_report("labs")
    report.PatientID = phantoms.ct()[0].PatientID
    items = []
    for number, scheme, value, unit, at in values:
        measured, item = Dataset(), Dataset()
        measured.NumericValue = str(value)
        measured.MeasurementUnitsCodeSequence = [code(unit, "UCUM", unit)]
        item.RelationshipType, item.ValueType = "CONTAINS", "NUM"
        item.ConceptNameCodeSequence = [code(number, scheme, "Glucose")]
        item.MeasuredValueSequence = [measured]
        if at:
            item.ObservationDateTime = at
        items.append(item)
    report.ContentSequence = items
    for keyword, value in changes.items():
        setattr(report, keyword, value)
    return report


def _written(reports: Sequence[FileDataset], folder: Path) -> list[Path]:
    return [
        path
        for number, report in enumerate(reports)
        for path in phantoms.write([report], folder / str(number))
    ]


def _known(
    tmp_path: Path,
    reports: Sequence[FileDataset] = (),
    earlier: Sequence[FileDataset] = (),
    **header: object,
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    fuse_model(tmp_path)
    facts = Catalog([tmp_path]).facts("fused_pair")
    inputs = {
        "ct": phantoms.write(phantoms.ct(slices=2, **header), tmp_path / "ct"),
        "pet": phantoms.write(phantoms.pet(slices=2, **header), tmp_path / "pet"),
    }
    if reports:
        inputs["labs"] = _written(reports, tmp_path / "labs")
    known, notes = known_facts(inputs, facts, _written(earlier, tmp_path / "earlier"))
    return {fact.name: fact for fact in known}, notes


@pytest.mark.parametrize(
    ("said", "years"),
    [("071Y", 71), ("600M", 50), ("", None), ("006M", None)],
)
def test_an_age_counts_in_years(said: str, years: float | None, tmp_path: Path) -> None:
    """An Age String has a unit; what is absent, no number or not credible is unknown."""
    known, notes = _known(tmp_path, PatientAge=said)
    assert known["age"].value == years
    assert ("age cannot be right and counts as unknown" in notes) == (said == "006M")


@pytest.mark.parametrize(("said", "number"), [("F", 0), ("M", 1), ("O", None), ("", None)])
def test_a_sex_that_the_model_has_no_number_for_is_unknown(
    said: str, number: float | None, tmp_path: Path
) -> None:
    """It is not the one or the other."""
    known, _ = _known(tmp_path, PatientSex=said)
    assert known["sex"].value == number
    assert known["sex"].said == ("" if number is None else said)


def test_lab_values_are_found_by_code_and_unit_and_brought_to_one_unit(tmp_path: Path) -> None:
    """7.5 mmol/l are 135 mg/dl; the report that says so is named."""
    report = _labs(("15074-8", "LN", 7.5, "mmol/L", ""))
    known, notes = _known(tmp_path, [report], PatientAge="071Y", PatientSex="F")
    assert known["glucose"].value == pytest.approx(135)
    assert known["glucose"].report is not None
    assert known["glucose"].report.sop_instance_uid == report.SOPInstanceUID
    assert notes == ()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(("15074-8", "LN", 140, "mg/dL", ""), id="another unit than the code has"),
        pytest.param(("2339-0", "99HOSPITAL", 140, "mg/dL", ""), id="the code of another scheme"),
        pytest.param(("718-7", "LN", 14, "mg/dL", ""), id="something else"),
        pytest.param(("2339-0", "LN", 7, "mg/dL", ""), id="not credible"),
    ],
)
def test_what_is_not_surely_the_value_is_unknown(
    value: tuple[str, str, float, str, str], tmp_path: Path
) -> None:
    """A number alone says nothing."""
    known, notes = _known(tmp_path, [_labs(value)])
    assert known["glucose"].value is None
    assert any("unknown" in note and "glucose" in note for note in notes)


def test_of_several_values_the_last_that_was_observed_counts(tmp_path: Path) -> None:
    """In whatever order reports and numbers come."""
    reports = [
        _labs(
            ("2339-0", "LN", 150, "mg/dL", "20250303090000"),
            ("2339-0", "LN", 90, "mg/dL", "20250302090000"),
        ),
        _labs(("2339-0", "LN", 120, "mg/dL", "20250303080000"), SOPInstanceUID="2.25.77"),
    ]
    known, _ = _known(tmp_path, reports)
    assert known["glucose"].value == 150


def test_a_report_of_somebody_else_is_left_out(tmp_path: Path) -> None:
    """Whoever has put it into the study; the note names nobody."""
    other = _labs(("2339-0", "LN", 150, "mg/dL", ""), PatientID="OTHER-7")
    known, notes = _known(tmp_path, [other])
    assert known["glucose"].value is None
    assert "a report was left out: it is of another patient" in notes
    assert not any("OTHER" in note for note in notes)


def test_a_report_that_cannot_be_read_does_not_stop_the_job(tmp_path: Path) -> None:
    """The answer is then one without it."""
    broken = _labs(SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    known, notes = _known(tmp_path, [broken])
    assert known["glucose"].value is None
    assert "a report was left out: SR_UNREADABLE" in notes


def _earlier(day: str, value: float = 150, **changes: object) -> FileDataset:
    """Return a report of an earlier study with a glucose of that day."""
    seen = ("2339-0", "LN", value, "mg/dL", f"{day}120000")
    return _labs(seen, StudyInstanceUID="2.25.42", StudyDate=day, **changes)


@pytest.mark.parametrize(
    ("day", "days"),
    [
        pytest.param("20260108", 2, id="a few days ago"),
        pytest.param("20251231", 10, id="as long ago as the model allows"),
        pytest.param("20251230", None, id="too long ago"),
        pytest.param("20260111", None, id="after the study"),
    ],
)
def test_what_the_study_does_not_tell_is_looked_for_in_earlier_ones(
    day: str, days: float | None, tmp_path: Path
) -> None:
    """As far back as the model says; how long ago it was is a note, the value is not."""
    known, notes = _known(
        tmp_path, earlier=[_earlier(day)], StudyDate="20260110", StudyTime="120000"
    )
    assert known["glucose"].value == (None if days is None else 150)
    assert known["glucose"].days_before == days
    told = "glucose was observed %s days before the study"
    assert (told % days in notes) == (days is not None)
    assert not any("150" in note for note in notes)


def test_what_the_study_tells_counts_more_than_what_earlier_ones_told(tmp_path: Path) -> None:
    """Of several earlier ones the last counts."""
    header = {"StudyDate": "20260110", "StudyTime": "120000"}
    own = _labs(("2339-0", "LN", 90, "mg/dL", "20260110080000"))
    earlier = [_earlier("20260103", 120), _earlier("20260105", 150, SOPInstanceUID="2.25.43")]
    known, _ = _known(tmp_path / "own", [own], earlier, **header)
    assert (known["glucose"].value, known["glucose"].days_before) == (90, None)
    known, _ = _known(tmp_path / "earlier", earlier=earlier, **header)
    assert known["glucose"].value == 150


def test_what_a_model_was_told_once_is_no_observation(tmp_path: Path) -> None:
    """Our own reports repeat lab values; repeated, an old one would become a new one."""
    report = _earlier("20260108")
    finding = Dataset()
    finding.RelationshipType, finding.ValueType = "CONTAINS", "CODE"
    finding.ConceptNameCodeSequence = [code("121071", "DCM", "Finding")]
    finding.ConceptCodeSequence = [code("CLINICAL", "99DAIN", "Clinical facts")]
    group = Dataset()
    group.RelationshipType, group.ValueType = "CONTAINS", "CONTAINER"
    group.ContinuityOfContent = "SEPARATE"
    group.ConceptNameCodeSequence = [code("125007", "DCM", "Measurement Group")]
    group.ContentSequence = [finding, *report.ContentSequence]
    report.ContentSequence = [group]
    known, _ = _known(tmp_path, earlier=[report], StudyDate="20260110", StudyTime="120000")
    assert known["glucose"].value is None


def test_earlier_reports_of_somebody_else_are_left_out(tmp_path: Path) -> None:
    """Even if the ledger should take two people for one."""
    known, notes = _known(
        tmp_path, earlier=[_earlier("20260108", PatientID="OTHER-7")], StudyDate="20260110"
    )
    assert known["glucose"].value is None
    assert "a report was left out: it is of another patient" in notes
