"""Dates and times as spans, PS3.4 C.2.2.2.5: `10` is the whole hour, `2004` the whole year.

A key and a value match where their spans overlap. Spans of dates (DA) and times (TM) are texts of
the same length, which sort as time does; spans of moments (DT) are microseconds.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date

_DATE = re.compile(r"(\d{4})(?:(\d\d)(\d\d)|\.(\d\d)\.(\d\d))")
_TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(?:\.(\d{1,6}))?)?)?")
_MOMENT = r"\d{4}(?:\d\d){0,5}(?:\.\d{1,6})?(?:[+-]\d{4})?"
_MOMENTS = re.compile(rf"({_MOMENT})?-({_MOMENT})?")
_PARTS = re.compile(
    r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:(?<=\d{14})\.(\d{1,6}))?(?:([+-])(\d\d)(\d\d))?"
)
_EARLIEST, _LATEST = -12 * 60, 14 * 60
"""Offsets from UTC in minutes; what looks like another one is a year after a hyphen."""
_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
MICROSECONDS_A_DAY = 24 * 60 * _MINUTE


@dataclass(frozen=True, slots=True)
class Span:
    """From `low` to `high`, both included; `None` is open. Texts that sort as time does."""

    low: str | None
    high: str | None

    def overlaps(self, other: "Span") -> bool:
        """Return whether the two have anything in common."""
        return not (
            (self.low is not None and other.high is not None and other.high < self.low)
            or (self.high is not None and other.low is not None and self.high < other.low)
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """From `low` to `high` in microseconds, both included; `offset` from UTC likewise, if known."""

    low: int
    high: int
    offset: int | None

    def at(self, offset: int | None) -> tuple[int, int]:
        """Return its ends in UTC; as written, where one of the two does not know its offset."""
        shift = 0 if offset is None or self.offset is None else self.offset
        return self.low - shift, self.high - shift


def date_span(text: str) -> Span:
    """Return one day; raise `ValueError` if it is none."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError("a date is YYYYMMDD")
    digits = "".join(part for part in found.groups() if part)
    date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    return Span(digits, digits)


def time_span(text: str) -> Span:
    """Return a time as far as it is told; raise `ValueError` if it is none."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("a time is HH, HHMM, HHMMSS or HHMMSS.FFFFFF")
    digits = "".join(part for part in found.groups() if part)
    return Span(digits.ljust(12, "0"), digits + "235960999999"[len(digits) :])


def dates(text: str) -> Span:
    """Return a day or a range of days; raise `ValueError` for anything else."""
    low, hyphen, high = (part.strip() for part in text.partition("-"))
    if not hyphen:
        return date_span(low)
    return _between(low and date_span(low).low, high and date_span(high).high)


def times(text: str) -> Span:
    """Return a time or a range of times within a day; raise `ValueError` for anything else."""
    low, hyphen, high = (part.strip() for part in text.partition("-"))
    if not hyphen:
        return time_span(low)
    return _between(low and time_span(low).low, high and time_span(high).high)


def _between(low: str | None, high: str | None) -> Span:
    if not low and not high:
        raise ValueError("a range has a beginning or an end")
    if low and high and high < low:
        raise ValueError("a range begins before it ends")
    return Span(low or None, high or None)


def joined(days: Span, hours: Span) -> Span:
    """Return a range of days and one of times as one span: from the first day at the first time."""
    low = None if days.low is None else days.low + (hours.low or "000000000000")
    high = None if days.high is None else days.high + (hours.high or "235960999999")
    return Span(low, high)


def moment(text: str) -> Moment:
    """Return a moment as far as it is told; raise `ValueError` if it is none."""
    found = _PARTS.fullmatch(text)
    if found is None:
        raise ValueError(
            "a moment is YYYYMMDDHHMMSS.FFFFFF, from the year on as far as it is known"
        )
    *told, fraction, sign, hours, minutes = found.groups()
    numbers = [int(part) for part in told if part]
    low, high = _microseconds(numbers, last=False), _microseconds(numbers, last=True)
    if fraction:
        low += int(fraction.ljust(6, "0"))
        high = low + 10 ** (6 - len(fraction)) - 1
    return Moment(low, high, _offset(sign, hours, minutes))


def _offset(sign: str | None, hours: str, minutes: str) -> int | None:
    if sign is None:
        return None
    offset = int(f"{sign}1") * (int(hours) * 60 + int(minutes))
    if not _EARLIEST <= offset <= _LATEST:
        raise ValueError("an offset from UTC is between -1200 and +1400")
    return offset * _MINUTE


def _microseconds(numbers: list[int], *, last: bool) -> int:
    """Return the first or the last microsecond of what is told: a year, a month, ... a second."""
    year, month, day, hour, minute, second = (
        numbers + ([0, 12, 0, 23, 59, 59] if last else [0, 1, 1, 0, 0, 0])[len(numbers) :]
    )
    if last and day == 0:
        day = monthrange(year, month)[1]
    if hour > 23 or minute > 59 or second > 60:  # noqa: PLR2004 - a clock
        raise ValueError("there is no such time")
    since = (date(year, month, day).toordinal() * 24 + hour) * 60 + minute
    return since * _MINUTE + second * _SECOND + (_SECOND - 1 if last else 0)


@dataclass(frozen=True, slots=True)
class Moments:
    """A range of moments; one that is `None` is open."""

    low: Moment | None
    high: Moment | None

    def holds(self, value: Moment) -> bool:
        """Return whether a value has anything in common with the range."""
        after = self.low is None or value.at(self.low.offset)[1] >= self.low.at(value.offset)[0]
        return after and (
            self.high is None or value.at(self.high.offset)[0] <= self.high.at(value.offset)[1]
        )


def moments(text: str) -> Moments:
    """Return a moment or a range of moments; raise `ValueError` for anything else.

    `20040101-0500` has an offset from UTC, `2004-2005` is a range: see C.2.2.2.5.3 on the hyphen.
    """
    try:
        one = moment(text)
    except ValueError:
        found = _MOMENTS.fullmatch(text)
        if found is None or not any(found.groups()):
            raise
        low, high = (None if part is None else moment(part.strip()) for part in found.groups())
        return Moments(low, high)
    return Moments(one, one)
