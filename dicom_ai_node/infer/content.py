"""What one content item of a structured report says, PS3.3 C.17.3, or that it does not say it.

A value that is not what it is said to be is taken as not there, so that one mistake of a sender
does not cost the rest of the report.
"""

from collections.abc import Mapping
from datetime import datetime
from struct import error as struct_error
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr._snomed_dict import mapping
from pydicom.sr.coding import Code

MALFORMED: Final = (
    ValueError, TypeError, AttributeError, LookupError, NotImplementedError, OverflowError,
    RecursionError, OSError, EOFError, struct_error,
)  # fmt: skip
"""What pydicom raises on values that are not what they are said to be."""
_SNOMED_RT: Final[Mapping[str, str]] = mapping["SRT"]
"""The codes of SNOMED CT that have replaced those of SNOMED RT, PS3.16 Annex O."""

_FORMS: Final[Mapping[int, str]] = {
    8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S",
}  # fmt: skip
"""Of a date and time by the number of their digits, PS3.5 6.2; what is left out is nothing."""


def code_of(item: Dataset, keyword: str = "ConceptNameCodeSequence") -> Code | None:
    """Return the first code of a code sequence, PS3.3 8.8, in SNOMED CT what was in SNOMED RT."""
    for coded in items_of(item, keyword)[:1]:
        number = text_of(coded, "CodeValue", "LongCodeValue", "URNCodeValue")
        scheme = text_of(coded, "CodingSchemeDesignator")
        if scheme in {"SRT", "SNM3", "99SDM"} and number in _SNOMED_RT:
            number, scheme = _SNOMED_RT[number], "SCT"
        if number and (scheme or ":" in number):
            return Code(number, scheme, text_of(coded, "CodeMeaning"))
    return None


def children_of(item: Dataset) -> list[Dataset]:
    """Return the content items within an item."""
    return items_of(item, "ContentSequence")


def items_of(item: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none if it is absent or no sequence."""
    value = value_of(item, keyword)
    return list(value) if isinstance(value, Sequence) else []


def text_of(item: Dataset, *keywords: str) -> str:
    """Return the first single text that there is, without padding; "" if there is none."""
    values = (value_of(item, keyword) for keyword in keywords)
    return next((text for it in values if isinstance(it, str) and (text := it.strip(" \0"))), "")


def value_of(item: Dataset, keyword: str) -> Any:  # noqa: ANN401 (it is what the element holds)
    """Return the value of an element, `None` if it is absent or cannot be decoded."""
    try:
        return item.get(keyword)
    except MALFORMED:
        return None


def moment_of(header: Dataset, of: str) -> datetime | None:
    """Return date and time of the `Study` or the `Content`; of a day without a time its start."""
    day = text_of(header, f"{of}Date")
    return moment(day + text_of(header, f"{of}Time")) or moment(day)


def moment(text: str) -> datetime | None:
    """Return a DICOM date and time to the second; its zone is left out, PS3.5 6.2."""
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    form = _FORMS.get(len(digits))
    try:
        return None if form is None else datetime.strptime(digits, form)  # noqa: DTZ007
    except ValueError:
        return None
