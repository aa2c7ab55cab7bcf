"""A report as a table that can be read in a terminal and pasted into Markdown."""

from collections.abc import Iterator, Sequence

from bench.results import Judged, Report, Row
from bench.units import CPU_MS

HEAD = (
    "work", "who", "median", "unit", "lowest to highest", "ours is", "of the limit", "CPU ms each",
    "goal",
)  # fmt: skip
SINCE = ("before", "since then")


def lines(report: Report, earlier: Report | None = None) -> Iterator[str]:
    """Yield the machine, the table of all rows, and the notes."""
    yield from (f"{name}: {said}" for name, said in report.machine.items())
    if earlier is not None and (elsewhere := _elsewhere(report, earlier)):
        yield f"CAREFUL: the earlier run was not like this one, it had {elsewhere}."
    yield ""
    judged = report.judged(earlier)
    cpu_ms = {_doing(each.row): each.row.median for each in judged if each.row.unit == CPU_MS}
    head = HEAD if earlier is None else HEAD + SINCE
    shown = [each for each in judged if each.row.unit != CPU_MS]
    cells = [_cells(each, cpu_ms.get(_doing(each.row))) for each in shown]
    yield from _aligned([head, *(each[: len(head)] for each in cells)])
    yield from _goals(judged)
    if report.notes:
        yield ""
        yield from report.notes


def _goals(judged: Sequence[Judged]) -> Iterator[str]:
    """Yield how many goals are met, and each row that misses its own, the farthest first."""
    said = [(each.goal, each.row) for each in judged if each.goal is not None]
    missed = sorted(
        ((goal, row) for goal, row in said if not goal.is_met), key=lambda pair: pair[0].by
    )
    yield ""
    yield f"goals: {len(said) - len(missed)} of {len(said)} are met"
    for goal, row in missed:
        yield f"missed: {row.subject}: {row.work}, {row.who}, {row.unit.name}: {goal}"


def number(value: float | None) -> str:
    """Return a value with as many digits as one may believe."""
    if value is None:
        return ""
    if abs(value) >= 100:  # noqa: PLR2004 - three digits
        return f"{value:.0f}"
    return f"{value:.3g}"


def _doing(row: Row) -> tuple[str, str, str]:
    return row.subject, row.work, row.who


def _cells(judged: Judged, cpu_ms: float | None) -> tuple[str, ...]:
    row = judged.row
    low, high = row.spread
    return (
        f"{row.subject}: {row.work}",
        row.who,
        number(row.median),
        row.unit.name,
        f"{number(low)} to {number(high)}",
        _times(judged.ours_is),
        "" if judged.of_limit is None else f"{100 * judged.of_limit:.0f} %",
        "" if row.unit.is_cost else number(cpu_ms),
        "" if judged.goal is None else str(judged.goal),
        number(judged.before),
        _times(judged.since),
    )


def _times(value: float | None) -> str:
    return "" if value is None else f"{number(value)} x"


def _aligned(cells: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for place, row in enumerate(cells):
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"| {' | '.join(padded)} |"
        if place == 0:
            yield f"|{'|'.join('-' * (width + 2) for width in widths)}|"


def _elsewhere(now: Report, then: Report) -> str:
    names = ("processor", "cores", "store", "size", "rounds")
    return ", ".join(
        f"{name}: {then.machine.get(name)}"
        for name in names
        if then.machine.get(name) != now.machine.get(name)
    )
