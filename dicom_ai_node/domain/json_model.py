"""Data sets in the DICOM JSON model, PS3.18 Annex F, written and read by PS3.6 keyword."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicom_ai_node.domain.archive import Header


@cache
def tag_of(keyword: str) -> str:
    """Return the tag of a keyword as eight hexadecimal digits; raise `KeyError` for any other."""
    number = tag_for_keyword(keyword)
    if number is None:
        raise KeyError(keyword)
    return f"{number:08X}"


@cache
def _vr_of(keyword: str) -> str:
    # Of two that the dictionary leaves open, such as "US or SS", the first.
    return dictionary_VR(int(tag_of(keyword), 16)).split()[0]


def element(keyword: str, said: object) -> dict[str, Any]:
    """Return one element. `None`, "" and an empty sequence are no value; a list is several."""
    vr = _vr_of(keyword)
    values = list(said) if isinstance(said, Sequence) and not isinstance(said, str) else [said]
    if values in ([], [None], [""]):
        return {"vr": vr}
    if vr == "PN":
        values = [one if isinstance(one, Mapping) else {"Alphabetic": one} for one in values]
    return {"vr": vr, "Value": values}


def data_set(**said: object) -> dict[str, Any]:
    """Return the data set with these elements, in the order of their tags."""
    made = {tag_of(keyword): element(keyword, value) for keyword, value in said.items()}
    return dict(sorted(made.items()))


def merged(*parts: Header) -> dict[str, Any]:
    """Return one data set of several, the later ones over the earlier ones, in tag order."""
    together: dict[str, Any] = {}
    for part in parts:
        together.update(part)
    return dict(sorted(together.items()))


def values(header: Header, keyword: str) -> Sequence[Any]:
    """Return the values of an element; empty if it is absent or has none."""
    found = header.get(tag_of(keyword), {}).get("Value", ())
    return [one for one in found if one is not None]


def text(header: Header, keyword: str) -> str:
    """Return the first value of an element as text, without padding; empty if there is none."""
    found = values(header, keyword)
    return str(found[0]).strip() if found and not isinstance(found[0], Mapping) else ""


def items(header: Header, keyword: str) -> Sequence[Header]:
    """Return the items of a sequence; empty if it is absent."""
    return [one for one in values(header, keyword) if isinstance(one, Mapping)]


def has_value(header: Header, keyword: str) -> bool:
    """Return whether the element is there and says something."""
    return bool(values(header, keyword))


def code_item(value: str, scheme: str, meaning: str) -> dict[str, Any]:
    """Return the item of a code sequence, PS3.3 8.8."""
    return data_set(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def instant(moment: datetime) -> str:
    """Return a moment as DT, PS3.5 6.2, in UTC."""
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f+0000")


def every_data_set(header: Header) -> Iterator[Header]:
    """Yield a data set and, at any depth, every item in it."""
    waiting: list[Header] = [header]
    while waiting:
        one = waiting.pop()
        yield one
        for entry in one.values():
            waiting.extend(value for value in entry.get("Value", ()) if _is_item(value))


def _is_item(value: object) -> bool:
    # A name of a person is an object, too; its members are texts.
    return isinstance(value, Mapping) and all(isinstance(one, Mapping) for one in value.values())
