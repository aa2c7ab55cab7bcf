"""What follows from what was measured: medians, how many times better, JSON, an earlier run."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import results, table
from bench.results import Kind, Report, Row, times_better
from bench.units import CPU_MS, MS, OBJECTS_PER_S, Unit


def row(
    who: str,
    values: Sequence[float],
    *,
    unit: Unit = OBJECTS_PER_S,
    kind: Kind = Kind.PEER,
    work: str = "CT",
) -> Row:
    """Return a row about nothing in particular."""
    return Row("receive", work, unit, who, kind, tuple(values))


OURS = row("ours", [30, 10, 20], kind=Kind.OURS)


def test_a_row_tells_its_median_and_its_spread() -> None:
    """One slow round moves the median little, and is not hidden."""
    assert OURS.median == 20
    assert OURS.spread == (10, 30)


@pytest.mark.parametrize(
    ("one", "other", "times"),
    [
        pytest.param(OURS, row("it", [10, 5, 10]), 2.0, id="each round by itself, then the median"),
        pytest.param(OURS, row("it", [5, 5]), 4.0, id="the medians, if a round is missing"),
        pytest.param(row("a", [2], unit=MS), row("b", [8], unit=MS), 4.0, id="less time is better"),
        pytest.param(row("a", [0.0]), row("b", [1.0]), None, id="nothing measured, nothing said"),
    ],
)
def test_a_ratio_above_one_is_better(one: Row, other: Row, times: float | None) -> None:
    """Whatever the unit."""
    assert times_better(one, other) == times


def test_each_group_is_judged_by_its_own_row_of_ours_and_its_own_limit() -> None:
    """Ours comes first, then the peers, then what the machine can do."""
    report = Report(
        {},
        [
            row("limit", [40, 40, 40], kind=Kind.LIMIT),
            row("sender", [80, 80, 80], kind=Kind.SENDER),
            row("peer", [10, 10, 10]),
            OURS,
            row("ours", [7], kind=Kind.OURS, work="cine"),
        ],
    )
    told = [(each.row.who, each.ours_is, each.of_limit) for each in report.judged()]
    assert told == [
        ("ours", None, 0.5),
        ("peer", 2.0, 0.25),
        ("limit", 0.5, None),
        ("sender", 0.25, 2.0),
        ("ours", None, None),
    ]


def test_what_something_costs_has_no_limit_to_reach() -> None:
    """A program that does nothing costs nothing; nobody is measured by that."""
    rows = [
        row("ours", [3], unit=CPU_MS, kind=Kind.OURS),
        row("limit", [1], unit=CPU_MS, kind=Kind.LIMIT),
    ]
    assert [each.of_limit for each in Report({}, rows).judged()] == [None, None]


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A later run can be compared with it."""
    report = Report({"cores": "2"}, [OURS, row("peer", [1, 2])], ["missing: somebody"])
    path = tmp_path / "folder" / "run.json"
    report.write(path)
    assert results.read(path) == report


def test_a_run_is_compared_with_an_earlier_one() -> None:
    """By work, unit and program; what is new has nothing before it."""
    then = Report({}, [row("ours", [5, 10, 15], kind=Kind.OURS), row("gone", [1])])
    ours, peer = Report({}, [OURS, row("peer", [1, 1, 1])]).judged(then)
    assert (ours.before, ours.since) == (10, 2.0)
    assert (peer.before, peer.since) == (None, None)


def test_the_table_has_a_line_for_each_row_and_the_costs_beside_it() -> None:
    """It warns if the earlier run was made elsewhere."""
    rows = [OURS, row("ours", [2.5], unit=CPU_MS, kind=Kind.OURS), row("peer", [10, 10, 10])]
    now = Report({"cores": "2"}, rows, ["missing: somebody"])
    lines = list(table.lines(now, Report({"cores": "64"}, [OURS])))
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if "CT" in line
    ]
    assert cells == [
        ["receive: CT", "ours", "20", "objects/s", "10 to 30", "", "", "2.5", "", "20", "1 x"],
        ["receive: CT", "peer", "10", "objects/s", "10 to 10", "2 x", "", "", "", "", ""],
    ]
    assert any(line.startswith("CAREFUL") and "cores: 64" in line for line in lines)
    assert lines[-1] == "missing: somebody"
