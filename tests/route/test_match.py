"""Does a series meet some conditions, and if not, why not?"""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_ai_node.domain.rule import (
    Absent,
    Between,
    Condition,
    Contains,
    Matches,
    Not,
    OneOf,
    one_of,
)
from dicom_ai_node.domain.vocabulary import Value
from dicom_ai_node.route.match import holds, objections

TEXTS = st.text(max_size=30)
VALUES = st.one_of(st.none(), TEXTS, st.integers(), st.floats(), st.booleans())
ENDS = st.one_of(st.none(), st.floats(allow_nan=False))
CONDITIONS = st.recursive(
    st.one_of(
        st.builds(OneOf, st.frozensets(TEXTS, max_size=3)),
        st.builds(Between, ENDS, ENDS),
        st.builds(Contains, st.frozensets(TEXTS, max_size=3)),
        st.builds(Matches, TEXTS),
        st.builds(Absent, st.booleans()),
    ),
    lambda inner: st.builds(Not, inner),
    max_leaves=3,
)


@pytest.mark.parametrize(
    ("condition", "value", "is_met"),
    [
        pytest.param(one_of("CT"), "CT", True, id="equal"),
        pytest.param(one_of("ct"), " Ct ", True, id="case and padding do not count"),
        pytest.param(one_of("CT", "MR"), "PT", False, id="none of several"),
        pytest.param(one_of("LOCALIZER"), "ORIGINAL\\PRIMARY\\LOCALIZER", True, id="any value"),
        pytest.param(one_of("3"), "3.00", True, id="equal numbers"),
        pytest.param(one_of("3"), 3, True, id="a fact"),
        pytest.param(one_of("true"), True, True, id="a truth"),
        pytest.param(one_of("1"), True, False, id="true is not 1"),
        pytest.param(one_of("CT"), None, False, id="absent is nothing"),
        pytest.param(one_of(""), "", False, id="empty is absent"),
        pytest.param(Between(1, 5), "5.0", True, id="the ends belong to it"),
        pytest.param(Between(1, 5), "5.01", False, id="beyond the end"),
        pytest.param(Between(None, 5), -1e9, True, id="open below"),
        pytest.param(Between(1, None), math.inf, False, id="infinity is no number"),
        pytest.param(Between(1, 5), "thin", False, id="words are no number"),
        pytest.param(Between(1, 5), "0.4\\2", True, id="one of two numbers"),
        pytest.param(Between(0, 1), True, False, id="a truth is no number"),
        pytest.param(Between(18, None), "018Y", True, id="an age in years"),
        pytest.param(Between(18, None), "030M", False, id="an age in months"),
        pytest.param(Contains(frozenset({"t1"})), "Sag T1 mprage", True, id="somewhere"),
        pytest.param(Contains(frozenset({"t1", "t2"})), "FLAIR", False, id="nowhere"),
        pytest.param(Matches("t1.*"), "T1 MPRAGE", True, id="a pattern"),
        pytest.param(Matches("t1"), "T1 MPRAGE", False, id="a pattern is for the whole value"),
        pytest.param(Matches("a|b"), "ab", False, id="also with alternatives"),
        pytest.param(Matches("PRIMARY"), "ORIGINAL\\PRIMARY", True, id="a pattern for any value"),
        pytest.param(Matches("("), "(", False, id="a broken pattern matches nothing"),
        pytest.param(Matches("a*"), "a" * 2000, False, id="a very long value matches nothing"),
        pytest.param(Absent(), None, True, id="absent"),
        pytest.param(Absent(), "", True, id="empty counts as absent"),
        pytest.param(Absent(), " \\ ", True, id="empty values count as absent"),
        pytest.param(Absent(), "x", False, id="there"),
        pytest.param(Absent(False), "x", True, id="wanted and there"),
        pytest.param(Absent(False), None, False, id="wanted and absent"),
        pytest.param(Absent(False), False, True, id="false is a value"),
        pytest.param(Not(Contains(frozenset({"loc"}))), "Localizer", False, id="not"),
        pytest.param(Not(Contains(frozenset({"loc"}))), None, True, id="absent is not something"),
    ],
)
def test_conditions(condition: Condition, value: Value | None, is_met: bool) -> None:
    """Each kind of condition, with the values that senders really send."""
    assert holds(condition, value) is is_met


