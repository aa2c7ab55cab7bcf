"""Work in children of a program that is warm: each begins alike, and none takes the others along."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.forking import ROOT, Server, ordering

PROGRAM = """
import os, signal, sys
from bench import forking

held = []

def work(said):
    held.append(said["what"])
    print("what libraries print")
    if said["what"] == "fail":
        raise ValueError("no")
    if said["what"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"held": len(held)}

if sys.argv[1] == "forks":
    forking.serve(work)
forking.serve_here(work)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a program that holds what it was told."""
    (tmp_path / "told_and_held.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}:{':'.join(sys.path)}")
    return "told_and_held"


@pytest.fixture
def server(module: str, tmp_path: Path) -> Iterator[Server]:
    """Return it, doing each order in a child."""
    with ordering(module, "forks", log=tmp_path / "log") as running:
        yield running


def test_a_child_begins_as_its_parent_did(server: Server) -> None:
    """Nothing is left over from the order before, and what is printed is no answer."""
    assert [server.order(what="something")["held"] for _ in range(3)] == [1, 1, 1]


def test_an_order_that_fails_is_told_and_the_next_is_done(server: Server) -> None:
    """By an error, or by the death of the child."""
    with pytest.raises(RuntimeError, match="ValueError: no"):
        server.order(what="fail")
    with pytest.raises(RuntimeError, match="signal 9"):
        server.order(what="die")
    assert server.order(what="something") == {"held": 1}


def test_a_program_that_cannot_fork_keeps_what_it_has(module: str, tmp_path: Path) -> None:
    """A library with threads works in the program itself."""
    with ordering(module, "here", log=tmp_path / "log") as running:
        with pytest.raises(RuntimeError, match="ValueError: no"):
            running.order(what="fail")
        assert running.order(what="something") == {"held": 2}


def test_a_program_that_has_ended_is_told(tmp_path: Path) -> None:
    """With what it said last."""
    with (
        ordering("bench.no_such_program", log=tmp_path / "log") as running,
        pytest.raises(RuntimeError, match="no_such_program"),
    ):
        running.order(what="something")
