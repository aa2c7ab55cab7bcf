"""How it is measured: everybody at the same work in turns, A B C A B C, on a machine at rest."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from bench.processes import cpu_seconds, wait_until_idle
from bench.results import Kind, Row
from bench.units import CPU_MS, Unit
from dicom_ai_node.domain.errors import NodeError

TROUBLE = (
    AssertionError, OSError, RuntimeError, ValueError, subprocess.SubprocessError, NodeError,
    pytest.skip.Exception, pytest.fail.Exception,
)  # fmt: skip
"""What a peer may fail with without the others being given up."""

_REST_SECONDS = 60.0


class Size(StrEnum):
    """How much work: TINY only shows that everything runs."""

    TINY = "tiny"
    QUICK = "quick"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that does the work: where it listens, and the process above all of its own."""

    name: str
    kind: Kind
    port: int = 0
    pid: int | None = None


Started = AbstractContextManager[tuple[int, int | None]]
"""What runs until the end of a block: its port and its process."""

Task = Callable[[Contender], Mapping[Unit, float]]


@dataclass(slots=True, kw_only=True)
class Session:
    """One run of one subject; what it has found is in `rows` and `notes`.

    Attributes
    ----------
    folder
        Where everything is stored: its disk is a part of what is measured.
    against
        Parts of names; of the peers, only those are measured. Without any, all are.
    has_failed
        Whether this node could not do something.
    is_warming
        Whether the turn is the one that does not count: it may be a short one.
    """

    subject: str
    folder: Path
    size: Size
    rounds: int
    against: Sequence[str] = ()
    tell: Callable[[str], None] = lambda _: None
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    has_failed: bool = False
    is_warming: bool = False

    def wants(self, name: str, kind: Kind = Kind.PEER) -> bool:
        """Return whether a contender is to be measured."""
        words = [word.lower() for word in self.against]
        return kind is not Kind.PEER or not words or any(word in name.lower() for word in words)

    def choose(self, tiny: Any, quick: Any, full: Any) -> Any:  # noqa: ANN401 - one of them
        """Return what goes with the size of this run."""
        return {Size.TINY: tiny, Size.QUICK: quick, Size.FULL: full}[self.size]

    def measure(
        self,
        work: str,
        contenders: Sequence[Contender],
        task: Task,
        *,
        at_most: int = 1000,
        is_cold: bool = True,
    ) -> None:
        """Let each contender do a task, one after the other, in rounds; the first does not count.

        `at_most` so many rounds count, and the first as well unless it is `is_cold`. A contender
        that fails is left out, and `notes` say why.
        """
        found: dict[str, dict[Unit, list[float]]] = {each.name: {} for each in contenders}
        is_cold = is_cold and self.size is not Size.TINY
        rounds = min(self.rounds, at_most)
        for turn in range(rounds + is_cold):
            number = turn + (not is_cold)
            self.is_warming = is_cold and turn == 0
            self.tell(f"{self.subject}: {work}, round {number} of {rounds}")
            for contender in [each for each in contenders if each.name in found]:
                self._rest(contenders)
                try:
                    values = task(contender)
                except TROUBLE as trouble:
                    self.fails(f"{contender.name} at {work}", contender.kind, trouble)
                    del found[contender.name]
                    continue
                for unit, value in values.items() if not self.is_warming else ():
                    found[contender.name].setdefault(unit, []).append(value)
        kinds = {each.name: each.kind for each in contenders}
        self.rows += [
            Row(self.subject, work, unit, name, kinds[name], tuple(values))
            for name, units in found.items()
            for unit, values in units.items()
        ]

    def _rest(self, contenders: Sequence[Contender]) -> None:
        """Let nobody pay for what somebody else has left to be done."""
        if self.size is Size.TINY:
            return
        os.sync()
        pids = [each.pid for each in contenders if each.pid is not None]
        if pids and not wait_until_idle(pids, _REST_SECONDS):
            self.tell(f"a contender was still at work after {_REST_SECONDS:.0f} s")

    def fails(self, what: str, kind: Kind, trouble: BaseException) -> None:
        """Say who could not be measured, and why."""
        self.has_failed |= kind is Kind.OURS
        told = " ".join(str(trouble).split())[-300:] or type(trouble).__name__
        self.note(f"missing: {what}: {told}")

    def note(self, what: str) -> None:
        """Say something about this run below the table."""
        self.notes.append(what)
        self.tell(what)


class Field:
    """Contenders that are up until the end of the block."""

    def __init__(self, session: Session, stack: ExitStack) -> None:
        self._session, self._stack = session, stack
        self.contenders: list[Contender] = []

    def enter(self, name: str, kind: Kind, start: Callable[[], Started]) -> None:
        """Start a contender, if it is wanted; if it cannot be started it is missing."""
        if not self._session.wants(name, kind):
            return
        try:
            port, pid = self._stack.enter_context(start())
        except TROUBLE as trouble:
            self._session.fails(name, kind, trouble)
        else:
            self.contenders.append(Contender(name, kind, port, pid))


def with_cpu(
    contender: Contender, work: Callable[[], tuple[int, Mapping[Unit, float]]]
) -> Mapping[Unit, float]:
    """Do some work, which returns how many it did and what was measured; add what each has cost.

    That is the processor time of the contender until its last answer, not what it does later.
    """
    before = 0.0 if contender.pid is None else cpu_seconds(contender.pid)
    count, found = work()
    if contender.pid is None:
        return found
    return {**found, CPU_MS: 1000 * (cpu_seconds(contender.pid) - before) / count}
