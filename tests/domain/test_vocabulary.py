"""What a route may ask about a series."""

import pytest
from pydicom.datadict import keyword_dict

from dicom_ai_node.domain.vocabulary import FACTS, Kind, identifies, word
from dicom_ai_node.receive import attributes


@pytest.mark.parametrize(
    ("name", "kind", "is_list"),
    [
        pytest.param("Modality", Kind.TEXT, False, id="text"),
        pytest.param("SliceThickness", Kind.NUMBER, False, id="a decimal string is a number"),
        pytest.param("Rows", Kind.WHOLE, False, id="an unsigned short is a whole number"),
        pytest.param("ImageType", Kind.TEXT, True, id="several values are a list"),
        pytest.param("slices", Kind.WHOLE, False, id="a fact"),
    ],
)
def test_words_have_types(name: str, kind: Kind, is_list: bool) -> None:
    """The type follows from PS3.6, or from the table of facts."""
    found = word(name)
    assert found is not None
    assert (found.kind, found.is_list) == (kind, is_list)


@pytest.mark.parametrize(
    "name",
    [
        "PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "InstitutionName",
        "ReferringPhysicianName", "RequestingService", "OperatorsName", "PixelData",
        "ReferencedImageSequence", "Modalty", "",
    ],
)  # fmt: skip
def test_what_identifies_people_is_no_word(name: str) -> None:
    """Nor is what is no attribute, or no short one."""
    assert word(name) is None


def test_age_and_sex_may_decide() -> None:
    """A model for adults must be able to leave children out."""
    assert not identifies("PatientAge")
    assert word("PatientAge")
    assert word("PatientSex")


def test_every_word_is_kept_by_the_receiver() -> None:
    """A route that could be configured but never match would be a trap."""
    words = {name for name in keyword_dict if name and word(name)}
    kept = {name for name in keyword_dict if name and attributes._spoken(keyword_dict[name])}
    assert len(words) > 1000
    assert words <= kept


@pytest.mark.parametrize("name", FACTS)
def test_facts_are_documented_and_no_keywords(name: str) -> None:
    """Facts are in snake_case, so that they can never be taken for an attribute."""
    assert FACTS[name].meaning
    assert name == name.lower()
    assert name not in keyword_dict
