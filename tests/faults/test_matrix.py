"""The rows of the fault matrix that every commit has to pass; `make faults` plays all of them."""

from pathlib import Path

import pytest

from tests.faults.matrix import SEED, main, play
from tests.faults.rows import ROWS, CannotRun, Row, Size, row

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(each, id=f"{each.number} {each.fault}")
        for each in ROWS.values()
        if each.is_fast
    ],
)
def test_a_fault_does_no_harm(each: Row, tmp_path: Path) -> None:
    """The node does what the row expects, and the checker finds every promise kept."""
    try:
        play(each, tmp_path, SEED, size=Size.SHORT)
    except CannotRun as missing:
        pytest.skip(str(missing))


def test_a_row_that_is_not_green_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table says which and why, the others are played, and the exit status is 1."""
    monkeypatch.setattr("tests.faults.matrix.ROWS", played := {})
    monkeypatch.setattr("tests.faults.rows.ROWS", played)

    @row(1, "a fault", "nothing")
    def _broken(_scene: object) -> str:
        raise AssertionError("a job is | still ready")

    @row(2, "another", "nothing")
    def _impossible(_scene: object) -> str:
        raise CannotRun("no strace")

    @row(3, "a third", "nothing")
    def _fine(_scene: object) -> str:
        return "nothing happened"

    assert main(["--seed", "5"]) == 1
    table = capsys.readouterr().out
    assert "| 1 | a fault | nothing | RED: AssertionError: a job is / still ready |" in table
    assert "| 2 | another | nothing | not run: no strace |" in table
    assert "| 3 | a third | nothing | nothing happened | 0 | 5 |" in table
    assert main(["--only", "3"]) == 0


def test_a_seed_repeats_its_throws() -> None:
    """Whoever sees a red row can play it again as it was; another row throws otherwise."""
    from tests.faults.small_node import chance  # noqa: PLC0415 - only here

    throws = [[chance(seed, n).random() for _ in range(3)] for seed, n in ((1, 2), (1, 2), (1, 3))]
    assert throws[0] == throws[1] != throws[2]
