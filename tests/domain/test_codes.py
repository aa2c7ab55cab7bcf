"""Codes carry check digits; a mistyped one would name another structure."""

import pytest
from pydicom.sr.coding import Code

from dicom_ai_node.domain.codes import code


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(["91723000", "SCT", "Anatomical Structure"], id="SNOMED CT"),
        pytest.param(["11984-2", "LN", "Head Circumference"], id="LOINC"),
        pytest.param(["112031", "DCM", "Attenuation Coefficient"], id="DICOM"),
        pytest.param(["anything", "99LOCAL", "A structure of ours"], id="a scheme of one's own"),
    ],
)
def test_a_code_is_value_scheme_and_meaning(value: list[str]) -> None:
    """It comes back as pydicom knows codes."""
    assert code(value) == Code(*value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(["91732000", "SCT", "Anatomical Structure"], id="two digits swapped"),
        pytest.param(["91723001", "SCT", "Anatomical Structure"], id="one digit wrong"),
        pytest.param(["11984-3", "LN", "Head Circumference"], id="a LOINC check digit"),
        pytest.param(["11 2031", "DCM", "Attenuation Coefficient"], id="a space in it"),
        pytest.param([91723000, "SCT", "Anatomical Structure"], id="a number without quotes"),
        pytest.param(["91723000", "SCT"], id="no meaning"),
        pytest.param(["91723000", "SCT", ""], id="an empty meaning"),
        pytest.param(["1" * 17, "99LOCAL", "x"], id="too long for Code Value"),
        pytest.param(["1", "99LOCAL", "x" * 65], id="too long for Code Meaning"),
        pytest.param("91723000", id="a text"),
    ],
)
def test_a_code_that_cannot_be_one_is_refused(value: object) -> None:
    """Before it could reach a report."""
    with pytest.raises(ValueError, match=r"must be|is no code|more than"):
        code(value)
