"""Single items of reports, from senders who do not all take care."""

from datetime import datetime

import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.infer.content import code_of, moment, moment_of
from tests import phantoms


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("20251212", (2025, 12, 12)),
        ("2025121212", (2025, 12, 12, 12)),
        ("202512121213", (2025, 12, 12, 12, 13)),
        ("20251212121314.5+0100", (2025, 12, 12, 12, 13, 14)),
        ("20251312", None),
        ("2025", None),
        ("", None),
        ("tomorrow", None),
    ],
)
def test_a_moment_is_read_as_it_is_written(text: str, meant: tuple[int, ...] | None) -> None:
    """To the hour, the minute or the second; what is no date is none."""
    assert moment(text) == (None if meant is None else datetime(*meant))  # type: ignore[arg-type]  # noqa: DTZ001


def test_a_study_without_a_time_begins_with_its_day() -> None:
    """And one without a date has no moment."""
    assert moment_of(phantoms.cr(StudyTime=""), "Study") == datetime(2025, 1, 2)  # noqa: DTZ001
    assert moment_of(phantoms.cr(StudyDate=""), "Study") is None


@pytest.mark.parametrize(
    ("value", "scheme", "meant"),
    [
        pytest.param("T-28000", "SRT", ("39607008", "SCT"), id="SNOMED RT"),
        pytest.param("T-28000", "SNM3", ("39607008", "SCT"), id="SNOMED 3"),
        pytest.param("39607008", "SCT", ("39607008", "SCT"), id="SNOMED CT"),
        pytest.param("mine", "99MINE", ("mine", "99MINE"), id="private"),
        pytest.param("mine", "", None, id="without a scheme"),
    ],
)
def test_old_codes_become_new_ones(value: str, scheme: str, meant: tuple[str, str] | None) -> None:
    """So that a lung is a lung in a report of any year."""
    item, coded = Dataset(), Dataset()
    coded.CodeValue, coded.CodingSchemeDesignator = value, scheme
    item.ConceptNameCodeSequence = [coded]
    found = code_of(item)
    assert (None if found is None else found[:2]) == meant
