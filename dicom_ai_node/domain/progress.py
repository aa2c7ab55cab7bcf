"""How far a leg of a job has come: told from the middle of the work, to whoever listens.

Whoever works says `during` which phase he is, and how many of how many steps are done; nobody has
to hand a listener from function to function. Without a listener, telling costs next to nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from dicom_ai_node.domain.uids import JobKey

T = TypeVar("T")


class Phase(StrEnum):
    """What is being done. The console has words for each; none of them says anything of a patient.

    A leg goes through some of them, most of them once.
    """

    LOADING = "loading"  # the model comes onto the device and proves itself
    READING = "reading"  # files are read and decoded
    CHECKING = "checking"  # the guard looks at the input
    RUNNING = "running"  # the network is asked
    EXPLAINING = "explaining"  # a heat map is made
    FINISHING = "finishing"  # what was found is brought to the source, and measured
    ENCODING = "encoding"  # DICOM objects are made
    WRITING = "writing"  # and written to the disk


@dataclass(frozen=True, slots=True)
class Progress:
    """What is being done, and which part of the whole leg is done, 0 to 1.

    How the leg is shared out among its phases is a guess: some models read longer than they run.
    """

    phase: Phase
    part: float


@dataclass(frozen=True, slots=True)
class HowFar:
    """How far one attempt at a job is, by the job's fence."""

    job: JobKey
    fence: int
    progress: Progress


Listener = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class _Span:
    """The part of the leg that somebody is in the middle of."""

    listener: Listener
    phase: Phase
    low: float = 0.0
    high: float = 1.0

    def within(self, low: float, high: float) -> "_Span":
        width = self.high - self.low
        return replace(self, low=self.low + low * width, high=self.low + high * width)

    def tell(self, part: float) -> None:
        so_far = self.low + min(max(part, 0.0), 1.0) * (self.high - self.low)
        self.listener(Progress(self.phase, so_far))


_SPAN: ContextVar[_Span | None] = ContextVar("span", default=None)


@contextmanager
def heard_by(listener: Listener | None) -> Iterator[None]:
    """Let `listener` hear how far what is done here is; `None` hears nothing."""
    span = None if listener is None else _Span(listener, Phase.RUNNING)
    with _as(span):
        yield


@contextmanager
def during(phase: Phase, low: float = 0.0, high: float = 1.0) -> Iterator[None]:
    """Say what is done here, which takes from `low` to `high` of what it is a part of."""
    span = _SPAN.get()
    if span is not None:
        span = replace(span.within(low, high), phase=phase)
        span.tell(0)
    with _as(span):
        yield


@contextmanager
def share(place: int, count: int) -> Iterator[None]:
    """Be one of `count` equal parts, `place` counted from 0; it is done at the end."""
    span = _SPAN.get()
    inner = None if span is None else span.within(place / count, (place + 1) / count)
    with _as(inner):
        yield
    if inner is not None:
        inner.tell(1)


def done(part: float) -> None:
    """Say which part of what is done here is done, 0 to 1."""
    span = _SPAN.get()
    if span is not None:
        span.tell(part)


def along(items: Sequence[T]) -> Iterator[T]:
    """Yield one after the other, and say after each how many are done."""
    for number, item in enumerate(items, start=1):
        yield item
        done(number / len(items))


@contextmanager
def _as(span: _Span | None) -> Iterator[None]:
    token = _SPAN.set(span)
    try:
        yield
    finally:
        _SPAN.reset(token)