@given(condition=CONDITIONS, value=VALUES)
def test_not_is_the_opposite_of_every_condition(condition: Condition, value: Value | None) -> None:
    """Whatever the condition and the value, and neither can raise anything."""
    assert holds(Not(condition), value) is not holds(condition, value)


@given(condition=CONDITIONS, value=TEXTS, other=TEXTS)
def test_further_values_never_turn_a_series_away(
    condition: Condition, value: str, other: str
) -> None:
    """Of several values any will do, so that one more can only help, but for what is excluded."""
    if not isinstance(condition, Not | Absent) and holds(condition, value):
        assert holds(condition, f"{value}\\{other}")


@given(low=st.floats(-1e6, 1e6), high=st.floats(-1e6, 1e6), number=st.floats(-1e6, 1e6))
def test_a_range_means_what_it_says(low: float, high: float, number: float) -> None:
    """For numbers as facts and for the same numbers as text."""
    assert holds(Between(low, high), number) is (low <= number <= high)
    assert holds(Between(low, high), repr(number)) is (low <= number <= high)


@given(condition=CONDITIONS, value=VALUES)
def test_there_is_one_objection_exactly_if_the_condition_fails(
    condition: Condition, value: Value | None
) -> None:
    """No series is turned away without a reason, or taken with one."""
    values = {} if value is None else {"SeriesDescription": value}
    said = objections({"SeriesDescription": condition}, values)
    assert len(said) == (not holds(condition, value))


@pytest.mark.parametrize(
    ("name", "condition", "value", "said"),
    [
        pytest.param("Modality", one_of("CT"), "MR", "Modality is MR, wanted CT", id="a value"),
        pytest.param(
            "Modality", one_of("CT", "PT"), None,
            "Modality is absent or not the same in all instances, wanted CT or PT", id="absent",
        ),
        pytest.param("slices", Between(60), 12, "slices is 12, wanted at least 60", id="a fact"),
        pytest.param(
            "slice_spacing_mm", Between(None, 2), 2.500000001,
            "slice_spacing_mm is 2.5, wanted at most 2", id="a number is rounded",
        ),
        pytest.param(
            "is_original", one_of("true"), False, "is_original is false, wanted TRUE", id="a truth"
        ),
        pytest.param(
            "ImageType", Not(one_of("DERIVED")), r"DERIVED\SECONDARY",
            "ImageType is DERIVED and SECONDARY, wanted not DERIVED", id="several values",
        ),
        pytest.param(
            "FrameOfReferenceUID", one_of("1.2.3"), "1.2.840.99.7",
            "FrameOfReferenceUID is another UID, wanted 1.2.3", id="no UID of the patient is told",
        ),
        pytest.param(
            "SOPClassUID", one_of("1.2.3"), "1.2.840.10008.5.1.4.1.1.2",
            "SOPClassUID is CT Image Storage, wanted 1.2.3", id="a UID of the standard by its name",
        ),
        pytest.param(
            "SeriesDescription", one_of("A"), "x\n" + "y" * 100,
            f"SeriesDescription is x {'y' * 61}…, wanted A", id="a long text is cut",
        ),
    ],
)  # fmt: skip
def test_an_objection_is_a_sentence(
    name: str, condition: Condition, value: Value | None, said: str
) -> None:
    """What it is, and what was wanted."""
    values = {} if value is None else {name: value}
    assert objections({name: condition}, values) == [said]


def test_conditions_are_all_told() -> None:
    """An operator sees at once everything that keeps a series away."""
    when = {"Modality": one_of("CT"), "slices": Between(3), "Rows": one_of("512")}
    values: dict[str, Value] = {"Modality": "MR", "slices": 1, "Rows": "512"}
    assert [said.split()[0] for said in objections(when, values)] == ["Modality", "slices"]


@pytest.mark.parametrize("pattern", ["(a+)+", "(a|aa)+", "(a|a?)+", "(.*a){12}"])
def test_no_pattern_holds_up_the_node(pattern: str) -> None:
    """These take Python's own matcher longer than anyone lives."""
    start = time.monotonic()
    assert not holds(Matches(f"{pattern}b"), "a" * 1000 + "!")
    assert time.monotonic() - start < 30
