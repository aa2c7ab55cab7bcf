"""Single values."""

import pytest

from dicom_ai_node.encode.values import repaired, repaired_name, repaired_sex


@pytest.mark.parametrize(
    ("vr", "received", "written"),
    [
        pytest.param("DA", "20250228", "20250228", id="a date stays"),
        pytest.param("DA", "2025.02.28", "20250228", id="dots are from ACR-NEMA"),
        pytest.param("DA", "1960", "", id="a year is no date"),
        pytest.param("DA", "20250231", "", id="nor is a day that never was"),
        pytest.param("TM", "101010.123456", "101010.123456", id="a time stays"),
        pytest.param("TM", "101010.1234567", "101010.123456", id="six decimals at most"),
        pytest.param("TM", "10:10:10", "101010", id="colons are from ACR-NEMA"),
        pytest.param("TM", "25", "", id="there is no 25th hour"),
        pytest.param("DT", "20250228101010.5+0800", "20250228101010.5+0800", id="with its zone"),
        pytest.param("DT", "20259928101010", "", id="a date time needs a date"),
        pytest.param("CS", " chest ", "CHEST", id="codes are in capitals"),
        pytest.param("CS", "CHEST, LUNG", "", id="and hold no comma"),
        pytest.param("UI", "1.2.840.10008.1.1\0", "1.2.840.10008.1.1", id="a UID without padding"),
        pytest.param("UI", "1.02.3", "", id="a UID has no leading zeros"),
        pytest.param("DS", "-123.5404569", "-123.5404569", id="a number keeps its digits"),
        pytest.param("DS", "0.1234567890123456789", "0.12345678901235", id="or loses the last"),
        pytest.param("DS", "1,5", "", id="a comma is no point"),
        pytest.param("DS", "nan", "", id="no number is no number"),
        pytest.param("IS", "12.0", "12", id="an integer may come with a point"),
        pytest.param("IS", "12.5", "", id="but not with a fraction"),
        pytest.param("AS", "065Y", "065Y", id="an age"),
        pytest.param("AS", "65", "", id="an age needs its unit"),
        pytest.param("SH", "12345678901234567890", "1234567890123456", id="short text is cut"),
        pytest.param("LO", "one\nline", "one line", id="a description is one line"),
        pytest.param("LT", "two\nlines", "two\nlines", id="a long text may have several"),
    ],
)
def test_values_are_repaired_or_left_empty(vr: str, received: str, written: str) -> None:
    """What PS3.5 6.2 forbids is not written again; what can be saved is saved."""
    assert repaired(vr, received) == written


@pytest.mark.parametrize(
    ("received", "written"),
    [("m", "M"), ("Female", "F"), ("U", ""), ("UNKNOWN", ""), ("O", "O"), ("", "")],
)
def test_the_sex_is_one_of_three_letters_or_empty(received: str, written: str) -> None:
    """'U' is what many systems send and no value of the standard."""
    assert repaired_sex(received) == written


def test_a_name_keeps_its_three_groups() -> None:
    """Alphabetic, ideographic and phonetic; a fourth is not one, nor are line ends."""
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert repaired_name(name) == name
    assert repaired_name(f"{name}=x") == name
    assert repaired_name("Wang^XiaoDong=王^小东=") == "Wang^XiaoDong=王^小东"
    assert repaired_name("A\r\nB") == "AB"
