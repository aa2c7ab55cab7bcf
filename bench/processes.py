"""What the processes of a contender cost: time on a processor, and memory."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.peers.tools import find, wait_for

_GONE = (FileNotFoundError, ProcessLookupError)
_SAMPLE_SECONDS = 0.02
_IDLE_SAMPLE_SECONDS = 0.2
_START_SECONDS, _STOP_SECONDS = 240, 60


@contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Run a server until the end of the block, from when it is ready; yield its process."""
    program = find(str(command[0]))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    try:
        wait_for(ready, process, log, _START_SECONDS)
        yield process.pid
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process, by force if it does not want to."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_SECONDS)


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(*_GONE):
            number, fields = _stat(stat)
            parents[number] = int(fields[1])
    found = [pid]
    for each in found:  # grows while it is gone through
        found += [child for child, parent in parents.items() if parent == each]
    return found


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and all that descend from it, until now."""
    ticks = 0
    for each in family(pid):
        with suppress(*_GONE):
            _, fields = _stat(Path(f"/proc/{each}/stat"))
            ticks += sum(map(int, fields[11:15]))  # its own, and of children that have ended
    return ticks / os.sysconf("SC_CLK_TCK")


def on_processor_seconds(pid: int) -> float:
    """Return how long the threads of a process, and of all that descend from it, have run.

    As the scheduler counts, to the nanosecond: the clock's ticks, of which `cpu_seconds` is made,
    see a wake-up of a tenth of a millisecond as ten of them, or not at all. Of threads and
    processes that have ended nothing is in it.
    """
    nanoseconds = 0
    for each in family(pid):
        for path in Path(f"/proc/{each}/task").glob("*/schedstat"):
            with suppress(*_GONE):
                nanoseconds += int(path.read_text(encoding="ascii").split()[0])
    return nanoseconds / 1e9


def _stat(path: Path) -> tuple[int, list[str]]:
    number, _, rest = path.read_text(encoding="utf-8", errors="replace").partition(" (")
    return int(number), rest.rpartition(") ")[2].split()


def wait_until_idle(pids: Sequence[int], seconds: float, at_most: float = 0.15) -> bool:
    """Wait until processes use less than a part of one processor; return whether they do.

    What one of them still has to do must not be paid for by the next.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before, began = sum(map(cpu_seconds, pids)), time.monotonic()
        time.sleep(_IDLE_SAMPLE_SECONDS)
        used = sum(map(cpu_seconds, pids)) - before
        if used <= at_most * (time.monotonic() - began):
            return True
    return False


def pss_mb(pid: int) -> float:
    """Return the memory of a process; what several share is shared out among them."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return _megabytes(rollup, "Pss")


def own_mb(what: str) -> float:
    """Return `VmRSS` or `VmHWM` of this process; getrusage(2) speaks of its parent as well."""
    return _megabytes(Path("/proc/self/status").read_text(encoding="ascii"), what)


def _megabytes(said: str, what: str) -> float:
    return int(said.split(f"\n{what}:")[1].split(maxsplit=1)[0]) * 1024 / 1e6


class Peak:
    """The most memory that one process of a family has at once, looked at every few ms.

    `names` are beginnings of names of processes; without any, all processes count.
    """

    def __init__(self, pid: int, names: tuple[str, ...] = ()) -> None:
        self._pids = [each for each in family(pid) if _is_one_of(each, names)]
        self._root = pid if not names else None
        self.before_mb = self._most()
        self.mb = self.before_mb
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        """Look from now on."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self.mb = max(self.mb, self._most())

    def _most(self) -> float:
        found = [0.0]
        for pid in self._pids if self._root is None else family(self._root):
            with suppress(*_GONE, IndexError, PermissionError):
                found.append(pss_mb(pid))
        return max(found)


def _is_one_of(pid: int, names: tuple[str, ...]) -> bool:
    with suppress(*_GONE):
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace")
        return not names or name.startswith(names)
    return False
