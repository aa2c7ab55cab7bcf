"""Routes and their conditions: a closed little language; nothing is ever evaluated as code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

Option: TypeAlias = str | int | float | bool

SIMILAR = "similar"
"""The route of the node's own: it places every series among those that look like it."""

COMPARE = "compare_earlier"
"""The option of a route that asks for a comparison with earlier studies."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value, in capitals and without padding, is one of these."""

    values: frozenset[str]

    def __str__(self) -> str:
        return " or ".join(sorted(self.values))


@dataclass(frozen=True, slots=True)
class Between:
    """The value is a number in this closed interval; `None` leaves an end open."""

    minimum: float | None = None
    maximum: float | None = None

    def __str__(self) -> str:
        low = "" if self.minimum is None else f"at least {self.minimum:g}"
        high = "" if self.maximum is None else f"at most {self.maximum:g}"
        return " and ".join(filter(None, (low, high)))


@dataclass(frozen=True, slots=True)
class Contains:
    """The value contains one of these texts, whatever their case."""

    texts: frozenset[str]

    def __str__(self) -> str:
        return "containing " + " or ".join(sorted(self.texts))


@dataclass(frozen=True, slots=True)
class Matches:
    """The whole value matches this regular expression, whatever its case."""

    pattern: str

    def __str__(self) -> str:
        return f"matching {self.pattern}"


@dataclass(frozen=True, slots=True)
class Absent:
    """The attribute is absent or empty (`is_absent`), or present with a value (not)."""

    is_absent: bool = True

    def __str__(self) -> str:
        return "absent" if self.is_absent else "present"


@dataclass(frozen=True, slots=True)
class Not:
    """The other condition does not hold."""

    condition: "Condition"

    def __str__(self) -> str:
        return f"not {self.condition}"


Condition: TypeAlias = OneOf | Between | Contains | Matches | Absent | Not


def one_of(*values: str) -> OneOf:
    """Return the condition that a value is one of `values`."""
    return OneOf(frozenset(value.strip().upper() for value in values))


class Priority(IntEnum):
    """Smaller runs first. A waiting job gains one step an hour, so that none waits for ever."""

    STAT = 0
    HIGH = 1
    ROUTINE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One named input of a route: the series whose attributes and facts meet all conditions.

    The keys of `when` are PS3.6 keywords or the names of derived facts (`slices`, `orientation`,
    ...; see `route.facts`). `expression` is an optional CEL expression over the same names.
    """

    name: str
    when: Mapping[str, Condition]
    expression: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One entry of `routes`: when this holds, run that, write these objects, send them there.

    `same` names keywords whose values must agree between all inputs. `revision` is the sha256
    of the entry as configured: it is part of the job key.
    """

    name: str
    inputs: tuple[Input, ...]
    run: str
    model: str
    write: tuple[str, ...]
    to: tuple[str, ...]
    same: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    priority: Priority = Priority.ROUTINE
    wait_seconds: float = 1800.0
    revision: str = ""
