"""One value at a time: what a received value must look like before it may be written again."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from pydicom.valuerep import format_number_as_ds

from dicom_ai_node.domain.uids import is_uid

_LONGEST: Mapping[str, int] = {"AE": 16, "SH": 16, "LO": 64, "ST": 1024, "LT": 10240}
"""Characters of a value, PS3.5 6.2; PN counts per group and UT and UC have no limit of ours."""
_ESCAPE = re.compile(r"\x1b[\x20-\x2f]*[\x30-\x7e]")
"""Switches between character sets, PS3.5 6.1.2.5.3; left over where a decoder did not need it."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_ONE_LINE = re.compile(r"[\x00-\x1f\x7f]")
_CODE = re.compile(r"[A-Z0-9 _]{0,16}")
_AGE = re.compile(r"[0-9]{3}[DWMY]")
_TIME = re.compile(
    r"([01][0-9]|2[0-3])(?::?([0-5][0-9])(?::?([0-5][0-9]|60)(?:\.([0-9]{1,6})[0-9]*)?)?)?"
)
_ZONE = re.compile(r"(.*?)([+-][0-9]{4})?")
_DATE_LENGTH = 8
_DS_LENGTH = 16


def repaired(vr: str, text: str) -> str:
    """Return `text` as PS3.5 6.2 wants a value of this VR, or "" if nothing can be made of it."""
    return _REPAIRS.get(vr, _kept)(_ESCAPE.sub("", text).strip(" \0"))


def repaired_sex(text: str) -> str:
    """Return M, F or O of Patient's Sex (0010,0040), or "": 'U' is no value, PS3.3 C.7.1.1."""
    word = text.strip().upper()
    known = {"M", "MALE", "F", "FEMALE", "O", "OTHER"}
    return word[0] if word in known else ""


def repaired_name(text: str) -> str:
    """Return a person name with up to three groups of up to 64 characters, PS3.5 6.2.1."""
    received = _ESCAPE.sub("", text).split("=")
    groups = [_ONE_LINE.sub("", group)[:64].strip() for group in received[:3]]
    return "=".join(groups).rstrip("=")


def _kept(text: str) -> str:
    return text


def _line(longest: int | None) -> Callable[[str], str]:
    return lambda text: _ONE_LINE.sub(" ", text)[:longest].strip()


def _lines(longest: int | None) -> Callable[[str], str]:
    return lambda text: _CONTROL.sub(" ", text)[:longest].rstrip()


def _date(text: str) -> str:
    digits = text.replace(".", "").replace("-", "")  # 1999.12.31 is ACR-NEMA, the dash is nobody's
    if len(digits) != _DATE_LENGTH or not digits.isascii() or not digits.isdigit():
        return ""
    try:
        datetime.strptime(digits, "%Y%m%d")  # noqa: DTZ007  a date has no zone
    except ValueError:
        return ""
    return digits


def _time(text: str) -> str:
    found = _TIME.fullmatch(text)
    if found is None:
        return ""
    hour, minute, second, fraction = found.groups()
    return f"{hour}{minute or ''}{second or ''}" + (f".{fraction}" if fraction else "")


def _date_time(text: str) -> str:
    found = _ZONE.fullmatch(text)
    stamp, zone = (found[1], found[2] or "") if found else ("", "")
    date, time = _date(stamp[:8]), stamp[8:]
    if not date or (time and not _time(time)):
        return ""
    return date + (_time(time) if time else "") + zone


def _code_string(text: str) -> str:
    upper = text.upper()
    return upper if _CODE.fullmatch(upper) else ""


def _age(text: str) -> str:
    return text if _AGE.fullmatch(text) else ""


def _uid(text: str) -> str:
    return text if is_uid(text) else ""


def _decimal(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return ""
    if number - number != 0:  # infinite, or no number
        return ""
    # The digits as they came: a position must compare equal to that of the source.
    return text if len(text) <= _DS_LENGTH else format_number_as_ds(number)


def _integer(text: str) -> str:
    number = _decimal(text)
    return str(int(float(number))) if number and float(number).is_integer() else ""


_REPAIRS: Mapping[str, Callable[[str], str]] = {
    "AE": _line(_LONGEST["AE"]),
    "AS": _age,
    "CS": _code_string,
    "DA": _date,
    "DS": _decimal,
    "DT": _date_time,
    "IS": _integer,
    "LO": _line(_LONGEST["LO"]),
    "LT": _lines(_LONGEST["LT"]),
    "PN": repaired_name,
    "SH": _line(_LONGEST["SH"]),
    "ST": _lines(_LONGEST["ST"]),
    "TM": _time,
    "UC": _line(None),
    "UI": _uid,
    "UR": _line(None),
    "UT": _lines(None),
}
