"""Plays rows of the fault matrix, one after the other, and prints what happened as a table."""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import (
    rows_deliver,
    rows_disk,
    rows_load,
    rows_proven,
    rows_receive,
    rows_upgrade,
    rows_work,
)
from tests.faults.rows import ROWS, CannotRun, Row, Scene, Size
from tests.faults.small_node import chance

CHAPTERS = (
    rows_receive, rows_load, rows_disk, rows_deliver, rows_work, rows_upgrade, rows_proven,
)  # fmt: skip
"""The modules that have entered their rows by being imported."""
SEED = 20261129
GREEN, RED, NOT_RUN = "green", "RED", "not run"
HEAD = ("row", "fault", "expected", "happened", "seconds", "seed")


@dataclass(frozen=True, slots=True)
class Played:
    """A row and how it went."""

    row: Row
    colour: str
    happened: str
    seconds: float
    seed: int

    def cells(self) -> tuple[str, ...]:
        """Return what the table says."""
        happened = self.happened if self.colour == GREEN else f"{self.colour}: {self.happened}"
        one_line = " ".join(happened.split()).replace("|", "/")
        row = self.row
        return (
            str(row.number), row.fault, row.expected, one_line, f"{self.seconds:.0f}", str(self.seed),
        )  # fmt: skip


def play(row: Row, folder: Path, seed: int, *, size: Size) -> str:
    """Play one row in a new folder and return what happened; raise if it is not green."""
    scene = Scene(row.number, folder, seed, size, chance(seed, row.number))
    return row.play(scene)


def played(row: Row, seed: int, *, size: Size) -> Played:
    """Play one row, whatever happens."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(
        prefix=f"fault{row.number}-", ignore_cleanup_errors=True
    ) as at:
        try:
            colour, happened = GREEN, play(row, Path(at), seed, size=size)
        except (CannotRun, pytest.skip.Exception) as missing:
            colour, happened = NOT_RUN, str(missing)
        except (Exception, pytest.fail.Exception) as trouble:  # noqa: BLE001 - the others go on
            traceback.print_exc()
            colour, happened = RED, f"{type(trouble).__name__}: {trouble}"
    return Played(row, colour, happened, time.monotonic() - began, seed)


def line(cells: Iterable[str]) -> str:
    """Return one line of the table."""
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> int:
    """Play what is asked for; 0 if every row was green."""
    asked = argparse.ArgumentParser(prog="make faults", description=__doc__)
    asked.add_argument("--only", default="", help="numbers of rows, e.g. 11,14")
    asked.add_argument(
        "--fast", dest="size", action="store_const", const=Size.SHORT, default=Size.USUAL,
        help="only the rows of every commit, shorter",
    )  # fmt: skip
    asked.add_argument(
        "--long", dest="size", action="store_const", const=Size.LONG,
        help="500 kills, 100,000 instances: hours",
    )  # fmt: skip
    asked.add_argument(
        "--seed", type=int, default=SEED, help="of the dice; the same, the same throws"
    )
    said = asked.parse_args(arguments)
    wanted = {int(each) for each in said.only.split(",") if each}
    if unknown := wanted - ROWS.keys():
        asked.error(f"there is no row {', '.join(map(str, sorted(unknown)))}")
    rows = [
        ROWS[n]
        for n in sorted(ROWS)
        if (n in wanted if wanted else ROWS[n].is_fast or said.size is not Size.SHORT)
    ]
    sys.stdout.write(f"{line(HEAD)}\n{line('---' for _ in HEAD)}\n")
    colours = []
    for row in rows:
        one = played(row, said.seed, size=said.size)
        colours.append(one.colour)
        sys.stdout.write(f"{line(one.cells())}\n")
        sys.stdout.flush()
    green = colours.count(GREEN)
    sys.stdout.write(f"\n{green} of {len(colours)} rows are green\n")
    return 0 if green == len(colours) else 1
