"""Does a header match a query? PS3.4 C.2.2.2, on headers in the DICOM JSON model.

Names match without case and accents in any way of writing, everything else as it is written. Keys
inside of one sequence have to match the same item. A key of a private or unlisted attribute takes
the VR that the header says.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any, TypeAlias

from dicom_ai_node.domain import spans
from dicom_ai_node.domain.archive import Header, Key
from dicom_ai_node.domain.errors import Refused
from dicom_ai_node.domain.levels import DEEPEST, spoken, vr_of
from dicom_ai_node.domain.values import EMPTY, is_empty, is_universal, parts_of, value_test

HeaderTest: TypeAlias = Callable[[Header], bool]
"""Whether a header matches."""

_TIME_OF = MappingProxyType({
    "00080012": "00080013",  # Instance Creation
    "00080020": "00080030",  # Study
    "00080021": "00080031",  # Series
    "00080022": "00080032",  # Acquisition
    "00080023": "00080033",  # Content
    "00100030": "00100032",  # Patient's Birth
    "00400002": "00400003",  # Scheduled Procedure Step Start
    "00400244": "00400245",  # Performed Procedure Step Start
    "00400250": "00400251",  # Performed Procedure Step End
    "00700082": "00700083",  # Presentation Creation
})  # fmt: skip
"""Dates whose time is another attribute."""


def matches(key: Key, header: Header, *, is_fuzzy: bool = False) -> bool:
    """Return whether one key matches a header; raise `Refused` if its value fits no such VR."""
    return header_test([key], is_fuzzy=is_fuzzy)(header)


def header_test(
    keys: Sequence[Key], *, is_fuzzy: bool = False, joins_date_and_time: bool = True
) -> HeaderTest:
    """Return whether a header matches all keys, as a function: keys are read once.

    Raises
    ------
    Refused
        If a key has a value that its VR cannot be compared with. It says the attribute and what
        would be right, and does not repeat the value.
    """
    tests: list[HeaderTest] = []
    asked = [key for key in keys if not is_universal(key.value)]
    if joins_date_and_time:
        asked, tests = _joined(asked)
    outer = [key for key in asked if len(key.path) == 1]
    tests += [_one(key, is_fuzzy=is_fuzzy) for key in outer]
    inner = sorted((key for key in asked if len(key.path) > 1), key=lambda key: key.path)
    for tag, inside in groupby(inner, key=lambda key: key.path[0]):
        tests.append(_in_sequence(tag, list(inside), is_fuzzy=is_fuzzy, joins=joins_date_and_time))
    return lambda header: all(test(header) for test in tests)


def _in_sequence(tag: str, keys: list[Key], *, is_fuzzy: bool, joins: bool) -> HeaderTest:
    if vr_of(tag) not in ("SQ", ""):
        raise Refused(f"{spoken([tag])} is no sequence")
    if any(len(key.path) > DEEPEST for key in keys):
        raise Refused(f"a key further inside than {DEEPEST} sequences cannot be matched")
    inside = [Key(path=key.path[1:], value=key.value) for key in keys]
    test = header_test(inside, is_fuzzy=is_fuzzy, joins_date_and_time=joins)
    return lambda header: any(
        test(item) for item in header.get(tag, {}).get("Value", ()) if isinstance(item, dict)
    )


def _one(key: Key, *, is_fuzzy: bool) -> HeaderTest:
    (tag,) = key.path
    vr = vr_of(tag)
    if vr == "SQ":
        raise Refused(f"{spoken(key.path)} is a sequence: name an attribute in it, with a dot")
    if not vr:
        return _unlisted(tag, key.value, is_fuzzy=is_fuzzy)
    try:
        test = values_test(vr, key.value, is_fuzzy=is_fuzzy)
    except ValueError as why:
        raise Refused(f"{spoken(key.path)} cannot be matched: {why}") from None
    return lambda header: test(header.get(tag, {}).get("Value", ()))


def values_test(vr: str, value: str, *, is_fuzzy: bool = False) -> Callable[[Sequence[Any]], bool]:
    """Return whether one of some values matches one of those in a key, as a function.

    Raises
    ------
    ValueError
        If values of this VR cannot be compared with the key; it says why.
    """
    parts = parts_of(vr, value)
    finds_empty = EMPTY in parts
    tests = [value_test(vr, part, is_fuzzy=is_fuzzy) for part in parts if part not in (EMPTY, "")]

    def is_match(values: Sequence[Any]) -> bool:
        if finds_empty and is_empty(values):
            return True
        return any(test(one) for one in values if one is not None for test in tests)

    return is_match


def _unlisted(tag: str, value: str, *, is_fuzzy: bool) -> HeaderTest:
    """Return the test of an attribute whose VR only a header knows; there are few VRs."""
    known: dict[str, Callable[[Sequence[Any]], bool]] = {}

    def is_match(header: Header) -> bool:
        element = header.get(tag, {})
        vr = str(element.get("vr", "LO"))
        if vr not in known:
            try:
                known[vr] = values_test(vr, value, is_fuzzy=is_fuzzy)
            except ValueError:
                known[vr] = lambda _: False
        return known[vr](element.get("Value", ()))

    return is_match


def _joined(keys: list[Key]) -> tuple[list[Key], list[HeaderTest]]:
    """Take the pairs of a range of dates with a range of times out of the keys, as tests."""
    ranges = {key.path[0]: key for key in keys if len(key.path) == 1 and "-" in key.value}
    tests: list[HeaderTest] = []
    for day, hour in _TIME_OF.items():
        if day in ranges and hour in ranges:
            try:
                days, hours = spans.dates(ranges[day].value), spans.times(ranges[hour].value)
            except ValueError as why:
                raise Refused(f"{spoken([day])} cannot be matched: {why}") from None
            tests.append(_span_test(day, hour, spans.joined(days, hours)))
            keys = [key for key in keys if key not in (ranges[day], ranges[hour])]
    return keys, tests


def _span_test(day: str, hour: str, asked: spans.Span) -> HeaderTest:
    def is_within(header: Header) -> bool:
        try:
            days = spans.date_span(_first(header, day))
            told = _first(header, hour)
            hours = spans.time_span(told) if told else spans.Span(None, None)
        except ValueError:
            return False
        return asked.overlaps(spans.joined(days, hours))

    return is_within


def _first(header: Header, tag: str) -> str:
    values = header.get(tag, {}).get("Value") or [""]
    return str(values[0] or "").strip()
