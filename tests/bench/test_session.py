"""How it is measured: in turns, without the first time, and nobody stops the others."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench import machine
from bench.processes import Peak, cpu_seconds, family, stop
from bench.results import Kind
from bench.session import Contender, Session, Size, with_cpu
from bench.units import CPU_MS, OBJECTS_PER_S, Unit

OURS, PEER = Contender("ours", Kind.OURS), Contender("a peer", Kind.PEER)


def session(folder: Path, *, size: Size = Size.QUICK, rounds: int = 2) -> Session:
    """Return one that is about nothing."""
    return Session(subject="s", folder=folder, size=size, rounds=rounds)


def test_everybody_takes_turns_and_the_first_time_does_not_count(tmp_path: Path) -> None:
    """A B A B: what slows the machine down slows everybody."""
    turns: list[str] = []

    def task(contender: Contender) -> Mapping[Unit, float]:
        turns.append(contender.name)
        return {OBJECTS_PER_S: len(turns)}

    measured = session(tmp_path)
    measured.measure("work", [OURS, PEER], task)
    assert turns == ["ours", "a peer"] * 3
    assert [(row.who, row.values) for row in measured.rows] == [
        ("ours", (3, 5)),
        ("a peer", (4, 6)),
    ]


def test_who_fails_is_named_and_left_out(tmp_path: Path) -> None:
    """The others go on, and no value of half a run is shown."""

    def task(contender: Contender) -> Mapping[Unit, float]:
        if contender is PEER:
            raise RuntimeError("it has ended")
        return {OBJECTS_PER_S: 1}

    measured = session(tmp_path)
    measured.measure("work", [OURS, PEER], task)
    assert [row.who for row in measured.rows] == ["ours"]
    assert measured.notes == ["missing: a peer at work: it has ended"]
    assert not measured.has_failed
    measured.fails("ours", Kind.OURS, RuntimeError("it has ended"))
    assert measured.has_failed


def test_peers_are_chosen_by_a_part_of_their_name(tmp_path: Path) -> None:
    """What is ours and the limit are always there."""
    one = Session(subject="s", folder=tmp_path, size=Size.TINY, rounds=1, against=["ORTHANC"])
    assert one.wants("Orthanc, tuned")
    assert not one.wants("DCMTK storescp")
    assert one.wants("dicom_ai_node", Kind.OURS)
    assert one.wants("C program", Kind.LIMIT)


def test_costs_are_those_of_the_whole_family() -> None:
    """A child that works and ends is paid for by who started it; memory is that of the largest."""
    burn = "sum(range(10**7))"
    program = (
        "import subprocess, sys; held = bytearray(b'x' * 30_000_000);"
        f"input(); subprocess.run([sys.executable, '-c', {burn!r}]); print(1, flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def work() -> tuple[int, Mapping[Unit, float]]:
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        return 2, {}

    try:
        assert process.pid in family(os.getpid())
        with Peak(process.pid) as peak:
            spent = with_cpu(Contender("it", Kind.PEER, pid=process.pid), work)
        assert 20 < 2 * spent[CPU_MS] <= 1000 * cpu_seconds(process.pid)
        assert 30 < peak.mb < 200
    finally:
        stop(process)
        process.stdin.close()
        process.stdout.close()


def test_the_machine_is_described(tmp_path: Path) -> None:
    """With what it stores on, and how long that takes to sync."""
    said = machine.described(tmp_path)
    assert "on" in said["store"]
    assert float(said["fsync of 4 KB"].split()[1]) > 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("load", "warns"), [(0.49, False), (0.51, True)])
def test_a_busy_machine_is_shouted_about(
    monkeypatch: pytest.MonkeyPatch, load: float, warns: bool
) -> None:
    """But nothing is refused."""
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert (machine.warning() is not None) is warns
