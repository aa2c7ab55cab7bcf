"""What was measured, and what follows from it: medians, the spread, how many times better, JSON."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from bench.goals import GOALS, Beats, Goal, Verdict, Within, verdict
from bench.units import Unit


class Kind(StrEnum):
    """What stands in a row: us, another program, what the machine can do, or its sender alone."""

    OURS = "ours"
    PEER = "peer"
    LIMIT = "limit"
    SENDER = "sender"


@dataclass(frozen=True, slots=True)
class Row:
    """One program at one piece of work: a value for each round, in the order of the rounds."""

    subject: str
    work: str
    unit: Unit
    who: str
    kind: Kind
    values: tuple[float, ...]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """By what the same row is found in another run."""
        return (*self.group, self.who)

    @property
    def group(self) -> tuple[str, str, str]:
        """What rows share that can be compared with each other."""
        return (self.subject, self.work, self.unit.name)

    @property
    def median(self) -> float:
        """The value in the middle."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return min(self.values), max(self.values)


def times_better(one: Row, other: Row) -> float | None:
    """Return how many times better one row is than another: above 1, it is.

    Round by round, where both have as many, and then the median: what slows the machine down for
    a while slows both. `None` if something was too little to be measured.
    """
    if len(one.values) == len(other.values):
        pairs = list(zip(one.values, other.values, strict=True))
    else:
        pairs = [(one.median, other.median)]
    found = [_times(mine, theirs, one.unit) for mine, theirs in pairs if mine > 0 and theirs > 0]
    return statistics.median(found) if found else None


def _times(mine: float, theirs: float, unit: Unit) -> float:
    return mine / theirs if unit.more_is_better else theirs / mine


@dataclass(frozen=True, slots=True)
class Judged:
    """A row beside the others of its group, and beside itself in an earlier run.

    Attributes
    ----------
    ours_is
        How many times better this node is than the row; `None` for its own.
    of_limit
        The part of what the machine can do, 1 is all of it; `None` without a limit.
    before
        The median of the earlier run.
    since
        How many times better it is now.
    goal
        What was wanted of the node in this row, and whether it is so.
    """

    row: Row
    ours_is: float | None
    of_limit: float | None
    goal: Verdict | None = None
    before: float | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A run: where and when it was, its rows, and what else has to be said.

    `has_failed` says that this node could not do something; that is not written.
    """

    machine: Mapping[str, Any]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    has_failed: bool = False

    def judged(self, earlier: "Report | None" = None) -> list[Judged]:
        """Return all rows with what follows from them, each group together: ours, peers, limit."""
        groups: dict[tuple[str, str, str], list[Row]] = {}
        for row in self.rows:
            groups.setdefault(row.group, []).append(row)
        found = [each for group in groups.values() for each in _judged(group)]
        if earlier is None:
            return found
        then = {row.key: row for row in earlier.rows}
        return [_since(each, then.get(each.row.key)) for each in found]

    def write(self, path: Path) -> None:
        """Write everything as JSON, with what follows from it, for whoever reads it elsewhere."""
        judged = self.judged()
        rows = [
            asdict(each.row)
            | {"median": each.row.median, "spread": each.row.spread}
            | {"ours_is": each.ours_is, "of_limit": each.of_limit, "goal": _goal(each.goal)}
            for each in judged
        ]
        goals = [each.goal.is_met for each in judged if each.goal is not None]
        path.parent.mkdir(parents=True, exist_ok=True)
        said = {
            "machine": self.machine,
            "goals": {"met": sum(goals), "of": len(goals)},
            "notes": list(self.notes),
            "rows": rows,
        }
        path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Report:
    """Return the report of an earlier run."""
    said = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        Row(
            one["subject"],
            one["work"],
            Unit(**one["unit"]),
            one["who"],
            Kind(one["kind"]),
            tuple(one["values"]),
        )
        for one in said["rows"]
    ]
    return Report(said["machine"], rows, said["notes"])


def _judged(group: Sequence[Row]) -> Iterable[Judged]:
    ours = next((row for row in group if row.kind is Kind.OURS), None)
    limit = next((row for row in group if row.kind is Kind.LIMIT), None)
    order = list(Kind)
    for row in sorted(group, key=lambda row: order.index(row.kind)):
        ours_is = None if ours is None or row is ours else times_better(ours, row)
        of_limit = (
            None if limit is None or row is limit or row.unit.is_cost else times_better(row, limit)
        )
        goal = _wanted(row)
        said = None if goal is None else verdict(goal, row.median, ours_is)
        yield Judged(row, ours_is, of_limit, said)


def _wanted(row: Row) -> Goal | None:
    """Return the goal that a row is there for."""
    for goal in GOALS.get(row.subject, ()):
        if goal.unit != row.unit or goal.work not in row.work:
            continue
        match goal:
            case Within() if row.kind is Kind.OURS:
                return goal
            case Beats(against="") if row.kind is Kind.PEER:
                return goal
            case Beats(against=who) if who and row.who.startswith(who):
                return goal
    return None


def _goal(said: Verdict | None) -> Mapping[str, Any] | None:
    if said is None:
        return None
    return {"wanted": str(said.goal), "is_met": said.is_met, "by": said.by}


def _since(judged: Judged, then: Row | None) -> Judged:
    if then is None:
        return judged
    now = judged.row
    return replace(
        judged,
        before=then.median,
        since=times_better(
            replace(now, values=(now.median,)), replace(then, values=(then.median,))
        ),
    )
