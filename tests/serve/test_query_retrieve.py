"""How an identifier becomes a query of the archive, and a header an answer."""

import struct
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence as Items

from dicom_ai_node.domain.archive import Header, Held, Key, Level, Query
from dicom_ai_node.domain.errors import NotAnswerable, NotUnderstood
from dicom_ai_node.domain.query_retrieve import Asked, Match, Root
from dicom_ai_node.domain.uids import (
    AETitle,
    SeriesInstanceUID,
    SOPInstanceUID,
    StudyInstanceUID,
)
from dicom_ai_node.serve.character_sets import fitting
from dicom_ai_node.serve.identifier import identifier_of
from dicom_ai_node.serve.query_retrieve import PAGE, QueryRetrieve
from tests.receive.rawpeer import encoded

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


class Paper:
    """An archive of headers in a list, that remembers what it was asked; it matches nothing."""

    def __init__(self, headers: Sequence[Header]) -> None:
        self.headers_here = list(headers)
        self.queries: list[Query] = []

    def search(self, query: Query) -> Sequence[Header]:
        """Return a page of what there is."""
        self.queries.append(query)
        return self.headers_here[query.offset : query.offset + query.limit]

    def held(
        self,
        study: StudyInstanceUID,
        series: SeriesInstanceUID | None = None,
        instance: SOPInstanceUID | None = None,
    ) -> Sequence[Held]:
        """Return nothing."""
        return []

    def headers(self, held: Sequence[Held]) -> Iterator[bytes]:
        """Yield nothing."""
        yield from ()

    def instances(self, sop_instance_uids: Sequence[SOPInstanceUID]) -> Sequence[Held]:
        """Return nothing."""
        return []


def asked(dataset: Dataset, *, root: Root = Root.STUDY, syntax: str = EXPLICIT) -> Asked:
    """Return a question as it comes from the port."""
    data = encoded(dataset, implicit=syntax == IMPLICIT, little=syntax != BIG)
    return Asked(root=root, identifier=data, transfer_syntax_uid=syntax)


def identifier(level: str = "STUDY", **keys: object) -> Dataset:
    """Return an identifier."""
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return dataset


def study(name: str = "Doe^Jane", **more: Header) -> Header:
    """Return the header of a study."""
    return {
        "00080020": {"vr": "DA", "Value": ["20250102"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]},
        "00100020": {"vr": "LO", "Value": ["ID"]},
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        **more,
    }


def read(match: Match, syntax: str = EXPLICIT) -> Dataset:
    """Return an answer as who asked reads it."""
    return read_dataset(BytesIO(match.identifier), syntax == IMPLICIT, syntax != BIG)


def answers(dataset: Dataset, header: Header, syntax: str = EXPLICIT) -> Dataset:
    """Return the answer to a question of somebody, from one header."""
    [match] = QueryRetrieve(Paper([header]), AETitle("AI_NODE")).find(asked(dataset, syntax=syntax))
    return read(match, syntax)


def test_what_is_filled_in_has_to_match() -> None:
    """As it was written: wildcards, ranges and lists are for the archive to understand."""
    dataset = identifier(
        PatientName="D?e*", StudyDate="20250101-", StudyInstanceUID=["1.2", "1.3"],
        StudyDescription="*", AccessionNumber="",
    )  # fmt: skip
    assert set(identifier_of(asked(dataset)).keys) == {
        Key(path=("00100010",), value="D?e*"),
        Key(path=("00080020",), value="20250101-"),
        Key(path=("0020000D",), value="1.2\\1.3"),
    }


def test_keys_lie_in_sequences_too() -> None:
    """Each with the tags that lead to it."""
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "T-1", ""
    dataset = identifier(ProcedureCodeSequence=Items([inner]), RequestAttributesSequence=Items())
    keys = identifier_of(asked(dataset)).keys
    assert keys == (Key(path=("00081032", "00080100"), value="T-1"),)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_a_question_is_read_and_answered_in_its_transfer_syntax(syntax: str) -> None:
    """All that an identifier can be encoded in; numbers among them."""
    dataset = identifier(PatientName="Doe*", StudyInstanceUID="", PatientSize="", Rows=64)
    header = study(**{"00101020": {"vr": "DS", "Value": [1.753]}})
    assert Key(path=("00280010",), value="64") in identifier_of(asked(dataset, syntax=syntax)).keys
    answer = answers(dataset, header, syntax)
    assert (answer.PatientName, answer.PatientSize, answer.Rows) == ("Doe^Jane", 1.753, None)


