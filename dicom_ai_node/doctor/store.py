"""The store: whose it is, whether the disk keeps its promises, and how much room there is."""

import os
import pwd
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from dicom_ai_node.doctor.finding import Finding, fault, ok, warning
from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.overview import Promised

SLOW_SECONDS = 0.25
"""A disk that takes longer for one fsync holds up every association."""
FEWEST_FREE_FILES = 100_000
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "ceph"})
"""File systems of other machines; SQLite's locks are not safe on them, sqlite.org/wal.html."""
_FOR_OTHERS = 0o077
_FOLDERS = ("spool", "blobs", "work")


def folder(path: Path, node_uid: int | None) -> Iterator[Finding]:
    """Look at the folder of the store: there, ours, and nobody else's to read.

    `node_uid` is the account as which the node runs, as far as that is known.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        yield warning("store", f"{path} is not there yet", "it is made by the first start")
        return
    mode, owner = stat.S_IMODE(found.st_mode), _account(found.st_uid)
    if not stat.S_ISDIR(found.st_mode):
        yield fault("store", f"{path} is no folder", "name another one as store.folder")
    elif node_uid is not None and found.st_uid != node_uid:
        yield fault(
            "store",
            f"{path} belongs to {owner}, and the node runs as {_account(node_uid)}",
            f"chown -R {_account(node_uid)} {path}",
        )
    elif mode & _FOR_OTHERS:
        yield fault("store", f"{path} has mode {mode:04o}: others may enter", f"chmod 700 {path}")
    else:
        yield ok("store", f"{path}, {owner}, mode {mode:04o}")


def own_files(path: Path) -> Iterator[Finding]:
    """Look whether anybody else may read the ledger or the keys."""
    for one in sorted(path.glob("*")):
        if one.is_file() and (mode := stat.S_IMODE(one.stat().st_mode)) & _FOR_OTHERS:
            yield warning(
                "store", f"{one} has mode {mode:04o}: others may read it", f"chmod 600 {one}"
            )


def restoration(path: Path, marker: str) -> Iterator[Finding]:
    """Look whether a backup was restored here, and not to its end."""
    if (path / marker).exists():
        yield fault("restore", "a backup was restored here and not to its end", "run restore again")


def room(path: Path, keep_free_bytes: int) -> Iterator[Finding]:
    """Look how much room there is, and for how many files."""
    found = os.statvfs(_nearest(path))
    free = found.f_bavail * found.f_frsize
    said = f"{free / 1e9:.1f} GB are free, {keep_free_bytes / 1e9:g} GB have to stay free"
    if free < keep_free_bytes:
        yield fault("room", f"{said}: nothing is taken", "make room, or lower store.keep_days")
    elif free < 2 * keep_free_bytes:
        yield warning(
            "room", f"{said}: the oldest studies go early", "make room, or lower store.keep_days"
        )
    elif found.f_files and found.f_favail < FEWEST_FREE_FILES:
        yield warning(
            "room",
            f"the file system has room for {found.f_favail} more files",
            "make it anew with more inodes, or lower store.keep_days",
        )
    else:
        yield ok("room", said)


def promises(path: Path, keep_free_bytes: int, look: Callable[[], Promised]) -> Iterator[Finding]:
    """Say why retention makes no room where it is short, if that is why.

    `look` returns what others were promised that it stays.
    """
    found = os.statvfs(_nearest(path))
    if found.f_bavail * found.f_frsize >= 2 * keep_free_bytes:
        return
    with suppress(NodeError):  # the check of the ledger says what is wrong with it
        promised = look()
        if promised.first_until is not None:
            yield warning(
                "room",
                f"{promised.studies} studies stay although room is short, because others were"
                " promised that they are kept (storage commitment); the first may go at"
                f" {promised.first_until:%Y-%m-%d %H:%M} UTC",
                "make room for them; only a person may delete them earlier",
            )


def one_file_system(path: Path) -> Iterator[Finding]:
    """Look whether a file can be moved to its place in one step, and on what kind of disk."""
    there = [path / name for name in _FOLDERS if (path / name).exists()]
    if len({one.stat().st_dev for one in there}) > 1:
        yield fault(
            "file system",
            "spool, blobs and work lie on several file systems",
            f"keep all of {path} on one: the node renames files from one into the other",
        )
    elif (kind := file_system_of(path)) in NETWORK:
        yield warning(
            "file system",
            f"{path} lies on {kind}, another machine's disk",
            "keep at least the ledger on a local disk (store.database), or use PostgreSQL",
        )
    else:
        yield ok("file system", kind or "one")


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the kind of file system below a path, empty if it is not known."""
    wanted, best, kind = _nearest(path).resolve(), "", ""
    with suppress(OSError):
        for line in mounts.read_text(encoding="utf-8").splitlines():
            _, point, of_kind, *_ = line.split()
            if wanted.is_relative_to(point) and len(point) >= len(best):
                best, kind = point, of_kind
    return kind


def durable(path: Path) -> Iterator[Finding]:
    """Write a small file, sync it, link it, rename it, and remove all of it again."""
    if not path.is_dir():
        return
    probe, other = (path / f".doctor-{secrets.token_hex(8)}" for _ in range(2))
    step = "write a file"
    try:
        number = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(number, b"probe")
            step, began = "sync a file", time.monotonic()
            os.fsync(number)
            took = time.monotonic() - began
        finally:
            os.close(number)
        step = "rename a file"
        probe.rename(other)
        linked = _links(other, probe)
    except OSError as error:
        yield fault(
            "disk",
            f"cannot {step} in {path}: {error.strerror}",
            "let the node's account write there, make room, look at the disk (dmesg, smartctl)",
        )
        return
    finally:
        probe.unlink(missing_ok=True)
        other.unlink(missing_ok=True)
    if took > SLOW_SECONDS:
        yield warning(
            "disk", f"one fsync takes {took:.2f} s", "use a disk that syncs faster, with a battery"
        )
    elif not linked:
        yield warning("disk", "knows no hard links", "backups copy every object; nothing else")
    else:
        yield ok("disk", f"fsync takes {took * 1000:.1f} ms; rename and hard links work")


def _links(path: Path, to: Path) -> bool:
    try:
        os.link(path, to)
    except OSError:
        return False
    return True


def _nearest(path: Path) -> Path:
    """Return the path, or the first folder above it that is there."""
    return path if path.exists() else next(one for one in path.absolute().parents if one.exists())


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
