"""The identifier of a query, PS3.4 C.4: read into keys, and written again as an answer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from typing import Any

from pydicom.charset import (
    STAND_ALONE_ENCODINGS,
    convert_encodings,
    decode_bytes,
    default_encoding,
    python_encoding,
)
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import data_element_generator
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag
from pydicom.uid import UID
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS, format_number_as_ds

from dicom_ai_node.domain.archive import Header, Key
from dicom_ai_node.domain.errors import NotAnswerable, NotUnderstood
from dicom_ai_node.domain.levels import DEEPEST
from dicom_ai_node.domain.query_retrieve import Asked, Root

MOST_KEYS = 500
_UNIVERSAL = frozenset({"", "*"})
_BINARY = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"})
_OPAQUE = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})


class At(IntEnum):
    """The levels of the Patient Root model, PS3.4 C.6.1; those of Study Root are the last three."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    IMAGE = 3


UNIQUE = {
    At.PATIENT: "PatientID",
    At.STUDY: "StudyInstanceUID",
    At.SERIES: "SeriesInstanceUID",
    At.IMAGE: "SOPInstanceUID",
}
"""The unique key of each level."""

_OF_THE_ANSWER = frozenset(
    ["SpecificCharacterSet", "QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability"]
)
"""What an answer says of itself; no keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """A question in its parts.

    Attributes
    ----------
    lists
        What is asked for at each level by its unique key, as far as it is named.
    keys
        What has to match.
    character_sets
        Specific Character Set (0008,0005) of the question.
    is_complete
        Whether every key is looked at: those in private elements are not.
    """

    asked: Asked
    at: At
    dataset: Dataset
    keys: tuple[Key, ...]
    lists: Mapping[At, tuple[str, ...]]
    character_sets: tuple[str, ...]
    is_complete: bool


def identifier_of(asked: Asked) -> Identifier:
    """Read a question.

    Raises
    ------
    NotUnderstood
        If it is no data set, or nests too deep.
    NotAnswerable
        If its level or a unique key that belongs to it is missing.
    """
    try:
        dataset = _decoded(asked)
        encodings = _encodings(dataset)
        keys = tuple(_keys(dataset, (), encodings))
        level = _text_of(dataset, "QueryRetrieveLevel").strip().upper()
        lists = {at: _list(dataset, keyword, encodings) for at, keyword in UNIQUE.items()}
        character_sets = tuple(_text_of(dataset, "SpecificCharacterSet").split("\\"))
    except NotUnderstood:
        raise
    except Exception as error:
        # pydicom raises anything for bytes that are no data set, and quotes them.
        raise NotUnderstood("the identifier cannot be read") from error
    if level not in At.__members__ or (level == "PATIENT" and asked.root is Root.STUDY):
        raise NotAnswerable("QueryRetrieveLevel is none of this information model")
    return Identifier(
        asked=asked,
        at=At[level],
        dataset=dataset,
        keys=keys,
        lists={at: values for at, values in lists.items() if values},
        character_sets=character_sets,
        is_complete=not any(tag.is_private for tag in dataset.keys()),  # noqa: SIM118
    )


def encoded(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """Return the bytes of a data set without file meta information."""
    syntax, buffer = UID(transfer_syntax_uid), DicomBytesIO()
    buffer.is_implicit_VR = syntax.is_implicit_VR
    buffer.is_little_endian = syntax.is_little_endian
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def answer(question: Dataset, header: Header) -> Dataset:
    """Return the keys of `question` with the values of `header`, empty where there is none."""
    made = Dataset()
    for tag in question.keys():  # noqa: SIM118 - the elements themselves may not be readable
        if tag.is_private or tag.element == 0 or keyword_for_tag(tag) in _OF_THE_ANSWER:
            continue
        known = header.get(f"{tag:08X}")
        vr = _vr(question, tag) if known is None else known["vr"]
        if known is None or "Value" not in known:
            made.add(DataElement(tag, vr, None))
        elif vr == "SQ":
            made.add(DataElement(tag, vr, _items(_inner(question, tag), known["Value"])))
        else:
            made.add(_element(tag, vr, known["Value"]))
    return made


def texts(header: Header) -> Iterator[str]:
    """Yield every text in a header."""
    stack: list[Any] = [header]
    while stack:
        found = stack.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, Mapping):
            stack.extend(found.values())
        elif isinstance(found, Sequence):
            stack.extend(found)


def value_of(header: Header, keyword: str) -> str:
    """Return the first value of an element as text, empty if there is none."""
    values = header.get(f"{tag_for_keyword(keyword):08X}", {}).get("Value") or [""]
    return str(values[0] if values[0] is not None else "")


def _decoded(asked: Asked) -> Dataset:
    # Not `read_dataset`, which has its own opinion of character sets; see `_encodings`.
    syntax = UID(asked.transfer_syntax_uid)
    elements = data_element_generator(
        BytesIO(asked.identifier), syntax.is_implicit_VR, syntax.is_little_endian
    )
    return Dataset({element.tag: element for element in elements})


def _keys(dataset: Dataset, path: tuple[str, ...], encodings: list[str]) -> Iterator[Key]:
    if len(path) >= DEEPEST or len(dataset) > MOST_KEYS:
        raise NotUnderstood("the identifier has too many keys, or nests too deep")
    for tag in dataset.keys():  # noqa: SIM118
        if tag.is_private or tag.element == 0 or keyword_for_tag(tag) in _OF_THE_ANSWER:
            continue
        here = (*path, f"{tag:08X}")
        if _vr(dataset, tag) == "SQ":
            inner = _inner(dataset, tag)
            if inner is not None:
                yield from _keys(inner, here, encodings)
        elif (value := _text(dataset, tag, encodings)) not in _UNIVERSAL:
            yield Key(path=here, value=value)


def _inner(dataset: Dataset, tag: int) -> Dataset | None:
    """Return the one item of a sequence of keys, PS3.4 C.2.2.2.6."""
    items = dataset[tag].value or []
    return items[0] if len(items) else None


def _vr(dataset: Dataset, tag: int) -> str:
    vr = dataset.get_item(tag).VR
    if vr in (None, "UN"):
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            vr = "UN"
    return str(vr).split(" ", maxsplit=1)[0]


def _text(dataset: Dataset, tag: int, encodings: list[str]) -> str:
    """Return the value of a key as it was written, whether or not its VR allows that."""
    raw: Any = dataset.get_item(tag)
    vr = _vr(dataset, tag)
    if vr in _BINARY:
        value = dataset[tag].value
        several = value if isinstance(value, Sequence) else [value]
        return "\\".join(str(one) for one in several if one is not None)
    if vr in _OPAQUE or not isinstance(raw, RawDataElement) or not raw.value:
        return ""
    delimiters = PN_DELIMS if vr == "PN" else TEXT_VR_DELIMS
    return decode_bytes(raw.value, encodings, delimiters).strip(" \0")


def _encodings(dataset: Dataset) -> list[str]:
    """Return the codecs of the texts; what says a character set that nobody knows is Latin 1."""
    first, *others = _text_of(dataset, "SpecificCharacterSet").split("\\")
    terms = [first]
    if first not in STAND_ALONE_ENCODINGS:
        terms += [term for term in others if term not in STAND_ALONE_ENCODINGS]
    if not all(term in python_encoding for term in terms):
        return [default_encoding]
    return convert_encodings(terms)


def _text_of(dataset: Dataset, keyword: str) -> str:
    tag = Tag(keyword)
    return _text(dataset, tag, [default_encoding]) if tag in dataset else ""


def _list(dataset: Dataset, keyword: str, encodings: list[str]) -> tuple[str, ...]:
    tag = Tag(keyword)
    text = _text(dataset, tag, encodings) if tag in dataset else ""
    return tuple(value.strip() for value in text.split("\\") if value.strip())


def _items(question: Dataset | None, values: Sequence[Any]) -> list[Dataset]:
    """Return the items of a sequence, with the keys that were asked for, or whole if none was."""
    return [
        answer(question, item) if question else _whole(item)
        for item in values
        if isinstance(item, Mapping)
    ]


def _whole(item: Header) -> Dataset:
    asked = Dataset()
    for name, element in item.items():
        asked.add(DataElement(int(name, 16), element["vr"], None))
    return answer(asked, item)


def _element(tag: int, vr: str, values: Sequence[Any]) -> DataElement:
    """Return an element with the values of the DICOM JSON model, PS3.18 F.2.3.

    It is empty if they are none of its VR.
    """
    try:
        match vr:
            case "PN":
                said: list[Any] = [_name(one or {}) for one in values]
            case "DS":
                said = [one if one is None else _decimal(one) for one in values]
            case "AT":
                said = [int(one, 16) for one in values]
            case _:
                said = list(values)
        value = said if len(said) != 1 else said[0]
        return DataElement(tag, vr, value, validation_mode=IGNORE)
    except (ValueError, TypeError, OverflowError):
        return DataElement(tag, vr, None)


def _name(groups: Mapping[str, str]) -> str:
    spellings = (groups.get(key, "") for key in ("Alphabetic", "Ideographic", "Phonetic"))
    return "=".join(spellings).rstrip("=")


def _decimal(value: Any) -> str:  # noqa: ANN401 - JSON has numbers, and text where they are odd
    return value if isinstance(value, str) else format_number_as_ds(float(value))
