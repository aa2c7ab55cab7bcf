"""C-STORE receive: from the wire to success, which here means: synced, and in the ledger.

The same sender for all; it stops after a while where somebody is slow. Orthanc syncs each file but
neither its folder nor the index in which it is found again; the others sync nothing.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import contenders, objects
from bench.objects import SYNTAX, Template
from bench.processes import Peak
from bench.results import Kind, times_better
from bench.session import Contender, Field, Session, with_cpu
from bench.units import GROWN_MB, MB_PER_S, OBJECTS_PER_S, PEAK_MB, Unit

OURS = "dicom_ai_node"
SENDERS = (1, 4, 16)
LONGEST_SECONDS = 2.5
"""After it a sender stops: the rate of whoever is slow does not change any more."""
_WARMING_SECONDS = 0.7
_ROUNDS: Mapping[int, int] = {16: 2}
_RECEIVERS = ("receive-",)
"""What the receiving ones of our processes are called."""
_LIMITED_FROM = 0.7
"""Whoever reaches this part of what the sender can do is measured with the sender's limit."""


@dataclass(frozen=True, slots=True)
class Workload:
    """So many objects of a kind, by one and by several senders at once."""

    name: str
    template: Template
    count: int
    senders: tuple[int, ...]
    unit: Unit = OBJECTS_PER_S


def run(session: Session) -> None:
    """Measure everybody with each workload, which begins with an empty store."""
    works = workloads(session)
    # Starting everybody takes longer than TINY does.
    for together in session.choose([works], [[work] for work in works], [[work] for work in works]):
        with ExitStack() as stack:
            field = Field(session, stack)
            _enter_all(field, Path(stack.enter_context(_folder(session))))
            for workload in together:
                for senders in workload.senders:
                    _measure(session, field.contenders, workload, senders)


def workloads(session: Session) -> list[Workload]:
    """Return what is sent."""
    folder = session.folder
    senders = session.choose((2,), SENDERS, SENDERS)
    slices = session.choose(8, 100, 300)
    small = session.choose(16, 200, 5000)
    megabytes = session.choose(4, 20, 500)
    return [
        Workload(f"CT of {slices} x 0.5 MB", objects.ct_slice(folder), slices, senders),
        Workload(f"{small} objects of 20 KB", objects.small_image(folder), small, senders),
        Workload(f"cine of {megabytes} MB", objects.cine(folder, megabytes), 1, (1,), MB_PER_S),
    ]


def _measure(
    session: Session, everybody: Sequence[Contender], workload: Workload, senders: int
) -> None:
    name = f"{workload.name}, {senders} sender{'s' if senders > 1 else ''}"

    def timed(contender: Contender) -> Mapping[Unit, float]:
        seconds = _WARMING_SECONDS if session.is_warming else session.choose(5, 5, LONGEST_SECONDS)
        return _timed(workload, senders, seconds, contender)

    session.measure(name, everybody, timed, at_most=_ROUNDS.get(senders, session.rounds))
    if workload.unit is MB_PER_S:
        session.measure(name, everybody, partial(_weighed, workload), at_most=1, is_cold=False)
    _note_if_the_sender_limits(session, name)


def _folder(session: Session) -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(dir=session.folder, ignore_cleanup_errors=True)


def _enter_all(field: Field, folder: Path) -> None:
    field.enter(OURS, Kind.OURS, lambda: contenders.Node.at(folder / "ours").tree())
    for name, start in _PEERS.items():
        field.enter(name, Kind.PEER, partial(start, folder / name))
    for name, kind, throws_away in _LIMITS:
        start = partial(contenders.limit, folder / name, throws_away=throws_away)
        field.enter(name, kind, start)


_PEERS = {
    "Orthanc (index not synced)": contenders.orthanc,
    "Orthanc, tuned (index not synced)": contenders.tuned_orthanc,
    "DCMTK storescp (not synced)": contenders.storescp,
    "DCMTK storescp, tuned (not synced)": contenders.tuned_storescp,
    "pynetdicom storescp (not synced)": contenders.pynetdicom_app,
}
_LIMITS = (
    ("C program, socket to disk", Kind.LIMIT, False),
    ("sender alone, thrown away", Kind.SENDER, True),
)


def _timed(
    workload: Workload, senders: int, seconds: float, contender: Contender
) -> Mapping[Unit, float]:
    def work() -> tuple[int, Mapping[Unit, float]]:
        count, took = send(contender.port, workload.template, workload.count, senders, seconds)
        much = (
            count if workload.unit is OBJECTS_PER_S else count * workload.template.size_bytes / 1e6
        )
        return count, {workload.unit: much / took}

    return with_cpu(contender, work)


def _weighed(workload: Workload, contender: Contender) -> Mapping[Unit, float]:
    """Return how much memory one receiving process needs, in a run that is not timed."""
    if contender.pid is None:
        return {}
    names = _RECEIVERS if contender.kind is Kind.OURS else ()
    with Peak(contender.pid, names) as peak:
        send(contender.port, workload.template, workload.count, 1, 60)
    return {PEAK_MB: peak.mb, GROWN_MB: peak.mb - peak.before_mb}


def send(
    port: int, template: Template, count: int, senders: int, seconds: float
) -> tuple[int, float]:
    """Send objects by so many processes at once, for so long at most.

    Returns
    -------
    tuple
        How many were answered with success, and how long it took from the first connection to the
        last answer.

    Raises
    ------
    RuntimeError
        If an object was not stored; with what the sender said.
    """
    said = {
        "port": port, "sop_class": template.sop_class, "syntax": SYNTAX,
        "head": template.head.hex(), "payload": str(template.payload), "seconds": seconds,
    }  # fmt: skip
    with ExitStack() as stack:
        running = [
            stack.enter_context(_sender({**said, "count": len(range(place, count, senders))}))
            for place in range(min(senders, count))
        ]
        for each in running:
            _line(each)  # it is ready
        for each in running:
            assert each.stdin is not None  # noqa: S101 - it has a pipe
            each.stdin.write("go\n")
            each.stdin.flush()
        found = [json.loads(_line(each)) for each in running]
    began = min(each["began"] for each in found)
    ended = max(each["ended"] for each in found)
    return sum(each["sent"] for each in found), ended - began


def _sender(said: Mapping[str, object]) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    command = [sys.executable, "-S", "-m", "bench.sender"]
    process = subprocess.Popen(
        command, cwd=contenders.ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    assert process.stdin is not None  # noqa: S101 - it has a pipe
    process.stdin.write(json.dumps(said) + "\n")
    process.stdin.flush()
    return process


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None  # noqa: S101 - it has a pipe
    assert process.stderr is not None  # noqa: S101 - it has a pipe
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(process.stderr.read()[-300:])
    return line


def _note_if_the_sender_limits(session: Session, name: str) -> None:
    rows = [each for each in session.rows if each.work == name and not each.unit.is_cost]
    for alone in (each for each in rows if each.kind is Kind.SENDER):
        near = [
            each.who
            for each in rows
            if each is not alone and (times_better(each, alone) or 0) > _LIMITED_FROM
        ]
        if near:
            session.note(f"{name}: the sender is hardly faster than {', '.join(near)}")
