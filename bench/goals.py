"""What is wanted of the node: how many times better than whom, or how much at most. All of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.units import (
    BEYOND_MB,
    DIFFERENT,
    KSTEPS,
    MB_PER_S,
    MS,
    OBJECTS_PER_S,
    PART,
    PEAK_MB,
    SECONDS,
    Unit,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beats:
    """The node is at least so many times better than each of those whose name begins so.

    Attributes
    ----------
    against
        The beginning of the name; empty for every peer.
    work
        Only for work whose name contains this.
    """

    unit: Unit
    against: str
    at_least: float
    work: str = ""

    def __str__(self) -> str:
        """Return what stands in the table."""
        return f"at least {self.at_least:.3g} x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """The node itself needs no more than this."""

    unit: Unit
    at_most: float
    work: str = ""

    def __str__(self) -> str:
        """Return what stands in the table."""
        return f"at most {self.at_most:g} {self.unit.name}"


Goal = Beats | Within


@dataclass(frozen=True, slots=True)
class Verdict:
    """What has become of a goal in one row.

    `by` is how many times better than wanted: from 1 on the goal is met.
    """

    goal: Goal
    by: float

    @property
    def is_met(self) -> bool:
        """Whether it is as good as wanted."""
        return self.by >= 1

    def __str__(self) -> str:
        """Return what stands in the table."""
        return f"{self.goal}: {'met' if self.is_met else 'MISSED'}, {self.by:.2f} of it"


def verdict(goal: Goal, median: float, ours_is: float | None) -> Verdict | None:
    """Return what a row says of a goal; `None` if it was too little to be measured."""
    match goal:
        case Beats():
            return None if ours_is is None else Verdict(goal, ours_is / goal.at_least)
        case Within():
            return Verdict(goal, goal.at_most / max(median, goal.at_most / _FAR))


_FAR = 1000.0
"""So many times better is as good as needing nothing at all."""
_NO_MORE_THAN_HALF_AGAIN = 1 / 1.5
_C_STORE = tuple(
    Beats(unit=unit, against=who, at_least=times)
    for unit in (OBJECTS_PER_S, MB_PER_S)
    for who, times in (
        ("Orthanc (", 6),
        ("Orthanc, tuned", 2),
        ("pynetdicom", 4),
        ("DCMTK storescp, tuned", 0.8),
        ("C program", 0.8),
    )
)
_SENDING = tuple(
    Beats(unit=unit, against=who, at_least=times)
    for unit in (OBJECTS_PER_S, MB_PER_S)
    for who, times in (("storescu, TCP_NODELAY", 1.2), ("pynetdicom", 4))
)

GOALS: Mapping[str, Sequence[Goal]] = {
    "receive": (*_C_STORE, Within(unit=PEAK_MB, at_most=100)),
    "send": _SENDING,
    "volume": (
        Beats(unit=SECONDS, against="", at_least=3, work="native"),
        Beats(unit=SECONDS, against="", at_least=2, work="JPEG-LS"),
        Beats(unit=SECONDS, against="", at_least=1.5, work="JPEG 2000"),
        Beats(unit=SECONDS, against="", at_least=3, work="RLE"),
        Within(unit=BEYOND_MB, at_most=150),
    ),
    "written": (
        Beats(unit=SECONDS, against="", at_least=3, work="SEG"),
        Beats(unit=PEAK_MB, against="", at_least=2, work="SEG"),
        Beats(unit=SECONDS, against="", at_least=2),
    ),
    "overhead": (
        Within(unit=MS, at_most=100, work="worker's start"),
        Within(unit=MS, at_most=150, work="PACS's success"),
        Within(unit=PART, at_most=1),
    ),
    "inference": (
        Beats(unit=SECONDS, against="", at_least=1.5),
        Within(unit=DIFFERENT, at_most=0.1),
    ),
    "growth": tuple(
        Beats(unit=unit, against="itself at 1,000", at_least=_NO_MORE_THAN_HALF_AGAIN)
        for unit in (MS, KSTEPS)
    ),
}
"""By subject. Of several that fit a row the first counts."""
