"""What is wanted of the node is judged row by row, said in the table and kept in the file."""

import json
from pathlib import Path

import pytest

from bench import table
from bench.__main__ import SUBJECTS
from bench.goals import GOALS
from bench.results import Kind, Report, Row
from bench.units import MS, OBJECTS_PER_S, PEAK_MB, SECONDS, Unit

TUNED, INSTALLED = "Orthanc, tuned (index not synced)", "Orthanc (index not synced)"


def row(who: str, value: float, unit: Unit, subject: str = "receive", work: str = "CT") -> Row:
    """Return a row of one round; what is ours is called so."""
    kind = Kind.OURS if who == "ours" else Kind.PEER
    return Row(subject, work, unit, who, kind, (value,))


@pytest.mark.parametrize(
    ("rows", "by"),
    [
        pytest.param(
            [row("ours", 30, OBJECTS_PER_S), row(TUNED, 10, OBJECTS_PER_S)],
            {TUNED: 1.5},
            id="three times as fast where twice was wanted",
        ),
        pytest.param(
            [row("ours", 30, OBJECTS_PER_S), row(INSTALLED, 10, OBJECTS_PER_S)],
            {INSTALLED: 0.5},
            id="the same beside a program of which six times was wanted",
        ),
        pytest.param(
            [row("ours", 50, PEAK_MB), row(TUNED, 900, PEAK_MB)],
            {"ours": 2.0},
            id="of memory the node alone is judged, and less is better",
        ),
        pytest.param(
            [
                row("ours", 2, SECONDS, "volume", "300, JPEG-LS"),
                row("anybody", 2, SECONDS, "volume", "300, JPEG-LS"),
            ],
            {"anybody": 0.5},
            id="every peer, by the goal of this codec",
        ),
        pytest.param(
            [row("ours", 1, MS, "search"), row("anybody", 9, MS, "search")],
            {},
            id="what nobody has set a goal for is only shown",
        ),
    ],
)
def test_a_row_is_judged_by_the_goal_that_it_is_there_for(
    rows: list[Row], by: dict[str, float]
) -> None:
    """From 1 on a goal is met, whatever the unit."""
    judged = Report({}, rows).judged()
    assert {one.row.who: one.goal.by for one in judged if one.goal} == pytest.approx(by)


def test_the_table_ends_with_what_was_missed(tmp_path: Path) -> None:
    """And the file counts it, for whoever keeps an eye on it."""
    rows = [row("ours", 30, OBJECTS_PER_S), row(TUNED, 10, OBJECTS_PER_S)]
    report = Report({}, [*rows, row(INSTALLED, 10, OBJECTS_PER_S)])
    lines = list(table.lines(report))
    assert "goals: 1 of 2 are met" in lines
    (missed,) = [line for line in lines if line.startswith("missed")]
    assert INSTALLED in missed
    report.write(tmp_path / "run.json")
    said = json.loads((tmp_path / "run.json").read_text())
    assert said["goals"] == {"met": 1, "of": 2}
    assert [one["goal"] and one["goal"]["is_met"] for one in said["rows"]] == [None, True, False]


def test_goals_are_those_of_subjects_that_there_are() -> None:
    """A subject that is renamed takes its goals along."""
    assert set(GOALS) <= set(SUBJECTS)
