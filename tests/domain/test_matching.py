"""What a key finds: the table of PS3.4 C.2.2.2, line by line."""

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_ai_node.domain.archive import Key
from dicom_ai_node.domain.errors import Refused
from dicom_ai_node.domain.levels import path_of, vr_of
from dicom_ai_node.domain.matching import header_test, matches
from dicom_ai_node.domain.names import fold


def key(name: str, value: str) -> Key:
    """Return a key by keyword."""
    return Key(path=path_of(name), value=value)


def header(**elements: object) -> dict[str, Any]:
    """Return a header by keyword: one value, or a list of them."""
    made: dict[str, Any] = {}
    for keyword, value in elements.items():
        (tag,) = path_of(keyword)
        values = value if isinstance(value, list) else [value]
        made[tag] = {"vr": vr_of(tag), "Value": values}
    return made


def name(alphabetic: str = "", ideographic: str = "", phonetic: str = "") -> dict[str, str]:
    """Return a name of a person as DICOM JSON has it."""
    return {"Alphabetic": alphabetic, "Ideographic": ideographic, "Phonetic": phonetic}


@pytest.mark.parametrize(
    ("asked", "held", "is_found"),
    [
        pytest.param("Patient1", "Patient1", True, id="a single value"),
        pytest.param("patient1", "Patient1", False, id="is compared with its case"),
        pytest.param(" Patient1 ", "Patient1", True, id="spaces around it say nothing"),
        pytest.param("", "Patient1", True, id="nothing matches everything"),
        pytest.param("*", None, True, id="an asterisk, too, also what is empty"),
        pytest.param("Pat*", "Patient1", True, id="what begins so"),
        pytest.param("*ent*", "Patient1", True, id="what holds it"),
        pytest.param("P?tient?", "Patient1", True, id="a question mark is one character"),
        pytest.param("Patient1?", "Patient1", False, id="and not none"),
        pytest.param("P.*", "Patient1", False, id="a dot is a dot"),
        pytest.param("*1*1", "Patient1", False, id="a character is used once"),
        pytest.param("A\\Patient1", "Patient1", True, id="one of several values"),
        pytest.param('""', "Patient1", False, id="two quotation marks: only what is empty"),
        pytest.param('""', None, True, id="which this is"),
        pytest.param('""\\Patient1', None, True, id="empty or a value"),
        pytest.param("B", ["A", "B"], True, id="any value of several matches"),
    ],
)
def test_text_matches_as_it_is_written(asked: str, held: object, is_found: bool) -> None:
    """With wildcards; an identifier of a patient is a text."""
    assert matches(key("PatientID", asked), header(PatientID=held)) is is_found


def test_what_a_header_does_not_say_is_found_by_no_value() -> None:
    """But by one that matches everything, or what is empty."""
    assert not matches(key("PatientID", "?*"), {})
    assert matches(key("PatientID", '""'), {})
    assert matches(key("PatientID", ""), {})


@pytest.mark.parametrize(
    ("asked", "held", "is_found"),
    [
        pytest.param("yamada^tarou", name("Yamada^Tarou"), True, id="whatever the case"),
        pytest.param("Muller", name("Müller^Jörg"), False, id="a family name is not the whole"),
        pytest.param("Muller^Jorg", name("Müller^Jörg"), True, id="without the accents"),
        pytest.param("MÜLLER*", name("muller^jorg"), True, id="with accents that are not there"),
        pytest.param("Lukasz", name("Łukasz"), True, id="a stroke is an accent"),
        pytest.param("Smith^John^^^", name("Smith^John"), True, id="empty components at the end"),
        pytest.param("Smith^*", name("Smith"), True, id="or a pattern of them"),
        pytest.param("Smith", name("Smith^^^"), True, id="at the end of the held name"),
        pytest.param("山田^太郎", name("Yamada^Tarou", "山田^太郎"), True, id="ideographs"),
        pytest.param("山田*", name("Yamada^Tarou", "山田^太郎"), True, id="a part of them"),
        pytest.param("=山田*", name("Yamada^Tarou", "山田^太郎"), True, id="in their place"),
        pytest.param("=Yamada*", name("Yamada^Tarou", "山田^太郎"), False, id="not in another"),
        pytest.param("やまだ^*", name("Yamada", "山田", "やまだ^たろう"), True, id="sounds"),
        pytest.param("ﾔﾏﾀﾞ", name("", "", "ヤマダ"), True, id="half-width letters"),
        pytest.param("ヤマタ", name("", "", "ヤマダ"), False, id="voicing is no accent"),
        pytest.param("김^희중", name("Gim^Huijung", "金^喜中", "김^희중"), True, id="Hangul"),
        pytest.param("김희중", name("", "", "김^희중"), False, id="a caret is not nothing"),
        pytest.param("Yamada^T*=山田*", name("Yamada^Tarou", "山田^太郎"), True, id="both"),
        pytest.param("Yamada^T*=王*", name("Yamada^Tarou", "山田^太郎"), False, id="not both"),
        pytest.param("A\\Smith", name("Smith"), True, id="one of several names"),
    ],
)
def test_a_name_is_found_in_any_way_of_writing(
    asked: str, held: dict[str, str], is_found: bool
) -> None:
    """No case, no accents, each component group; nothing at the end says nothing."""
    assert matches(key("PatientName", asked), header(PatientName=held)) is is_found


