"""Where a backup lies: a folder, or one file of tar(5). In both a part is named by its sha256.

So the second backup into the same folder adds what is not there yet, and what the first one has
is whole until the manifest of the second takes the place of its own.
"""

import fcntl
import hashlib
import io
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from dicom_ai_node.domain.errors import NeedsAttention, OutOfResources
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store.backup_manifest import LEDGER, MANIFEST, PARTS, Manifest, Part, written

TAR, DRAFTS = ".tar", ".backup-"
"""How a backup in one file ends, and how the folder begins in which a ledger is copied first."""
_CHUNK_BYTES = 1 << 20
_ENDS_WITH_BYTES = 2 * tarfile.BLOCKSIZE
"""How many zeros end a file of tar(5)."""
_PART = re.compile(r"\.?[0-9a-f]{64}")
"""The name of a part, or of one that was being written."""


class Chest(Protocol):
    """A backup that is being made."""

    def keep(self, blob: Path) -> int:
        """Take a blob in, if it is not there yet; return how many bytes it has.

        Raises
        ------
        FileNotFoundError
            If it is not there any more.
        NeedsAttention
            If its bytes have another digest than its name.
        """
        ...

    def keep_file(self, path: Path) -> Part:
        """Take a file in that may change later."""
        ...

    def close(self, manifest: Manifest) -> None:
        """Write the manifest; from then on it is a backup."""
        ...


def chest_at(path: Path) -> Chest:
    """Return a chest at `path`: one file if its name ends in .tar, else a folder.

    Raises
    ------
    NeedsAttention
        If something else is there.
    OutOfResources
        If it cannot be made.
    """
    with no_room("make the backup"):
        return TarChest(path) if path.suffix == TAR else FolderChest(path)


class FolderChest:
    """A backup in a folder: `manifest.json`, and `parts/ab/abcd...`."""

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not _is_ours(folder):
            raise NeedsAttention(f"{folder} is not empty and no backup: name another folder")
        self._folder = folder
        self._shards: set[Path] = set()
        (folder / PARTS).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        _lock(self._lock, folder)
        for left in folder.glob(f"{DRAFTS}*/{LEDGER}"):  # by a backup that was killed
            with suppress(OSError):
                left.unlink()
                left.parent.rmdir()

    def keep(self, blob: Path) -> int:
        """Take a blob in; where the file system allows it as a hard link, which takes no room."""

        def link_or_copy(part: Path) -> None:
            try:
                os.link(blob, part)
            except FileNotFoundError:
                raise
            except OSError:  # another file system, or one without hard links
                _copy(blob, part)

        size_bytes = blob.stat().st_size
        self._put(Sha256(blob.name), size_bytes, link_or_copy)
        return size_bytes

    def keep_file(self, path: Path) -> Part:
        """Take a file in, always as a copy."""
        draft = self._folder / ".draft"
        _copy(path, draft)
        part = Part(sha256=_digest(draft), size_bytes=draft.stat().st_size)
        self._put(part.sha256, part.size_bytes, draft.replace)
        draft.unlink(missing_ok=True)
        return part

    def _put(self, digest: Sha256, size_bytes: int, make: Callable[[Path], object]) -> None:
        target = self._path(digest)
        # Also of what is there already: who put it there may have been killed before it was synced.
        self._shards.add(target.parent)
        with suppress(FileNotFoundError):
            if target.stat().st_size == size_bytes:
                return
        target.parent.mkdir(mode=0o700, exist_ok=True)
        draft = target.with_name(f".{digest}")
        draft.unlink(missing_ok=True)
        make(draft)
        if _digest(draft) != digest:
            draft.unlink()
            raise NeedsAttention(f"blob {digest[:12]} is damaged: its bytes have another digest")
        draft.replace(target)

    def close(self, manifest: Manifest) -> None:
        """Put the manifest in the place of the one before, then remove what it names no more."""
        with no_room("end the backup"):
            for shard in (*self._shards, self._folder / PARTS):
                _sync(shard)
            draft = self._folder / f".{MANIFEST}"
            draft.write_bytes(written(manifest))
            _sync(draft)
            draft.replace(self._folder / MANIFEST)
            _sync(self._folder)
            self._clear(manifest.parts().keys())
        os.close(self._lock)

    def _clear(self, named: Collection[str]) -> None:
        for path in (self._folder / PARTS).glob("*/*"):
            if path.name not in named and _PART.fullmatch(path.name):
                path.unlink()

    def _path(self, digest: Sha256) -> Path:
        return self._folder / PARTS / digest[:2] / digest


