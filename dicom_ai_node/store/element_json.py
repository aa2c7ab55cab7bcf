"""The values of one element in the DICOM JSON model, PS3.18 F.2, straight from its bytes.

What is common is read here, by VR, several times faster than by way of pydicom's elements and
without its warnings about values that are longer than they should be. What is rare is pydicom's.
"""

import base64
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import Any

from pydicom.charset import decode_bytes
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.tag import Tag
from pydicom.valuerep import TEXT_VR_DELIMS

BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
"""Their values are bytes."""

_ESCAPE = 0x1B
_PADDING = " \0"
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_FORMATS = MappingProxyType({
    "FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q",
})  # fmt: skip


def text(value: bytes, encodings: Sequence[str]) -> str:
    """Return a text whatever its character set is; what cannot be read becomes U+FFFD."""
    # All character sets of DICOM agree on these, PS3.5 6.1.2.
    if value.isascii() and _ESCAPE not in value:
        return value.decode("ascii")
    # It leaves the escape sequence of GB 2312 (ISO 2022 IR 58) in the text.
    return decode_bytes(value, encodings, TEXT_VR_DELIMS).replace("\x1b$)A", "")


@lru_cache(maxsize=8192)
def listed_vr(tag: int, creator: str) -> str:
    """Return the VR of an attribute that its file does not say; `UN` if nobody knows it."""
    try:
        if not tag >> 16 & 1:
            return dictionary_VR(tag)
        if Tag(tag).is_private_creator:
            return "LO"
        return private_dictionary_VR(tag, creator) if creator else "UN"
    except KeyError:
        return "UN" if tag & 0xFFFF else "UL"


def element_json(vr: str, value: bytes, encodings: Sequence[str], order: str) -> dict[str, Any]:
    """Return an element in the DICOM JSON model.

    Parameters
    ----------
    order
        `<` for bytes in Little Endian, `>` for Big Endian.

    Raises
    ------
    KeyError
        For a VR that is not read here.
    struct.error
        If the value has not the length that its VR asks for.
    """
    if vr in BINARY:
        return {"vr": vr, "InlineBinary": base64.b64encode(value).decode()} if value else {"vr": vr}
    if vr in _FORMATS:
        values: Sequence[Any] = _numbers(_FORMATS[vr], value, order)
    elif vr == "AT":
        values = [f"{group:04X}{element:04X}" for group, element in _pairs(value, order)]
    else:
        values = _TEXTS[vr](value, encodings)
    if not values or (values[0] is None and all(one is None for one in values)):
        return {"vr": vr}
    return {"vr": vr, "Value": values}


known_json = lru_cache(maxsize=4096)(element_json)
"""The same for short values: most are those of the slice before. What it returns is shared."""


@lru_cache
def _struct(form: str) -> Struct:
    return Struct(form)


def _numbers(letter: str, value: bytes, order: str) -> list[Any]:
    numbers = tuple(one for (one,) in _struct(order + letter).iter_unpack(value))
    if letter in "df":
        # JSON has no word for what is not a number.
        return [one if math.isfinite(one) else None for one in numbers]
    return list(numbers)


def _pairs(value: bytes, order: str) -> Any:  # noqa: ANN401 - an iterator over pairs of numbers
    return _struct(order + "HH").iter_unpack(value)


def _plain(value: bytes, _: Sequence[str]) -> list[str | None]:
    """Read a VR to which Specific Character Set does not apply."""
    return [one.strip(_PADDING) or None for one in value.decode("latin-1").split("\\")]


def _texts(value: bytes, encodings: Sequence[str]) -> list[str | None]:
    return [one.rstrip(_PADDING) or None for one in text(value, encodings).split("\\")]


def _whole(value: bytes, encodings: Sequence[str]) -> list[str | None]:
    return [text(value, encodings).rstrip(_PADDING) or None]


def _address(value: bytes, _: Sequence[str]) -> list[str | None]:
    return [value.decode("latin-1").rstrip(_PADDING) or None]


def _names(value: bytes, encodings: Sequence[str]) -> list[dict[str, str] | None]:
    return [_name(one.rstrip(_PADDING)) for one in text(value, encodings).split("\\")]


def _name(text: str) -> dict[str, str] | None:
    groups = zip(_GROUPS, text.split("="), strict=False)
    return {name: group for name, group in groups if group} or None


def _decimals(value: bytes, _: Sequence[str]) -> list[float | None]:
    return [_decimal(one) for one in value.decode("latin-1").split("\\")]


def _decimal(text: str) -> float | None:
    try:
        number = float(text.strip(_PADDING))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _integers(value: bytes, _: Sequence[str]) -> list[int | None]:
    return [_integer(one.strip(_PADDING)) for one in value.decode("latin-1").split("\\")]


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        number = _decimal(text)
        return int(number) if number is not None and number.is_integer() else None


_TEXTS: MappingProxyType[str, Callable[[bytes, Sequence[str]], Sequence[Any]]] = MappingProxyType({
    "AE": _plain, "AS": _plain, "CS": _plain, "DA": _plain, "DT": _plain, "TM": _plain,
    "UI": _plain, "UR": _address,
    "LO": _texts, "SH": _texts, "UC": _texts,
    "LT": _whole, "ST": _whole, "UT": _whole,
    "PN": _names, "DS": _decimals, "IS": _integers,
})  # fmt: skip
