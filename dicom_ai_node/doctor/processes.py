"""Processes of this machine as /proc shows them: ours, and who holds a port."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_LISTENS = "0A"  # TCP_LISTEN, include/net/tcp_states.h


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its number, its name, and whether it is a node, of whatever configuration."""

    pid: int
    name: str
    is_node: bool

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def process(pid: int) -> Process:
    """Return what is known of a process; raise `OSError` if it is gone."""
    words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    is_node = b"serve" in words and any(
        word.endswith((b"dicom-ai-node", b"dicom_ai_node")) for word in words
    )
    return Process(pid, (PROC / str(pid) / "comm").read_text().strip(), is_node)


def nodes(store: Path) -> list[Process]:
    """Return the processes of the node whose store is at `store`, who watches the roles first.

    One of them has something of it open, the ledger above all; all are of one process group.
    """
    found = []
    for pid in _pids():
        with suppress(OSError):
            found.append((os.getpgid(pid), process(pid)))
    there = [(group, one) for group, one in found if one.is_node]
    groups = {group for group, one in there if _has_open(one, store)}
    return [one for group, one in there if group in groups]


def _has_open(one: Process, store: Path) -> bool:
    # Of another account's process only root sees what it has open; then it is taken for one.
    try:
        inside = f"{store.resolve()}{os.sep}"
        return any(path.startswith(inside) for path in _open_files(one.pid))
    except PermissionError:
        return True
    except OSError:
        return False


def account_of_node(store: Path) -> int | None:
    """Return the account as which the node of a store runs, `None` if it does not."""
    for node in nodes(store):
        if said := said_of(node.pid, "Uid"):
            return int(said.split()[1])  # the effective one, proc_pid_status(5)
    return None


def holders(port: int) -> list[Process]:
    """Return who listens on a TCP port, as far as this account may know."""
    wanted = {f"socket:[{inode}]" for inode in _listening(port)}
    found = []
    for pid in _pids() if wanted else ():
        with suppress(OSError):
            if _open_files(pid) & wanted:
                found.append(process(pid))
    return found


def is_held(port: int) -> bool:
    """Return whether anybody listens on a TCP port."""
    return bool(_listening(port))


def said_of(pid: int, key: str) -> str:
    """Return a value of /proc/PID/status, empty if there is none."""
    with suppress(OSError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return line.partition(":")[2].strip()
    return ""


def _pids() -> list[int]:
    return sorted(int(name) for name in os.listdir(PROC) if name.isdigit())  # noqa: PTH208 - names do


def _open_files(pid: int) -> set[str]:
    found = set()
    for path in (PROC / str(pid) / "fd").iterdir():
        with suppress(OSError):
            found.add(str(path.readlink()))
    return found


def _listening(port: int) -> set[str]:
    return {inode for inode, at in _sockets() if at == port}


def _sockets() -> Iterator[tuple[str, int]]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENS:
                    yield words[9], int(words[1].rpartition(":")[2], 16)
