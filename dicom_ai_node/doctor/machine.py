"""The machine: its Python and packages, its limits, its memory, its clock, its service manager."""

import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from zoneinfo import ZoneInfo

from packaging.requirements import Requirement
from packaging.version import Version

from dicom_ai_node.doctor import processes
from dicom_ai_node.doctor.finding import Finding, fault, ok, warning

OLDEST_PYTHON = (3, 11)
LEAST_MEMORY_BYTES = 8_000_000_000
YEARS = range(2025, 2100)
"""A clock outside of these has no battery, or was set by hand."""
LARGEST_STEP_SECONDS = 0.1
_LOOK_SECONDS = 0.2
_UNIT = "dicom-ai-node.service"
_AGAIN = "install the node again: pip install -c constraints.txt dicom-ai-node"


def python() -> Iterator[Finding]:
    """Look whether this Python is new enough."""
    said = platform.python_version()
    if sys.version_info[:2] < OLDEST_PYTHON:
        yield fault(
            "python", f"{said} is too old", "make the virtual environment with 3.11 or later"
        )
    else:
        yield ok("python", said)


def packages(package: str, constraints: Sequence[Path]) -> Iterator[Finding]:
    """Compare what is installed with what the package requires, and with the tested versions."""
    needed = [Requirement(said) for said in requires(package) or ()]
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [why for one in needed if (why := _unmet(one))]
    yield from (fault("packages", why, _AGAIN) for why in wrong)
    if not wrong:
        yield ok("packages", f"{len(needed)} requirements of {package} {version(package)} are met")
    for path in constraints:
        if path.is_file():
            yield from _tested(path)
            return


def _unmet(needed: Requirement) -> str:
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return f"{needed.name} is not installed"
    return "" if found in needed.specifier else f"{needed} is needed, and {found} is installed"


def _tested(path: Path) -> Iterator[Finding]:
    others = []
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, tested = line.partition("==")
        try:
            # A build for another device has a name after its number: 2.13.0+cu126.
            if tested and Version(version(name)).public != Version(tested).public:
                others.append(f"{name} {version(name)}, tested {tested}")
        except PackageNotFoundError:
            continue  # of an extra that is not installed
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""  # noqa: PLR2004
        yield warning("constraints", f"{'; '.join(others[:3])}{more}", _AGAIN)
    else:
        yield ok("constraints", "all packages have the versions that were tested")


def open_files(needed: int) -> Iterator[Finding]:
    """Look whether a process may open as many files and sockets as the node needs."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and limit < needed:
        yield fault(
            "open files",
            f"a process may open {limit} files, and a receiver needs up to {needed}",
            "put LimitNOFILE=65536 into the unit, or `ulimit -n 65536` before the start",
        )
    else:
        yield ok("open files", f"up to {limit}")


def memory(wanted_bytes: int) -> Iterator[Finding]:
    """Look whether there is memory for what may be worked on at once."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = max(LEAST_MEMORY_BYTES, wanted_bytes)
    said = f"{total / 1e9:.1f} GB"
    if total < needed:
        yield warning(
            "memory",
            f"{said}, and the workers may want {needed / 1e9:.1f} GB at once",
            "add memory, or lower infer.max_pixels_gb or the number of infer.devices",
        )
    else:
        yield ok("memory", said)


def clock(now: Callable[[], datetime], synchronized: Callable[[], str]) -> Iterator[Finding]:
    """Look whether the clock can be right, and whether it runs evenly."""
    began, at = time.monotonic(), now()
    if at.year not in YEARS:
        yield fault("clock", f"it is the year {at.year}", "set the clock: timedatectl set-ntp true")
        return
    time.sleep(_LOOK_SECONDS)
    step = (now() - at).total_seconds() - (time.monotonic() - began)
    if abs(step) > LARGEST_STEP_SECONDS:
        yield warning(
            "clock",
            f"it jumped by {step:.1f} s while it was looked at",
            "let one program set the clock, and slowly: chrony or systemd-timesyncd",
        )
    elif synchronized() == "no":
        yield warning(
            "clock", f"{at:%Y-%m-%d %H:%M} UTC, set by nobody", "timedatectl set-ntp true"
        )
    else:
        yield ok("clock", f"{at:%Y-%m-%d %H:%M} UTC")


def synchronized() -> str:
    """Return what systemd says of the clock: yes, no, or nothing."""
    return _shown(("timedatectl", "show", "--property=NTPSynchronized", "--value"))


def time_zone() -> Iterator[Finding]:
    """Look whether the machine knows its time zone; the node itself keeps UTC."""
    named = os.environ.get("TZ", "")
    try:
        if named:
            ZoneInfo(named.removeprefix(":"))
    except (KeyError, ValueError, OSError):
        yield warning(
            "time zone", f"TZ is {named}, which is none", "timedatectl set-timezone Area/City"
        )
        return
    yield ok("time zone", f"{time.tzname[0]}; the node keeps UTC, results say both")


def service(show: Callable[[], Mapping[str, str]]) -> Iterator[Finding]:
    """Look whether systemd starts the node, with the unit that lies on the disk."""
    said = show()
    if not said:
        yield ok("systemd", "does not run here: something else has to start the node again")
    elif said.get("LoadState") != "loaded":
        yield warning(
            "systemd",
            f"knows no {_UNIT}, so nobody starts the node after a power cut",
            f"copy deploy/systemd/{_UNIT} to /etc/systemd/system, then systemctl enable --now",
        )
    elif said.get("ActiveState") == "failed":
        yield fault("systemd", f"{_UNIT} has failed", f"see why: journalctl -u {_UNIT}")
    elif said.get("NeedDaemonReload") == "yes":
        yield warning(
            "systemd",
            f"{_UNIT} was changed and is not in force",
            "systemctl daemon-reload, then restart the node",
        )
    elif not said.get("UnitFileState", "").startswith("enabled"):
        yield warning("systemd", f"{_UNIT} does not start by itself", f"systemctl enable {_UNIT}")
    else:
        yield ok("systemd", f"{_UNIT} is {said.get('ActiveState')}")


def unit() -> Mapping[str, str]:
    """Return what systemd says of the unit of the node; nothing where there is no systemd."""
    if not Path("/run/systemd/system").is_dir():
        return {}
    keys = "LoadState,ActiveState,UnitFileState,NeedDaemonReload"
    lines = _shown(("systemctl", "show", _UNIT, f"--property={keys}")).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def running(store: Path) -> Iterator[Finding]:
    """Say whether the node of a store runs, and with which mask it makes files."""
    found = processes.nodes(store)
    if not found:
        yield ok("node", "does not run")
        return
    mask = processes.said_of(found[0].pid, "Umask")
    if mask and int(mask, 8) & 0o077 != 0o077:  # noqa: PLR2004 - nothing for others
        yield warning(
            "node",
            f"runs as pid {found[0].pid}, and others may read what it makes (umask {mask})",
            "put UMask=0077 into the unit, or `umask 077` before the start",
        )
    else:
        yield ok("node", f"runs as pid {found[0].pid}, {len(found)} processes")


def _shown(command: Sequence[str]) -> str:
    program = shutil.which(command[0])
    if program is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - found on the PATH of the operator, no shell
            [program, *command[1:]], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
