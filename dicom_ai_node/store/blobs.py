"""Bytes by their sha256 in a folder, durable when `keep` returns."""

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from dicom_ai_node.domain.errors import NeedsAttention, OutOfResources
from dicom_ai_node.domain.uids import Sha256

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHARDS = tuple(f"{number:02x}" for number in range(256))
SYNCERS = 16
"""Threads that wait for the disk where many files are kept at once."""
STALE_SECONDS = 3600.0
"""A spooled file that nobody has written to for this long belonged to a process that died."""


class FolderBlobs:
    """Blobs under `root/blobs/ab/abcd...`; files on their way in under `root/spool`.

    Several processes may share a root. `at` is called at each point at which a power cut would
    leave something else behind (`spooled`, `synced`, `renamed`, `folder_synced`); tests die there.

    Raises
    ------
    OutOfResources
        If the folders cannot be made.
    """

    def __init__(self, root: Path, at: Callable[[str], None] = lambda _: None) -> None:
        self._spool = root / "spool"
        self._blobs = root / "blobs"
        self._turnstile = root / "lock"
        self._at = at
        self._syncers = ThreadPoolExecutor(SYNCERS, "sync")
        with _no_room("prepare the store"):
            for folder in (root, self._spool, self._blobs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._turnstile, os.O_CREAT | os.O_RDWR, 0o600))
            # All at once, so that `keep` never relies on a folder that is not on the disk yet.
            for shard in _SHARDS:
                (self._blobs / shard).mkdir(mode=0o700, exist_ok=True)
            _sync(self._blobs)
            _sync(root)

    def spool(self) -> Path:
        """Return the path of a new, empty file on the same file system, to be written to.

        Raises
        ------
        OutOfResources
            If the file cannot be made.
        """
        path = self._spool / secrets.token_hex(16)
        with _no_room("open a file"):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return path

    def keep(self, spooled: Path, digest: Sha256 | None = None) -> Sha256:
        """Make a spooled file durable under its digest; see `keep_all`.

        Parameters
        ----------
        digest
            The sha256 of the file, if who wrote it has hashed it on the way.
        """
        if digest is None:
            with _no_room("read a file"), spooled.open("rb", buffering=0) as file:
                digest = Sha256(hashlib.file_digest(file, "sha256").hexdigest())
        self.keep_all({spooled: digest})
        return digest

    def keep_all(self, spooled: Mapping[Path, Sha256]) -> None:
        """Make spooled files durable under their digests: fsync, rename, fsync of the folders.

        The same bytes twice are one blob: the second file takes the place of the first, so that
        what is acknowledged is what has just been synced. The spooled files are gone afterwards.

        Raises
        ------
        OutOfResources
            If the disk is full or an fsync fails, for all of them. The spooled files are removed.
            An fsync is never tried again: after a failure the kernel may have dropped the pages
            and say yes.
        """
        try:
            with _no_room("keep a file"):
                self._keep_all(spooled)
        except OutOfResources:
            for path in spooled:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            raise

    def _keep_all(self, spooled: Mapping[Path, Sha256]) -> None:
        self._at("spooled")
        for path in spooled:
            # `discard_aged` must see how lately these bytes were wanted, not when they were made.
            os.utime(path)
        self._sync_each(spooled)
        self._at("synced")
        targets = {path: self.path(digest) for path, digest in spooled.items()}
        with self._passing(fcntl.LOCK_SH):
            for path, target in targets.items():
                os.replace(path, target)  # noqa: PTH105 - a thousand times a second
        self._at("renamed")
        self._sync_each({target.parent for target in targets.values()})
        self._at("folder_synced")

    def _sync_each(self, paths: Collection[Path]) -> None:
        """Sync files, or folders, all at once: a disk writes many in the time of one."""
        if len(paths) == 1:
            _sync(*paths)
        else:
            # Each is waited for, so that none is still at work on what a failure removes.
            wait(done := [self._syncers.submit(_sync, path) for path in paths])
            for each in done:
                each.result()

    def path(self, digest: Sha256) -> Path:
        """Return where the blob lies, whether or not it is there.

        Raises
        ------
        ValueError
            If `digest` is no digest: nothing from outside may become a path.
        """
        return blob_path(self._blobs.parent, digest)

    def verify(self, digest: Sha256) -> None:
        """Read a blob and compare it with its name.

        Raises
        ------
        NeedsAttention
            If the blob is missing, unreadable or damaged.
        """
        verify(self.path(digest))

    def discard(self, digest: Sha256) -> None:
        """Remove a blob; absent is fine."""
        self.path(digest).unlink(missing_ok=True)

    def discard_aged(self, digest: Sha256, before: datetime) -> bool:
        """Remove a blob that nobody has kept since `before`; return whether it has gone.

        The same bytes may be arriving at this moment: kept, but not in the ledger yet. Retention,
        which has just found no reader for them, must not take them away from under the receiver.
        """
        path = self.path(digest)
        with self._passing(fcntl.LOCK_EX):
            try:
                if path.stat().st_mtime >= before.timestamp():
                    return False
                path.unlink()
            except FileNotFoundError:
                return True
        return True

    def aged(self, before: datetime) -> Iterator[Sha256]:
        """Go through the digests of all blobs that nobody has kept since `before`."""
        for shard in _SHARDS:
            with os.scandir(self._blobs / shard) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        if entry.stat().st_mtime < before.timestamp():
                            yield Sha256(entry.name)

    def sweep(self, stale_seconds: float = STALE_SECONDS) -> int:
        """Remove spooled files that nobody writes to any more and return how many there were."""
        limit = time.time() - stale_seconds
        swept = 0
        with os.scandir(self._spool) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.stat().st_mtime <= limit:
                        Path(entry.path).unlink()
                        swept += 1
        return swept

    def free_bytes(self) -> int:
        """Return how much room the file system has left.

        Raises
        ------
        OutOfResources
            If the file system does not answer.
        """
        with _no_room("ask for room"):
            found = os.statvfs(self._blobs)
        return found.f_bavail * found.f_frsize

    @contextmanager
    def _passing(self, how: int) -> Iterator[None]:
        """Keep a rename and a removal of the same blob apart, in all processes."""
        number = os.open(self._turnstile, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(number, how)
            yield
        finally:
            os.close(number)


def blob_path(root: Path, digest: Sha256) -> Path:
    """Return where a blob lies below the folder of a store; make nothing.

    Raises
    ------
    ValueError
        If `digest` is no digest: nothing from outside may become a path.
    """
    if _DIGEST.fullmatch(digest) is None:
        raise ValueError("a blob is named by 64 hexadecimal digits")
    return root / "blobs" / digest[:2] / digest


def verify(blob: Path) -> None:
    """Read a blob and compare it with its name.

    Raises
    ------
    NeedsAttention
        If the blob is missing, unreadable or damaged.
    """
    digest = blob.name
    try:
        with blob.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NeedsAttention(f"blob {digest[:12]} unreadable: {error.strerror}") from error
    if found != digest:
        raise NeedsAttention(f"blob {digest[:12]} is damaged: its bytes have another digest")


@contextmanager
def _no_room(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutOfResources(f"cannot {what}: {error.strerror}") from error


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
