"""The unit of systemd that we ship: its files, and the system calls that its filter refuses."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.peers.tools import find

FOLDER = Path(__file__).parents[1] / "deploy" / "systemd"
UNIT = FOLDER / "dicom-ai-node.service"
DROP_INS = sorted(set(FOLDER.glob("*.conf")) - {FOLDER / "sysusers.conf", FOLDER / "tmpfiles.conf"})
ROOT_ONLY = {"fchown"}
"""What SQLite calls for root alone, and the node is not root: tests may be."""


def said(key: str, unit: Path = UNIT) -> list[str]:
    """Return every value of a key."""
    lines = unit.read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def refused_calls() -> set[str]:
    """Return the system calls that the unit answers with EPERM."""
    sets = _sets()
    allowed = _all("@default", sets)
    for line in said("SystemCallFilter"):
        calls = {call for name in line.removeprefix("~").split() for call in _all(name, sets)}
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    refused = _all("@known", sets) - allowed
    return refused - ROOT_ONLY if os.geteuid() == 0 else refused


def _sets() -> Mapping[str, set[str]]:
    told = subprocess.run(
        [find("systemd-analyze"), "syscall-filter"], capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, set[str]] = {}
    for line in told.splitlines():
        if line.startswith("@"):
            here = found.setdefault(line.split()[0], set())
        elif (word := line.strip()) and not word.startswith("#"):
            here.add(word)
    return found


def _all(name: str, sets: Mapping[str, set[str]]) -> set[str]:
    if not name.startswith("@"):
        return {name}
    return {call for inner in sets[name] for call in _all(inner, sets)}
