"""Charts as numbers for inline SVG: the templates draw, nothing is loaded, nothing is scripted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

HOURS = 24
WIDTH, HEIGHT = 720, 150
_BASE, _TOP = 126, 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One hour of the chart, in the units of its view box."""

    at: datetime
    count: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Series per hour over a day."""

    bars: tuple[Bar, ...]
    most: int
    total: int
    base: float = _BASE
    top: float = _TOP


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """How long one leg took: half of the jobs at most `typical`, 19 of 20 at most `slow`."""

    name: str
    typical: float
    slow: float
    part: float
    jobs: int


def day_of(since: datetime) -> datetime:
    """Return the beginning of the first hour of a chart that ends with the hour of `since`."""
    hour = since.replace(minute=0, second=0, microsecond=0)
    return hour - timedelta(hours=HOURS - 1)


def hours(counts: Mapping[datetime, int], now: datetime) -> Hours:
    """Return the bars of the last day, oldest first."""
    first = day_of(now)
    moments = [first + timedelta(hours=number) for number in range(HOURS)]
    most = max((counts.get(moment, 0) for moment in moments), default=0)
    step = WIDTH / HOURS
    bars = []
    for number, moment in enumerate(moments):
        count = counts.get(moment, 0)
        height = (_BASE - _TOP) * count / most if most else 0.0
        bars.append(
            Bar(
                at=moment,
                count=count,
                x=round(number * step + 2, 1),
                y=round(_BASE - height, 1),
                width=round(step - 4, 1),
                height=round(height, 1),
            )
        )
    return Hours(bars=tuple(bars), most=most, total=sum(one.count for one in bars))


def legs(seconds: Mapping[str, Sequence[float]], order: Sequence[str]) -> list[Leg]:
    """Return the legs in this order, those that nothing has been through left out."""
    slowest = max((max(took) for took in seconds.values() if took), default=0.0)
    found = []
    for name in order:
        took = sorted(seconds.get(name, ()))
        if took:
            slow = took[min(len(took) - 1, int(0.95 * len(took)))]
            typical = median(took)
            part = typical / slowest if slowest else 0.0
            found.append(Leg(name=name, typical=typical, slow=slow, part=part, jobs=len(took)))
    return found
