"""A change stands in the report as a change, and not as what was measured."""

from pydicom.dataset import Dataset

from dicom_ai_node.encode.report_courses import CHANGE, INTERVAL, QUANTITY, RATE, RELATIVE_CHANGE
from dicom_ai_node.encode.write import ENCODERS, encode_job
from dicom_ai_node.infer.reports import reported
from tests import phantoms
from tests.encode import scenes


def _report(scene: scenes.Scene) -> Dataset:
    return dict(encode_job(scene.findings, scene.origin, ENCODERS))["structured_report"]


def _group(report: Dataset, place: int) -> dict[str, Dataset]:
    """Return the items of a group about a course by what they are called."""
    groups = [
        group
        for group in report.ContentSequence[-1].ContentSequence
        if group.ContentSequence[0].TextValue.startswith("Course of")
    ]
    items = groups[place].ContentSequence
    return {item.ConceptNameCodeSequence[0].CodeValue: item for item in items}


def _number(item: Dataset) -> tuple[float, str]:
    value = item.MeasuredValueSequence[0]
    return float(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue


def test_a_group_tells_what_has_changed_and_how_fast() -> None:
    """By how much and how many percent, in how many days, and the slope over all studies."""
    group = _group(_report(scenes.compared(phantoms.ct())), 0)
    assert _number(group[INTERVAL.value]) == (90.0, "d")
    assert _number(group[CHANGE.value]) == (89.0, "cm3")
    assert _number(group[RELATIVE_CHANGE.value]) == (5.521, "%")
    assert _number(group[RATE.value]) == (0.8056, "cm3/d")
    assert group[QUANTITY.value].ConceptCodeSequence[0].CodeValue == scenes.VOLUME.value
    assert group["121106"].TextValue == (
        "Now 1701 (1698 to 1704) cm3; before 1500 cm3 on 2025-01-01, 1490 (1489 to 1491) cm3 on"
        " 2025-04-01, 1612 (1610 to 1614) cm3 on 2025-06-30"
    )


def test_what_has_no_rate_or_percentage_gets_none() -> None:
    """An attenuation has no growth, and nothing is a percentage of 0."""
    report = _report(scenes.compared(phantoms.ct()))
    attenuation, whole = _group(report, 1), _group(report, 2)
    assert RATE.value not in attenuation
    assert attenuation["121401"].ConceptCodeSequence[0].CodeMeaning == "Mean"
    assert RELATIVE_CHANGE.value not in whole
    assert whole["121071"].ConceptCodeSequence[0].CodeMeaning == "Image Region"


def test_the_earlier_reports_are_evidence() -> None:
    """Each once, by its study and series, apart from what this study consists of."""
    scene = scenes.compared(phantoms.ct())
    report = _report(scene)
    named = {
        (study.StudyInstanceUID, item.ReferencedSOPInstanceUID)
        for study in report.PertinentOtherEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert named == {
        (ref.study_instance_uid, ref.sop_instance_uid)
        for course in scene.findings.courses
        for ref in course.reports
    }


def test_nobody_can_take_an_earlier_value_for_a_later_one() -> None:
    """Read again, the report has the volumes that were measured now and no others."""
    plain = reported(_report(scenes.scene(phantoms.ct())))
    compared = reported(_report(scenes.compared(phantoms.ct())))
    told = [
        [item.value for item in report.measurements if item.concept == scenes.VOLUME]
        for report in (plain, compared)
    ]
    assert told[0] == told[1]


def test_without_earlier_studies_nothing_is_added() -> None:
    """No group, no evidence and no codes of our own."""
    report = _report(scenes.scene(phantoms.ct()))
    assert "PertinentOtherEvidenceSequence" not in report
    assert "CodingSchemeIdentificationSequence" not in report