class TarChest:
    """A backup in one file; it has its name only when it is whole."""

    def __init__(self, path: Path) -> None:
        self._path, self._draft = path, path.with_name(f".{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        # Neither looked at nor emptied before it is locked: another backup may be writing to it.
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        number = os.open(self._draft, flags, 0o600)
        _lock(number, path)
        if path.exists():
            self._draft.unlink(missing_ok=True)
            os.close(number)
            raise NeedsAttention(f"{path} is there already: name another file, or remove it")
        os.ftruncate(number, 0)
        self._file = os.fdopen(number, "w+b")
        self._end = 0
        self._known: set[Sha256] = set()

    def keep(self, blob: Path) -> int:
        """Take a blob in."""
        digest = Sha256(blob.name)
        if digest in self._known:
            return blob.stat().st_size
        with blob.open("rb") as file:
            part = self._written(file)
        if part.sha256 != digest:
            raise NeedsAttention(f"blob {digest[:12]} is damaged: its bytes have another digest")
        self._enter(f"{PARTS}/{digest}", part)
        return part.size_bytes

    def keep_file(self, path: Path) -> Part:
        """Take a file in, as it is while it is read."""
        with path.open("rb") as file:
            part = self._written(file)
        if part.sha256 not in self._known:
            self._enter(f"{PARTS}/{part.sha256}", part)
        return part

    def close(self, manifest: Manifest) -> None:
        """Add the manifest and give the file its name."""
        with no_room("end the backup"):
            self._enter(MANIFEST, self._written(io.BytesIO(written(manifest))))
            self._file.seek(self._end)
            self._file.truncate()
            self._file.write(bytes(_ENDS_WITH_BYTES))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._draft.replace(self._path)
            self._file.close()  # and with it the lock
            _sync(self._path.parent)

    def _written(self, file: IO[bytes]) -> Part:
        """Write a file behind the end, where nothing counts until it is entered, and hash it.

        It is read once, so that what is written is what was hashed, whoever changes it meanwhile.
        Raises `OutOfResources` if it is cut off meanwhile: not now.
        """
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        self._file.seek(self._end + len(_header(MANIFEST, size_bytes)))
        found, left = hashlib.sha256(), size_bytes
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            found.update(chunk)
            self._file.write(chunk)
            left -= len(chunk)
        if left:
            raise OutOfResources("a file was cut off while it was taken along")
        return Part(sha256=Sha256(found.hexdigest()), size_bytes=size_bytes)

    def _enter(self, name: str, part: Part) -> None:
        """Let the part that was written last count, under a name."""
        header = _header(name, part.size_bytes)
        self._file.seek(self._end)
        self._file.write(header)
        self._file.seek(part.size_bytes, os.SEEK_CUR)
        self._file.write(bytes(-part.size_bytes % tarfile.BLOCKSIZE))
        self._end += len(header) + part.size_bytes + -part.size_bytes % tarfile.BLOCKSIZE
        self._known.add(part.sha256)


def _header(name: str, size_bytes: int) -> bytes:
    """Return what stands in front of a member; for all of our names it is equally long."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size_bytes, 0o600
    return member.tobuf(tarfile.PAX_FORMAT)


@contextmanager
def no_room(what: str) -> Iterator[None]:
    """Say "not now" for what the disk cannot do."""
    try:
        yield
    except OSError as error:
        raise OutOfResources(f"cannot {what}: {error.strerror}") from error


def _is_ours(folder: Path) -> bool:
    """Return whether a folder is empty, or holds a backup: a whole one, or one that has begun."""
    parts = folder / PARTS
    if not parts.is_dir():
        return not any(folder.iterdir())
    # Somebody else's folder may have this name as well; nothing of that may be removed.
    return (folder / MANIFEST).exists() or all(_PART.fullmatch(it.name) for it in parts.glob("*/*"))


def _lock(number: int, path: Path) -> None:
    """Lock an open file or folder, and close it if another backup has."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(number)
        raise NeedsAttention(f"another backup into {path} has not ended yet") from error


def _digest(path: Path) -> Sha256:
    with path.open("rb") as file:
        return Sha256(hashlib.file_digest(file, "sha256").hexdigest())


def _copy(path: Path, to: Path) -> None:
    number = os.open(to, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with path.open("rb") as source, os.fdopen(number, "wb") as target:
        shutil.copyfileobj(source, target, _CHUNK_BYTES)
        target.flush()
        os.fsync(number)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
