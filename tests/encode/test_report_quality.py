"""What a report says about the input itself."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.encode.structured_report import encode
from tests import phantoms
from tests.encode import scenes
from tests.peers import air

Said = dict[str, str]


def _group(scene: scenes.Scene) -> Dataset:
    (report,) = encode(scene.findings, scene.origin)
    assert air.objections(report) == []
    (group,) = [
        group
        for group in report.ContentSequence[-1].ContentSequence
        if "111101" in {_code(item) for item in group.ContentSequence if item.ValueType == "CODE"}
    ]
    assert isinstance(group, Dataset)
    return group


def _code(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)


def _said(group: Dataset) -> Said:
    """Return the meanings of all codes and the values of all numbers, by concept."""
    found: Said = {}
    for item in group.ContentSequence:
        name = str(item.ConceptNameCodeSequence[0].CodeValue)
        if item.ValueType == "CODE":
            found[name] = str(item.ConceptCodeSequence[0].CodeMeaning)
        if item.ValueType == "NUM":
            found[name] = str(item.MeasuredValueSequence[0].NumericValue)
    return found


@pytest.mark.parametrize(
    ("scene", "rating"),
    [
        pytest.param(
            lambda: scenes.doubtful([phantoms.cr()]), "Limited quality", id="it was reported"
        ),
        pytest.param(
            lambda: scenes.doubtful([phantoms.cr()], declined="IN_MANIPULATED: why"),
            "Non-diagnostic quality", id="it was declined",
        ),
    ],
)  # fmt: skip
def test_the_report_tells_what_was_measured_and_what_follows(
    scene: Callable[[], scenes.Scene], rating: str
) -> None:
    """Both scores with both answers, in codes of our own that the report declares."""
    made = scene()
    said = _said(_group(made))
    assert (said["ADVSCORE"], said["OODSCORE"]) == ("7.25", "0.93")
    assert (said["ADVFLAG"], said["OODFLAG"]) == ("Present", "Absent")
    assert said["QUALITY"] == rating
    (report,) = encode(made.findings, made.origin)
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99DAIN"


def test_an_input_in_which_nothing_was_noticed_is_not_called_good() -> None:
    """There is no rating: the guard looks for two things only."""
    quality = scenes.quality(())
    unnoticed = tuple(replace(check, score=check.threshold - 1) for check in quality.checks)
    said = _said(_group(scenes.doubtful([phantoms.cr()], checks=unnoticed)))
    assert (said["ADVFLAG"], said["OODFLAG"]) == ("Absent", "Absent")
    assert "QUALITY" not in said


def test_a_declined_input_is_reported_without_any_finding() -> None:
    """Looked, could not: one group with the reason, and nothing that reads like an answer."""
    made = scenes.declined(phantoms.ct(4))
    (report,) = encode(made.findings, made.origin)
    (group,) = report.ContentSequence[-1].ContentSequence
    texts = [item.TextValue for item in group.ContentSequence if item.ValueType == "TEXT"]
    assert any("GEO_MISSING_SLICE" in text for text in texts)
    assert "between 3 and 6 mm" in texts
    assert _said(group)["QUALITY"] == "Non-diagnostic quality"
    assert "17621005" not in {
        _code(item) for item in group.ContentSequence if item.ValueType == "CODE"
    }
