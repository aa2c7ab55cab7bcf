"""A model states its conditions in the words of a route."""

import pytest

from dicom_ai_node.domain.rule import Absent, Between, Condition, Contains, Matches, Not, one_of
from dicom_ai_node.infer.requires import condition


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param("CT", one_of("CT"), id="a value"),
        pytest.param(3, one_of("3"), id="a number"),
        pytest.param(True, one_of("true"), id="yes or no"),
        pytest.param(["CT", "PT"], one_of("CT", "PT"), id="a list is any of them"),
        pytest.param({"min": 8}, Between(8, None), id="at least"),
        pytest.param({"min": 1, "max": 2.5}, Between(1, 2.5), id="an interval"),
        pytest.param({"contains": "T1"}, Contains(frozenset({"T1"})), id="a part of the text"),
        pytest.param(
            {"contains": ["T1", "T2"]}, Contains(frozenset({"T1", "T2"})), id="one of some parts"
        ),
        pytest.param({"matches": "T[12]"}, Matches("T[12]"), id="a regular expression"),
        pytest.param({"absent": False}, Absent(is_absent=False), id="present"),
        pytest.param({"not": {"contains": "x"}}, Not(Contains(frozenset({"x"}))), id="not"),
    ],
)
def test_a_condition_is_read_as_in_a_route(written: object, meant: Condition) -> None:
    """Who can write a route can read a model folder."""
    assert condition(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        pytest.param({}, id="nothing"),
        pytest.param([], id="an empty list"),
        pytest.param({"min": "8"}, id="a number in quotes"),
        pytest.param({"min": True}, id="yes as a number"),
        pytest.param({"min": 1, "contains": "x"}, id="two at once"),
        pytest.param({"matches": "("}, id="a broken expression"),
        pytest.param({"contains": []}, id="contains nothing"),
        pytest.param({"absent": "yes"}, id="a text for yes"),
        pytest.param(None, id="null"),
        pytest.param({"eval": "1"}, id="an unknown word"),
    ],
)
def test_anything_else_is_a_mistake(written: object) -> None:
    """A condition that is not understood is not taken for one that always holds."""
    with pytest.raises(ValueError, match=r"must be|must|is no"):
        condition(written)
