"""Programs of others: found, or the test is skipped; where they must be there, it fails."""

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import NoReturn

import pytest


def find(program: str) -> str:
    """Return the path of a program; skip the test without it, or fail where `CI` is `true`."""
    # pynetdicom brings programs of its own under the names of DCMTK's: not those.
    ours = str(Path(sys.executable).parent)
    folders = [each for each in os.get_exec_path() if each != ours]
    path = shutil.which(program, path=os.pathsep.join([*folders, "/usr/sbin", "/usr/local/sbin"]))
    return path or _missing(program)


def find_file(name: str, *folders: str) -> Path:
    """Return the first `folder/name` that there is, or do as `find` does."""
    for folder in folders:
        if (path := Path(folder) / name).exists():
            return path
    return _missing(name)


def _missing(name: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed; see tests/peers/install.sh")
    pytest.skip(f"{name} is not installed")


def free_port() -> int:
    """Return a port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(
    ready: Callable[[], bool], process: Popen[bytes], log: Path, seconds: float = 30
) -> None:
    """Wait until a peer is ready; fail with the end of its log if it is not in time."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait(10)
            raise AssertionError(log.read_text(errors="replace")[-2000:])
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Return whether somebody accepts connections on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
