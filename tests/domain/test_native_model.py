"""Data sets as XML and as JSON say the same, and XML of strangers does nothing but say something."""

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_ai_node.domain.errors import NotUnderstood
from dicom_ai_node.domain.native_model import NAMESPACE, xml_of
from dicom_ai_node.domain.native_model_read import DEEPEST, WIDEST_GAP, header_of

WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\r\n&<>\"']"),
    min_size=1,
    max_size=6,
)
CREATORS = st.sampled_from(["ACME", "ACME 2", 'a & "b"'])
NAMES = st.dictionaries(
    st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]),
    st.lists(WORDS | st.just(""), min_size=1, max_size=7).map("^".join),
    min_size=1,
)


def several(one: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return some values of one kind, empty ones among them."""
    values = st.lists(st.none() | one, min_size=1, max_size=4).filter(lambda found: found != [None])
    return st.just({}) | values.map(lambda found: {"Value": found})


def elements(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Return a tag and an element of it."""
    kinds = {
        "00080005 CS 00100020 LO 00204000 LT 00081190 UR 00080018 UI 00280009 AT": several(WORDS),
        "00100010 PN 00101001 PN": several(NAMES),
        "00200013 IS 00280010 US 0066002E UL 0040A162 SV": several(st.integers()),
        "00280030 DS 00409225 FD 00089459 FL": several(
            st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.just("1.50")
        ),
        "7FE00010 OW 00420011 OB": st.one_of(
            WORDS.map(lambda uri: {"BulkDataURI": uri}),
            st.just({}),
            st.just({"InlineBinary": "AQIDBA=="}),
        ),
        "00081140 SQ 0040A043 SQ": st.lists(items, max_size=3).map(
            lambda found: {"Value": found} if found else {}
        ),
    }
    found = []
    for said, rest in kinds.items():
        words = said.split()
        known = st.sampled_from(list(zip(words[::2], words[1::2], strict=True)))
        found.append(
            st.tuples(known, rest).map(lambda one: (one[0][0], {"vr": one[0][1], **one[1]}))
        )
    return st.one_of(found)


def with_private(header: dict[str, Any], blocks: dict[str, str]) -> dict[str, Any]:
    """Return a data set with private blocks: what each is called, and its creator."""
    made = dict(header)
    for block, creator in blocks.items():
        made[f"{block[:4]}00{block[4:]}"] = {"vr": "LO", "Value": [creator]}
        made[f"{block}01"] = {"vr": "UN", "InlineBinary": "AQI="}
        made[f"{block}FF"] = {"vr": "LO", "Value": ["x"]}
    return dict(sorted(made.items()))


BLOCKS = st.dictionaries(st.sampled_from(["000910", "000911", "002910"]), CREATORS, max_size=3)
ITEMS = st.builds(with_private, st.lists(elements(st.just({})), max_size=2).map(dict), BLOCKS)
HEADERS = st.builds(with_private, st.lists(elements(ITEMS), max_size=4).map(dict), BLOCKS)


@given(HEADERS)
def test_what_is_written_is_read_as_it_was(header: dict[str, Any]) -> None:
    """Names, sequences, bulk data, private blocks, empty values: nothing is lost on the way."""
    assert header_of(xml_of(header)) == json.loads(json.dumps(header))


def test_it_looks_as_the_standard_has_it() -> None:
    """Keywords, numbered values, components of names; of a private attribute the creator."""
    written = xml_of({
        "00090010": {"vr": "LO", "Value": ["ACME"]},
        "00091002": {"vr": "SH", "Value": ["x"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B^^Dr", "Ideographic": "山田"}]},
        "00280010": {"vr": "US", "Value": [2]},
    })  # fmt: skip
    assert written.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
        '<DicomAttribute tag="00090010" vr="LO"><Value number="1">ACME</Value></DicomAttribute>'
        '<DicomAttribute tag="00090002" vr="SH" privateCreator="ACME">'
        '<Value number="1">x</Value></DicomAttribute>'
        '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1">'
        "<Alphabetic><FamilyName>A</FamilyName><GivenName>B</GivenName><MiddleName></MiddleName>"
        "<NamePrefix>Dr</NamePrefix></Alphabetic><Ideographic><FamilyName>山田</FamilyName>"
        "</Ideographic></PersonName></DicomAttribute>"
        '<DicomAttribute tag="00280010" vr="US" keyword="Rows"><Value number="1">2</Value>'
        "</DicomAttribute></NativeDicomModel>"
    )


def test_what_xml_cannot_hold_is_marked() -> None:
    """An escape character, half a character: everything else of the value stays."""
    header = {"00204000": {"vr": "LT", "Value": ["a\x1b\ud800b\x00"]}}
    assert header_of(xml_of(header)) == {
        "00204000": {"vr": "LT", "Value": ["a\ufffd\ufffdb\ufffd"]}
    }


def document(inside: str, before: str = "") -> bytes:
    """Return a document as others write it: without a name space, spread over lines."""
    return (
        f'{before}<NativeDicomModel xml:space="preserve">\n{inside}\n</NativeDicomModel>'.encode()
    )


def test_values_that_are_left_out_are_empty() -> None:
    """Their numbers say so; what has no content has no value."""
    read = header_of(
        document(
            '<DicomAttribute tag="00080008" vr="CS">\n<Value number="2">A</Value>\n'
            '<Value number="4">B</Value></DicomAttribute>'
            '<DicomAttribute tag="00100010" vr="PN"><PersonName number="1"/></DicomAttribute>'
            '<DicomAttribute tag="00100020" vr="LO"><Value number="1"/></DicomAttribute>'
            '<DicomAttribute tag="0020000d" vr="UI" keyword="any"></DicomAttribute>'
        )
    )
    assert read == {
        "00080008": {"vr": "CS", "Value": [None, "A", None, "B"]},
        "00100010": {"vr": "PN"},
        "00100020": {"vr": "LO"},
        "0020000D": {"vr": "UI"},
    }


def test_a_private_attribute_without_its_block_gets_one() -> None:
    """That of its creator, or the first that is free; those in an item are of the item."""
    one = '<DicomAttribute tag="00090001" vr="LO" privateCreator="{}"><Value number="1">v</Value></DicomAttribute>'
    read = header_of(
        document(
            '<DicomAttribute tag="00090010" vr="LO"><Value number="1">OTHER</Value></DicomAttribute>'
            + one.format("ACME")
            + one.format("OTHER")
            + one.replace("01", "02").format("ACME")
            + f'<DicomAttribute tag="00081140" vr="SQ"><Item number="1">{one.format("X")}</Item></DicomAttribute>'
        )
    )
    value = {"vr": "LO", "Value": ["v"]}
    assert read == {
        "00081140": {"vr": "SQ", "Value": [{"00090010": {"vr": "LO", "Value": ["X"]}, "00091001": value}]},
        "00090010": {"vr": "LO", "Value": ["OTHER"]},
        "00090011": {"vr": "LO", "Value": ["ACME"]},
        "00091001": value,
        "00091101": value,
        "00091102": value,
    }  # fmt: skip


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
FILE = "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/hostname'>]>"
ELSEWHERE = "<!DOCTYPE x SYSTEM 'http://127.0.0.1:9/x.dtd'>"
VALUE = '<DicomAttribute tag="00100020" vr="LO"><Value number="1">{}</Value></DicomAttribute>'


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(document(VALUE.format("&b;"), BOMB), id="entities that grow"),
        pytest.param(document(VALUE.format("&a;"), FILE), id="a file of this machine"),
        pytest.param(document("", ELSEWHERE), id="a DTD from elsewhere"),
        pytest.param(document(VALUE.format("&a;")), id="an entity that nobody has declared"),
        pytest.param(b"\xff\xfe nothing", id="no XML"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"<?xml version='1.0' encoding='none-such'?><NativeDicomModel/>", id="encoding"),
        pytest.param(document("")[:-5], id="no end"),
        pytest.param(b"<html/>", id="another root"),
        pytest.param(document("<p/>"), id="no attribute"),
        pytest.param(document('<DicomAttribute tag="1" vr="LO"/>'), id="no tag"),
        pytest.param(document('<DicomAttribute tag="00100020"/>'), id="no VR"),
        pytest.param(document(VALUE.format("1") + VALUE.format("2")), id="twice"),
        pytest.param(document(VALUE.format("<b/>")), id="more than text"),
        pytest.param(document(VALUE.format("1").replace("LO", "SQ")), id="a value for an item"),
        pytest.param(document(VALUE.format("1").replace('"1"', '"0"')), id="number 0"),
        pytest.param(
            document(VALUE.format("1").replace('"1"', f'"{WIDEST_GAP + 2}"')), id="a wide gap"
        ),
        pytest.param(
            document('<DicomAttribute tag="7FE00010" vr="OW"><BulkData uuid="1"/></DicomAttribute>'),
            id="bulk data that nobody can find",
        ),
        pytest.param(
            document(
                '<DicomAttribute tag="00081140" vr="SQ"><Item number="1">' * (DEEPEST + 1)
                + "</Item></DicomAttribute>" * (DEEPEST + 1)
            ),
            id="too deep",
        ),
        pytest.param(b"<a>" * 200_000, id="endlessly deep"),
    ],
)  # fmt: skip
def test_what_is_no_data_set_is_refused(bad: bytes) -> None:
    """Nothing is expanded, fetched or guessed."""
    with pytest.raises(NotUnderstood):
        header_of(bad)


@given(st.binary() | st.text().map(str.encode) | HEADERS.map(xml_of).map(lambda whole: whole[:-30]))
def test_no_bytes_do_harm(noise: bytes) -> None:
    """They are a data set or are refused."""
    try:
        header_of(noise)
    except NotUnderstood:
        return
    assert ET.fromstring(noise).tag.endswith("NativeDicomModel")
