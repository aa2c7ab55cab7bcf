"""Files of a process that runs which do not reach the disk any more, for a while."""

import ctypes
import select
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE_SECONDS = 30.0


_PR_SET_PTRACER, _ANYBODY = 0x59616D61, ctypes.c_ulong(-1)
"""prctl(2): who may look at this process where Yama lets only its parents."""


def be_traced() -> None:
    """Let a program look at this process that did not start it."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)  # EINVAL where there is no Yama


class CannotTrace(Exception):
    """Strace is not here, or may not look at the process."""


@contextmanager
def failing_sync(
    pid: int, paths: Sequence[Path], error: str = "EIO"
) -> Iterator[Callable[[], int]]:
    """Let each fsync and fdatasync of some files fail in a process and its threads.

    All others succeed. Yields what counts how many have failed; afterwards none fails any more.

    Raises
    ------
    CannotTrace
        If that is not possible here.
    """
    where = [said for path in paths for said in ("-P", str(path))]
    with tempfile.NamedTemporaryFile() as log:
        try:
            tracer = subprocess.Popen(
                ["strace", "-f", "-o", log.name, "-e", "trace=fsync,fdatasync", *where,
                 "-e", f"inject=fsync,fdatasync:error={error}", "-p", str(pid)],
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        except OSError as missing:
            raise CannotTrace("strace is not installed") from missing
        try:
            _attached(tracer)
            yield lambda: Path(log.name).read_text().count("(INJECTED)")
        finally:
            with suppress(ProcessLookupError):
                tracer.send_signal(signal.SIGTERM)  # it lets go of the process
            tracer.communicate(timeout=PATIENCE_SECONDS)


def _attached(tracer: "subprocess.Popen[str]") -> None:
    assert tracer.stderr is not None
    said = ""
    while " attached" not in said:
        ready, _, _ = select.select([tracer.stderr], [], [], PATIENCE_SECONDS)
        line = tracer.stderr.readline() if ready else ""
        if not line:
            raise CannotTrace(f"strace cannot look at another process here: {said.strip()}")
        said += line