@pytest.mark.filterwarnings("ignore::UserWarning")  # as in the node: pydicom tells of odd terms
@pytest.mark.parametrize(
    ("character_set", "name", "told"),
    [
        pytest.param("", "Müller^Jörg", "ISO_IR 192", id="who says nothing gets UTF-8"),
        pytest.param("ISO_IR 100", "Müller^Jörg", "ISO_IR 100", id="Latin 1"),
        pytest.param("ISO_IR 100", "王^小明", "ISO_IR 192", id="Latin 1 cannot hold Chinese"),
        pytest.param("GB18030", "王^小明", "GB18030", id="Chinese"),
        pytest.param("ISO_IR 144", "Иванов", "ISO_IR 144", id="Cyrillic"),
        pytest.param("\\ISO 2022 IR 87", "山田^太郎", "\\ISO 2022 IR 87", id="Japanese"),
        pytest.param("\\ISO 2022 IR 87", "Müller", "ISO_IR 192", id="Latin 1 is not in that"),
        pytest.param("\\ISO 2022 IR 149", "홍^길동", "\\ISO 2022 IR 149", id="Korean"),
        pytest.param("ISO_IR 13", "ﾔﾏﾀﾞ", "ISO_IR 13", id="half-width katakana"),
        pytest.param("ISO_IR 13", "山田", "ISO_IR 192", id="which hold no kanji"),
        pytest.param("\\ISO 2022 IR 159", "丂", "\\ISO 2022 IR 159", id="supplementary kanji"),
        pytest.param("ISO_IR 999", "Doe^Jane", "ISO_IR 192", id="nobody knows that"),
        pytest.param("GB18030\\ISO_IR 100", "王", "ISO_IR 192", id="what stands alone"),
    ],
)
def test_an_answer_is_in_the_characters_of_who_asks(
    character_set: str, name: str, told: str
) -> None:
    """If they can hold it; old archives do not know UTF-8."""
    # By hand, for pydicom writes none that does not exist.
    said = character_set.encode() + b" " * (len(character_set) % 2)
    data = struct.pack("<HH2sH", 8, 5, b"CS", len(said)) + said
    data += encoded(identifier(PatientName="", StudyInstanceUID=""))
    question = Asked(root=Root.STUDY, identifier=data, transfer_syntax_uid=EXPLICIT)
    [match] = QueryRetrieve(Paper([study(name)]), AETitle("AI_NODE")).find(question)
    answer = read(match)
    assert answer.SpecificCharacterSet == (told.split("\\") if "\\" in told else told)
    assert answer.PatientName == name


def test_a_key_is_in_its_own_characters() -> None:
    """The archive is asked for what the asker means, not for its bytes."""
    dataset = identifier(PatientName="王*")
    dataset.SpecificCharacterSet = "GB18030"
    assert identifier_of(asked(dataset)).keys == (Key(path=("00100010",), value="王*"),)


def test_of_a_sequence_comes_what_was_asked_for() -> None:
    """The keys in its item, or whole items where there are none."""
    item = {
        "00080100": {"vr": "SH", "Value": ["T-1"]},
        "00080104": {"vr": "LO", "Value": ["Brain"]},
    }
    header = study(**{"00081032": {"vr": "SQ", "Value": [item]}})
    inner = Dataset()
    inner.CodeMeaning = ""
    some = answers(identifier(ProcedureCodeSequence=Items([inner])), header)
    assert some.ProcedureCodeSequence[0].CodeMeaning == "Brain"
    assert "CodeValue" not in some.ProcedureCodeSequence[0]
    all_of_it = answers(identifier(ProcedureCodeSequence=Items()), header)
    assert all_of_it.ProcedureCodeSequence[0].CodeValue == "T-1"


def test_odd_values_of_a_header_are_told_as_they_are() -> None:
    """What somebody has stored is not ours to judge; what cannot be told at all is empty."""
    header = study(
        **{
            "00080054": {"vr": "AE"},
            "00101010": {"vr": "AS", "Value": ["old"]},
            "00101020": {"vr": "DS", "Value": ["tall"]},
            "00280009": {"vr": "AT", "Value": ["00181063"]},
            "00080061": {"vr": "CS", "Value": ["CT", "MR"]},
        }
    )
    answer = answers(
        identifier(
            PatientAge="", PatientSize="", FrameIncrementPointer=None, ModalitiesInStudy="",
            StudyInstanceUID="",
        ),
        header,
    )  # fmt: skip
    assert answer.get_item("PatientAge").value.strip() == b"old"
    assert answer.PatientSize is None
    assert (answer.FrameIncrementPointer, answer.ModalitiesInStudy) == (0x00181063, ["CT", "MR"])


