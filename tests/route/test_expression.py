"""CEL expressions decide what conditions cannot; they can do nothing else."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_ai_node.domain.vocabulary import FACTS, Value
from dicom_ai_node.route.expression import objection

CT: dict[str, Value] = {
    "Modality": "CT",
    "ImageType": r"ORIGINAL\PRIMARY\AXIAL",
    "SliceThickness": "2.5",
    "Rows": "512",
    "PixelSpacing": r"0.5\0.7",
    "slices": 80,
    "is_original": True,
}


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("slices >= 60 && Modality == 'CT'", id="and"),
        pytest.param("slices > 100 || 'AXIAL' in ImageType", id="or"),
        pytest.param("SliceThickness < 5", id="numbers of both kinds are compared"),
        pytest.param("double(slices) * SliceThickness >= 200.0", id="arithmetic: coverage in mm"),
        pytest.param("PixelSpacing.all(mm, mm < 1.0)", id="a list of numbers"),
        pytest.param("Rows == 512", id="a whole number from text"),
        pytest.param("is_original", id="a truth"),
        pytest.param("SeriesDescription == ''", id="an absent text is empty"),
        pytest.param("size(ScanOptions) == 0", id="an absent list is empty"),
        pytest.param("KVP > 100.0 || Modality == 'CT'", id="absent does not spoil the other half"),
    ],
)
def test_an_expression_holds(expression: str) -> None:
    """Names are keywords and facts, each with its type."""
    assert objection(expression, CT) == ""


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        pytest.param("slices > 100", "slices > 100 does not hold (slices is 80)", id="false"),
        pytest.param(
            "KVP > 100.0",
            "KVP > 100.0 cannot be decided (KVP is absent or not the same in all instances)",
            id="an absent number is neither large",
        ),
        pytest.param(
            "!(KVP > 100.0)",
            "!(KVP > 100.0) cannot be decided (KVP is absent or not the same in all instances)",
            id="nor small",
        ),
        pytest.param(
            "!contrast",
            "!contrast cannot be decided (contrast is absent or not the same in all instances)",
            id="an unknown truth is neither",
        ),
        pytest.param("slices", "slices does not hold (slices is 80)", id="a number is not true"),
        pytest.param("slices +", "the expression slices + is no CEL", id="broken"),
        pytest.param("nobody > 1", "nobody > 1 cannot be decided ()", id="an unknown name"),
        pytest.param(
            "1 / (slices - 80) > 0",
            "1 / (slices - 80) > 0 cannot be decided (slices is 80)",
            id="division by zero",
        ),
    ],
)
def test_an_expression_that_does_not_hold_says_with_which_values(
    expression: str, said: str
) -> None:
    """Errors are objections: a series is not lost, and nothing crashes."""
    assert objection(expression, CT) == said


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "open('/etc/passwd')",
        "().__class__",
        "Modality.__class__",
    ],
)
def test_an_expression_cannot_reach_python(expression: str) -> None:
    """It is never evaluated by Python."""
    assert "cannot be decided" in objection(expression, CT) or "no CEL" in objection(expression, CT)


def test_a_nested_loop_ends_soon() -> None:
    """The worst that a thousand characters can do is a moment's work, of the processor."""
    ten = "[0,1,2,3,4,5,6,7,8,9]"
    loop = f"{ten}.all(a,{ten}.all(b,{ten}.all(c,{ten}.all(d,a+b+c+d>=0))))"
    start = time.process_time()
    assert objection(loop, {}) == ""
    assert time.process_time() - start < 5


@given(
    values=st.dictionaries(
        st.sampled_from([*FACTS, "Rows", "SliceThickness", "ImageType", "Modality"]),
        st.text(max_size=20),
    )
)
def test_no_header_makes_an_expression_fall_over(values: dict[str, str]) -> None:
    """A sender can write anything; the answer is a sentence or nothing."""
    expression = "Rows > 3 && SliceThickness < 2.0 && 'A' in ImageType && Modality != 'CT'"
    assert isinstance(objection(expression, values), str)
