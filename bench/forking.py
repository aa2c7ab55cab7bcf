"""Work in a process that has everything imported, each time in a child of its own.

A program with heavy libraries starts once; `serve` reads one order a line as JSON, lets a child do
it, and prints its answer. The child begins with the memory of its parent and ends with the order:
what it needs beyond, and its peak, are its own.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 100.0
"""For one order."""
ROOT = Path(__file__).parents[1]


def serve(work: Callable[[Mapping[str, Any]], Mapping[str, object]]) -> None:
    """Do `work` for each line of the standard input, until it ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                _answer(answers, _done(work, line))
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            _answer(answers, _failed(f"it was ended by signal {os.WTERMSIG(status)}"))


def serve_here(work: Callable[[Mapping[str, Any]], Mapping[str, object]]) -> None:
    """Do `work` for each line in this process: threads of a library survive no fork."""
    answers = os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        _answer(answers, _done(work, line))


def _done(work: Callable[[Mapping[str, Any]], Mapping[str, object]], line: str) -> str:
    try:
        return json.dumps(work(json.loads(line)))
    except Exception as trouble:  # noqa: BLE001 - told to whoever has ordered it
        return _failed(f"{type(trouble).__name__}: {trouble}")


def _failed(why: str) -> str:
    return json.dumps({"error": why})


def _answer(answers: int, told: str) -> None:
    os.write(answers, told.encode() + b"\n")


class Server:
    """A program that serves, as `ordering` starts it."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log

    def order(self, **said: object) -> Mapping[str, Any]:
        """Let something be done and return what the child answers.

        Raises
        ------
        RuntimeError
            If the child failed, with what it said, or the program has ended.
        """
        assert self._process.stdin is not None  # noqa: S101 - it has pipes
        assert self._process.stdout is not None  # noqa: S101 - it has pipes
        try:
            self._process.stdin.write(json.dumps(said) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as gone:
            raise RuntimeError(self._log.read_text(errors="replace")[-300:]) from gone
        if not select.select([self._process.stdout], [], [], PATIENCE_SECONDS)[0]:
            self._process.kill()  # or its answer would be taken for that to the next order
            raise RuntimeError(f"there was no answer for {PATIENCE_SECONDS:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(self._log.read_text(errors="replace")[-300:])
        answer: Mapping[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


@contextmanager
def ordering(module: str, *arguments: str, log: Path) -> Iterator[Server]:
    """Run `python -m module` until the end of the block."""
    pipe = subprocess.PIPE
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT, stdin=pipe, stdout=pipe, stderr=errors, text=True,
        )  # fmt: skip
    with process:
        try:
            yield Server(process, log)
        finally:
            assert process.stdin is not None  # noqa: S101 - it has a pipe
            with suppress(BrokenPipeError):  # it has ended already
                process.stdin.close()
            process.wait(PATIENCE_SECONDS)