def test_pages_follow_each_other_while_they_are_asked_for() -> None:
    """No more than a page is in memory, and who stops asking ends the search."""
    paper = Paper([study()] * (2 * PAGE + 1))
    found = QueryRetrieve(paper, AETitle("AI_NODE")).find(asked(identifier(StudyInstanceUID="")))
    next(found)
    assert [query.offset for query in paper.queries] == [0]
    assert sum(1 for _ in found) == 2 * PAGE
    assert [query.offset for query in paper.queries] == [0, PAGE, 2 * PAGE]
    assert {query.level for query in paper.queries} == {Level.STUDY}


def test_a_patient_is_told_once_with_all_his_studies() -> None:
    """The Patient Root model, from an archive of studies; what belongs to a study stays empty."""

    def of(patient: str, series: int, instances: int) -> Header:
        header = dict(study(f"Name of^{patient}"))
        header["00100020"] = {"vr": "LO", "Value": [patient]}
        header["00201206"] = {"vr": "IS", "Value": [series]}
        header["00201208"] = {"vr": "IS", "Value": [instances]}
        return header

    paper = Paper([of("A", 1, 10), of("B", 2, 20), of("A", 3, 30)])
    keys = identifier(
        "PATIENT", PatientID="", PatientName="", StudyDate="", NumberOfPatientRelatedStudies="",
        NumberOfPatientRelatedSeries="", NumberOfPatientRelatedInstances="",
    )  # fmt: skip
    asks = QueryRetrieve(paper, AETitle("AI_NODE"))
    first, second = map(read, asks.find(asked(keys, root=Root.PATIENT)))
    assert (first.PatientID, first.PatientName, first.StudyDate) == ("A", "Name of^A", "")
    assert first.NumberOfPatientRelatedStudies == 2
    assert first.NumberOfPatientRelatedSeries == 4
    assert first.NumberOfPatientRelatedInstances == 40
    assert (second.PatientID, second.NumberOfPatientRelatedInstances) == ("B", 20)


def test_a_key_that_nobody_looks_at_is_told() -> None:
    """By another pending status: there may be more answers than match."""
    asks = QueryRetrieve(Paper([study()]), AETitle("AI_NODE"))
    [whole] = asks.find(asked(identifier(PatientName="Doe*")))
    private = identifier(PatientName="Doe*")
    private.private_block(0x9, "SOMEBODY", create=True).add_new(1, "LO", "x")
    [partly] = asks.find(asked(private))
    assert (whole.is_complete, partly.is_complete) == (True, False)
    assert not any(element.tag.is_private for element in read(partly))


def nested(depth: int) -> Dataset:
    """Return keys in sequences in sequences."""
    dataset = identifier()
    here = dataset
    for _ in range(depth):
        inner = Dataset()
        here.ContentSequence = Items([inner])
        here = inner
    here.CodeValue = "1"
    return dataset


@pytest.mark.parametrize(
    ("made", "error"),
    [
        pytest.param(lambda: identifier("SHELF"), NotAnswerable, id="no such level"),
        pytest.param(Dataset, NotAnswerable, id="no level"),
        pytest.param(lambda: identifier("PATIENT"), NotAnswerable, id="patients in Study Root"),
        pytest.param(lambda: nested(12), NotUnderstood, id="nested too deep"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    made: Callable[[], Dataset], error: type[Exception]
) -> None:
    """In words that quote nothing of it."""
    with pytest.raises(error):
        identifier_of(asked(made()))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), syntax=st.sampled_from([EXPLICIT, IMPLICIT, BIG]))
def test_any_bytes_are_a_question_or_none(data: bytes, syntax: str) -> None:
    """Nothing but these two errors comes out of it."""
    question = Asked(root=Root.PATIENT, identifier=data, transfer_syntax_uid=syntax)
    try:
        identifier_of(question)
    except (NotUnderstood, NotAnswerable):
        return


@given(name=st.text(max_size=8), terms=st.lists(st.sampled_from(["", "ISO_IR 100", "GB18030"])))
def test_some_character_set_is_always_found(name: str, terms: list[str]) -> None:
    """That of the asker or UTF-8."""
    assert fitting(terms, [name]) in (terms, ["ISO_IR 192"])


def test_the_list_of_failures_fits_into_its_element() -> None:
    """The length of a UI has two bytes; the number of failures tells the rest."""
    uids = [SOPInstanceUID(f"1.2.{'3' * 57}{number:03d}") for number in range(999)]
    data = QueryRetrieve(Paper([]), AETitle("AI_NODE")).failed(uids, EXPLICIT)
    dataset = read_dataset(BytesIO(data), is_implicit_VR=False, is_little_endian=True)
    listed = dataset.FailedSOPInstanceUIDList
    assert list(listed) == uids[: len(listed)]
    assert len(listed) >= 900
