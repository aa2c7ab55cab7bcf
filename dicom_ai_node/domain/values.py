"""One value of a matching key against the values of an element, PS3.4 C.2.2.2, for each VR."""

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from dicom_ai_node.domain import spans
from dicom_ai_node.domain.names import GROUPS, groups_of, sounds_like, tidied, words_of

ValueTest: TypeAlias = Callable[[Any], bool]
"""Whether one value matches."""

WITH_WILDCARDS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
"""C.2.2.2.4."""
OF_ONE_VALUE = frozenset({"LT", "ST", "UR", "UT"})
"""In these a backslash is a backslash, PS3.5 6.2."""
NUMBERS = frozenset({
    "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV",
    "US or SS", "US or OW", "US or SS or OW",
})  # fmt: skip
EMPTY = '""'
"""Matches what has no value, C.2.2.2.7."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_INTEGER = re.compile(r"[+-]?\d{1,30}")
_UID = re.compile(r"[0-9.]{1,64}")  # also one that is none by the book: it may be here
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_PIECES = re.compile(r"\*+")


def is_universal(value: str) -> bool:
    """Return whether a key matches everything: it is empty or nothing but asterisks."""
    return not value.strip().strip("*")


def parts_of(vr: str, value: str) -> list[str]:
    """Return the values of a key, one of which has to match, without spaces that say nothing."""
    if vr in OF_ONE_VALUE:
        return [value.rstrip(" \0")]
    return [part.strip(" \0") for part in value.split("\\")]


def value_test(vr: str, part: str, *, is_fuzzy: bool) -> ValueTest:
    """Return the test of one value.

    Raises
    ------
    ValueError
        If values of this VR cannot be compared with `part`; it says why.
    """
    if vr == "PN":
        return _name(part, is_fuzzy=is_fuzzy)
    if vr in WITH_WILDCARDS:
        return _text(part)
    if vr in _OTHERS:
        return _OTHERS[vr](part)
    if vr in NUMBERS:
        return _number(part)
    raise ValueError(f"values of VR {vr} cannot be matched")


def pattern(text: str) -> re.Pattern[str]:
    """Return wildcards as a regular expression that takes no longer for many of them.

    What stands between two asterisks is taken where it comes first, and never looked for again.
    """
    first, *rest = (_piece(piece) for piece in _PIECES.split(text))
    if not rest:
        return re.compile(rf"{first}\Z", re.DOTALL)
    between = "".join(f"(?>.*?{piece})" for piece in rest[:-1])
    return re.compile(rf"{first}{between}.*{rest[-1]}\Z", re.DOTALL)


def _piece(text: str) -> str:
    return ".".join(map(re.escape, text.split("?")))


def _text(part: str) -> ValueTest:
    if "*" not in part and "?" not in part:
        return lambda value: str(value).strip(" \0") == part
    match = pattern(part).match
    return lambda value: match(str(value).strip(" \0")) is not None


def _name(part: str, *, is_fuzzy: bool) -> ValueTest:
    asked = [tidied(group) for group in part.split("=")][: len(GROUPS)]
    tests = [_group(group) for group in asked]
    words = words_of(part) if is_fuzzy else []

    def is_like(value: object) -> bool:
        groups = groups_of(value)
        if words and sounds_like(words, groups):
            return True
        if len(tests) == 1:
            return any(tests[0](group) for group in groups if group)
        pairs = zip(asked, tests, groups, strict=False)
        return all(test(group) for text, test, group in pairs if text)

    return is_like


def _group(asked: str) -> Callable[[str], bool]:
    if "*" not in asked and "?" not in asked:
        return lambda group: group == asked
    match = pattern(asked).match
    carets = asked.count("^")

    def is_like(group: str) -> bool:
        # Smith^* finds Smith, too: his given name is empty.
        padded = group + "^" * (carets - group.count("^"))
        return match(group) is not None or match(padded) is not None

    return is_like


def _uid(part: str) -> ValueTest:
    if _UID.fullmatch(part) is None:
        raise ValueError("a UID has digits and dots, no wildcards, and at most 64 of them")
    return lambda value: bool(value == part)


def _age(part: str) -> ValueTest:
    if re.fullmatch(r"\d{3}[DWMY]", part) is None:
        raise ValueError("an age is three digits and D, W, M or Y")
    return lambda value: bool(value == part)


def _attribute(part: str) -> ValueTest:
    if _TAG.fullmatch(part) is None:
        raise ValueError("a tag is eight hexadecimal digits")
    return lambda value: bool(value == part.upper())


def number(text: object) -> int | float:
    """Return a number as it is compared; raise `ValueError` if it is none."""
    plain = str(text).strip()
    if _INTEGER.fullmatch(plain):
        return int(plain)
    if _NUMBER.fullmatch(plain) and math.isfinite(found := float(plain)):
        return found
    raise ValueError("a number has digits, no wildcards and no range")


def _number(part: str) -> ValueTest:
    return partial(_is_number, number(part))


def _is_number(asked: float, value: object) -> bool:
    try:
        return number(value) == asked
    except ValueError:
        return False


def _date(part: str) -> ValueTest:
    return partial(_overlaps, spans.dates(part), spans.date_span)


def _time(part: str) -> ValueTest:
    return partial(_overlaps, spans.times(part), spans.time_span)


def _overlaps(asked: spans.Span, read: Callable[[str], spans.Span], value: object) -> bool:
    try:
        return asked.overlaps(read(str(value).strip()))
    except ValueError:
        return False


def _moment(part: str) -> ValueTest:
    return partial(_holds, spans.moments(part))


def _holds(asked: spans.Moments, value: object) -> bool:
    try:
        return asked.holds(spans.moment(str(value).strip()))
    except ValueError:
        return False


_OTHERS: dict[str, Callable[[str], ValueTest]] = {
    "AS": _age,
    "AT": _attribute,
    "DA": _date,
    "DT": _moment,
    "TM": _time,
    "UI": _uid,
}


def is_empty(values: Sequence[Any]) -> bool:
    """Return whether an element says nothing."""
    return not any(value not in (None, "", {}) for value in values)