@pytest.mark.parametrize(
    ("asked", "held", "is_found"),
    [
        pytest.param("john smi", name("Smith^John"), True, id="beginnings in any order"),
        pytest.param("mith", name("Smith^John"), False, id="a beginning, not a middle"),
        pytest.param("john miller", name("Smith^John"), False, id="all of them"),
        pytest.param("Smith^John", name("Smith^John"), True, id="as it is written"),
        pytest.param("jorg", name("Müller^Jörg"), True, id="without accents"),
        pytest.param("王小東", name("Wang^XiaoDong", "王^小東"), True, id="no space between"),
        pytest.param("小", name("Wang^XiaoDong", "王^小東"), True, id="a given name"),
        pytest.param("小東王", name("Wang^XiaoDong", "王^小東"), False, id="not the wrong way"),
        pytest.param("*mith*", name("Smith^John"), True, id="wildcards do what they do"),
    ],
)
def test_a_fuzzy_name_is_found_by_the_beginnings_of_its_words(
    asked: str, held: dict[str, str], is_found: bool
) -> None:
    """Where the asker says so."""
    one = key("PatientName", asked)
    assert matches(one, header(PatientName=held), is_fuzzy=True) is is_found


@pytest.mark.parametrize(
    ("name_of", "asked", "held", "is_found"),
    [
        pytest.param("StudyDate", "20040119", "20040119", True, id="a day"),
        pytest.param("StudyDate", "20040119", "2004.01.19", True, id="as it used to be written"),
        pytest.param("StudyDate", "20040118-20040119", "20040119", True, id="the last of a range"),
        pytest.param("StudyDate", "20040120-", "20040119", False, id="before a range"),
        pytest.param("StudyDate", "-20040119", "20040119", True, id="up to a day"),
        pytest.param("StudyDate", "20040119", "yesterday", False, id="what is no date"),
        pytest.param("StudyDate", "-20040119", None, False, id="a range finds nothing empty"),
        pytest.param("StudyTime", "10", "103059", True, id="an hour holds its seconds"),
        pytest.param("StudyTime", "1030-1031", "103159.999999", True, id="to the end of a minute"),
        pytest.param("StudyTime", "103159.5-", "103159.4", False, id="to a fraction"),
        pytest.param("StudyTime", "-0800", "09", False, id="later"),
        pytest.param("AcquisitionDateTime", "2004", "20040119072730", True, id="a year"),
        pytest.param("AcquisitionDateTime", "2004-2005", "20060101", False, id="years"),
        pytest.param("AcquisitionDateTime", "200402-", "20040229235959.9", True, id="a leap day"),
        pytest.param(
            "AcquisitionDateTime", "20040119-0500", "20040120045959+0000", True, id="a day there"
        ),
        pytest.param(
            "AcquisitionDateTime", "2004011912+0100-2004011913+0100", "2004011911+0000", True,
            id="hours here and there",
        ),
        pytest.param(
            "AcquisitionDateTime", "20040119-0500-20040120-0500", "20040121-0500", False,
            id="a range with offsets",
        ),
        pytest.param("PatientAge", "031Y", "031Y", True, id="an age"),
        pytest.param("InstanceNumber", "007", 7, True, id="a number is not its digits"),
        pytest.param("SliceThickness", "1.50", 1.5, True, id="nor its zeros"),
        pytest.param("Rows", "512\\128", 128, True, id="one of several numbers"),
        pytest.param("StudyInstanceUID", "1.2\\1.3", "1.3", True, id="one of several UIDs"),
        pytest.param("StudyInstanceUID", "1.2", "1.2.3", False, id="a whole UID"),
        pytest.param("FrameIncrementPointer", "0018106a", "0018106A", True, id="a tag"),
        pytest.param("StudyDate", "*", "20040119", True, id="an asterisk is everything"),
    ],
)  # fmt: skip
def test_other_values_match_by_what_they_mean(
    name_of: str, asked: str, held: object, is_found: bool
) -> None:
    """Dates and times as far as they are told, numbers as numbers."""
    assert matches(key(name_of, asked), header(**{name_of: held})) is is_found


