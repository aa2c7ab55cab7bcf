"""On what was measured: the processor, the memory, the disk and how long it takes to sync."""

import os
import platform
import statistics
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BUSY = 0.5
"""A load average above it belongs to somebody else, whose work is then measured with ours."""

_SYNCS = 40


def described(folder: Path) -> Mapping[str, str]:
    """Return in words what a run in `folder` was measured on."""
    synced, with_folder = sync_ms(folder)
    return {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, on this machine and no other",
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}",
        "memory": _first("/proc/meminfo", "MemTotal"),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "store": _disk(folder),
        "fsync of 4 KB": f"median {synced:.2f} ms; with its folder {with_folder:.2f} ms",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "versions": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
    }


_PACKAGES = ("dicom-ai-node", "pydicom", "pynetdicom", "monai", "torch", "imagecodecs")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def warning() -> str | None:
    """Return what to shout if somebody else works on this machine."""
    load = os.getloadavg()[0]
    if load <= BUSY:
        return None
    return (
        f"WARNING: the load average is {load:.2f}, above {BUSY}. Others work on this machine:\n"
        "WARNING: no number below is worth anything. Wait until it is quiet and run it again."
    )


def sync_ms(folder: Path) -> tuple[float, float]:
    """Return how long an fsync of a new file of 4 KB takes, and one of it and its folder."""
    alone, both = [], []
    above = os.open(folder, os.O_RDONLY)
    for place in range(_SYNCS):
        path = folder / f"sync{place}"
        file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(file, bytes(4096))
        began = time.perf_counter()
        os.fsync(file)
        alone.append(time.perf_counter() - began)
        os.fsync(above)
        both.append(time.perf_counter() - began)
        os.close(file)
        path.unlink()
    os.close(above)
    return 1000 * statistics.median(alone), 1000 * statistics.median(both)


def _first(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _disk(folder: Path) -> str:
    """Return the file system that a folder is on, its device and its options."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[2] == wanted:
            kind, source, options = right.split()[:3]
            return f"{kind} on {source} ({left.split()[5]},{options}){_rotates(source)}"
    return f"device {wanted}"


def _rotates(source: str) -> str:
    queue = Path("/sys/class/block") / Path(source).name / "queue"
    if not queue.exists():
        queue = queue.parent.resolve().parent / "queue"  # a partition: its disk has the queue
    try:
        said = (queue / "rotational").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    cache = _first_line(queue / "write_cache")
    return f", {'rotating' if said == '1' else 'not rotating'}, cache: {cache}"


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
