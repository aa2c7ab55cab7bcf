"""The fault matrix: one row per fault, each a function that says what happened or raises."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from dicom_ai_node.selftest.judge import MARK, processes
from tests.faults.small_node import ROOT, Pacs, SmallNode, until


class CannotRun(Exception):
    """What a row needs is not on this machine. Such a row is not green."""


class Size(Enum):
    """How much harm a row does."""

    SHORT = "short"
    USUAL = "usual"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a row plays. The same seed makes the same throws of the dice."""

    number: int
    folder: Path
    seed: int
    size: Size
    dice: random.Random

    @property
    def is_short(self) -> bool:
        """Whether there is little time, as with every commit."""
        return self.size is Size.SHORT

    @property
    def is_long(self) -> bool:
        """Whether it may take an hour."""
        return self.size is Size.LONG

    @contextmanager
    def node(self, pacs: Mapping[str, Pacs], **more: Any) -> Iterator[SmallNode]:  # noqa: ANN401
        """Make a node that delivers to archives, and end it in any case."""
        where = {
            name: f"{{ae_title: PACS, host: 127.0.0.1, port: {each.port}}}"
            for name, each in pacs.items()
        }
        node = SmallNode(self.folder / "node", more.pop("destinations", where), **more)
        try:
            yield node
        finally:
            node.end()

    @contextmanager
    def tmpfs(self, name: str, size_mb: int) -> Iterator[Path]:
        """Mount a small file system in memory."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        size = ["-o", f"size={size_mb}m"]
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", *size, "tmpfs", folder], capture_output=True, check=False
        )
        if mounted.returncode:
            raise CannotRun("this account may not mount a tmpfs")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@dataclass(frozen=True, slots=True)
class Row:
    """One fault, what is expected of the node, and the function that plays it."""

    number: int
    fault: str
    expected: str
    play: Callable[[Scene], str]
    is_fast: bool


ROWS: dict[int, Row] = {}


def row(
    number: int, fault: str, expected: str, *, fast: bool = False
) -> Callable[[Callable[[Scene], str]], Callable[[Scene], str]]:
    """Enter a function as the row with a number; `fast` rows run with every commit, too."""

    def enter(play: Callable[[Scene], str]) -> Callable[[Scene], str]:
        assert number not in ROWS, f"there are two rows {number}"
        ROWS[number] = Row(number, fault, expected, play, fast)
        return play

    return enter


def proven_by(scene: Scene, *tests: str) -> str:
    """Run tests that prove a row already; say how many passed.

    They search their own logs for the canary; here the processes are looked for that they leave.
    """
    import os  # noqa: PLC0415 - only here

    mark = f"{scene.seed}-{scene.number}-{os.getpid()}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs",
         f"--basetemp={scene.folder / 'tests'}", *tests],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, MARK: mark},
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line]
    summary = next((line for line in reversed(lines) if " in " in line), "nothing ran")
    assert done.returncode == 0, "\n".join(lines[-12:])
    until(lambda: not processes(mark), "a test has left a process behind", 20)
    if " skipped" in summary:
        reasons = [line.split(": ", 1)[-1] for line in lines if line.startswith("SKIPPED")]
        raise CannotRun("; ".join(sorted(set(reasons))))
    return summary.strip("= ").split(" in ")[0] + " (pytest)"