@pytest.mark.parametrize(
    ("name_of", "asked"),
    [
        pytest.param("StudyDate", "2004*", id="no wildcards in a date"),
        pytest.param("StudyDate", "20040230", id="a day that there is not"),
        pytest.param("StudyDate", "-", id="a range without ends"),
        pytest.param("StudyDate", "20050101-20040101", id="a range that ends before it begins"),
        pytest.param("StudyTime", "25", id="an hour that there is not"),
        pytest.param("AcquisitionDateTime", "20041301", id="a month that there is not"),
        pytest.param("AcquisitionDateTime", "20040101+9900", id="an offset of no place"),
        pytest.param("StudyInstanceUID", "1.2.*", id="no wildcards in a UID"),
        pytest.param("InstanceNumber", "1-5", id="no range of numbers"),
        pytest.param("Rows", "1_0", id="digits only"),
        pytest.param("PatientAge", "31", id="an age without its unit"),
        pytest.param("PixelData", "1", id="no bytes"),
        pytest.param("ProcedureCodeSequence", "1", id="no whole sequence"),
        pytest.param("PatientID.CodeValue", "1", id="nothing in what is no sequence"),
        pytest.param("FrameIncrementPointer", "Rows", id="a tag by its digits"),
    ],
)
def test_what_cannot_be_compared_is_refused(name_of: str, asked: str) -> None:
    """In words that name the attribute and repeat nothing of what somebody has typed."""
    with pytest.raises(Refused, match=re.escape(name_of.split(".", maxsplit=1)[0])) as refusal:
        matches(key(name_of, asked), {})
    assert asked not in str(refusal.value) or len(asked) < 3


def test_a_name_of_no_attribute_is_refused() -> None:
    """A keyword or a tag, not nothing and not too deep."""
    for wrong in ("", "NoSuchThing", "0010", "PatientID.", ".".join(["0040A730"] * 9)):
        with pytest.raises(Refused):
            path_of(wrong)
    assert path_of("RequestAttributesSequence.00401001") == ("00400275", "00401001")


def test_keys_in_a_sequence_match_the_same_item() -> None:
    """One item with both values, not one each."""
    items = [
        header(CodeValue="A", CodingSchemeDesignator="X"),
        header(CodeValue="B", CodingSchemeDesignator="Y"),
    ]
    held = header(ProcedureCodeSequence=items)
    a = key("ProcedureCodeSequence.CodeValue", "A")
    x = key("ProcedureCodeSequence.CodingSchemeDesignator", "X")
    y = key("ProcedureCodeSequence.CodingSchemeDesignator", "Y")
    assert header_test([a, x])(held)
    assert not header_test([a, y])(held)
    assert not header_test([a])({})


def test_days_and_times_are_one_span() -> None:
    """From the first day at the first time; or each day, where that was agreed."""
    held = header(StudyDate="20040102", StudyTime="0300")
    both = [key("StudyDate", "20040101-20040103"), key("StudyTime", "0800-1700")]
    assert header_test(both)(held)
    assert not header_test(both, joins_date_and_time=False)(held)
    assert not header_test(both)(header(StudyDate="20040101", StudyTime="0759"))
    assert header_test(both)(header(StudyDate="20040103", StudyTime="1700"))
    assert not header_test(both)(header(StudyDate="20040103", StudyTime="1701"))
    assert header_test(both)(header(StudyDate="20040103"))
    assert not header_test(both)(header(StudyTime="0900"))


def test_an_unlisted_attribute_has_the_vr_that_its_header_says() -> None:
    """A private one, for example."""
    one = Key(path=("00091001",), value="7")
    assert matches(one, {"00091001": {"vr": "IS", "Value": [7]}})
    assert matches(one, {"00091001": {"vr": "LO", "Value": ["7"]}})
    assert not matches(one, {"00091001": {"vr": "OB", "InlineBinary": "AAAA"}})
    assert not matches(one, {})


def test_many_wildcards_take_no_longer() -> None:
    """A pattern that would take another matcher for ever."""
    began = time.monotonic()
    asked = key("PatientComments", "*a" * 2000 + "b")
    assert not matches(asked, header(PatientComments="a" * 10_000))
    assert time.monotonic() - began < 30


@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", max_size=8))
def test_wildcards_are_what_they_are_elsewhere(asked: str, held: str) -> None:
    """Whatever the pattern, as a plain regular expression sees it."""
    plain = asked.replace("?", ".").replace("*", ".*")
    is_found = matches(key("PatientID", asked), header(PatientID=held))
    assert is_found is (not asked or re.fullmatch(plain, held) is not None)


@given(st.text(max_size=80), st.sampled_from(["PatientName", "StudyDate", "StudyTime", "Rows",
       "AcquisitionDateTime", "PatientID", "StudyInstanceUID", "PatientAge"]))  # fmt: skip
def test_any_text_is_matched_or_refused(text: str, name_of: str) -> None:
    """On both sides: what somebody types and what a file holds."""
    held = header(PatientName=name(text), PatientID=text, StudyDate=text, StudyTime=text,
                  AcquisitionDateTime=text, PatientAge=text)  # fmt: skip
    try:
        test = header_test([key(name_of, text)], is_fuzzy=True)
    except Refused:
        return
    assert test(held) in (True, False)


@given(st.text(max_size=20))
def test_a_fold_is_folded_once(text: str) -> None:
    """Folding what has been folded changes nothing: the index and the question agree."""
    assert fold(fold(text)) == fold(text)
