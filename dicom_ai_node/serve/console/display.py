"""How values look on a page: times, sizes, lengths of time, and what a header says."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup
from pydicom.datadict import tag_for_keyword

from dicom_ai_node.domain.archive import Header

NOTHING = "\N{EN DASH}"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_DATE_LENGTH = 8


def moment(at: datetime | None) -> Markup | str:
    """Return a moment in UTC; the browser shows it in its own zone."""
    if at is None:
        return NOTHING
    iso = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup('<time datetime="{}">{} UTC</time>').format(iso, at.strftime("%Y-%m-%d %H:%M:%S"))


def size(count: float) -> str:
    """Return a number of bytes with a unit, in steps of a thousand."""
    value, step = float(count), 0
    while value >= 1000 and step < len(_UNITS) - 1:  # noqa: PLR2004 - that is what kilo means
        value, step = value / 1000, step + 1
    return f"{value:.0f} {_UNITS[step]}" if step == 0 else f"{value:.1f} {_UNITS[step]}"


def span(seconds: float | None) -> str:
    """Return a length of time as short as it can be read."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - a digit more below ten
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE):02d} s"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE):02d} min"
    return f"{int(seconds // _DAY)} d {int(seconds % _DAY // _HOUR)} h"


def said(header: Header, keyword: str) -> str:
    """Return what a header says under a keyword, as text for people; empty if nothing."""
    element = header.get(f"{tag_for_keyword(keyword):08X}", {})
    values = element.get("Value") or ()
    texts = (_text(value, element.get("vr", "")) for value in values)
    return ", ".join(text for text in texts if text)


def person(header: Header) -> str:
    """Return the patient's name as people write it: `Family, Given`, then other spellings."""
    values = header.get("00100010", {}).get("Value") or ()
    return ", ".join(_name(value) for value in values if value)


def _text(value: Any, vr: str) -> str:  # noqa: ANN401 - JSON
    if value is None or (isinstance(value, Sequence) and not isinstance(value, str)):
        return ""
    if isinstance(value, Mapping):
        return _name(value) if vr == "PN" else ""
    text = str(value).strip()
    if vr == "DA" and len(text) == _DATE_LENGTH and text.isdecimal():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    if vr == "TM" and text[:4].isdecimal():
        return ":".join(part for part in (text[:2], text[2:4], text[4:6]) if part)
    return text


def _name(value: Any) -> str:  # noqa: ANN401 - JSON
    if not isinstance(value, Mapping):
        return str(value)
    groups = (str(value.get(key) or "") for key in ("Alphabetic", "Ideographic", "Phonetic"))
    spelled = []
    for group in groups:
        family, *others = (part.strip() for part in group.split("^"))
        given = " ".join(part for part in others if part)
        spelled.append(", ".join(part for part in (family, given) if part))
    return " · ".join(text for text in spelled if text)
