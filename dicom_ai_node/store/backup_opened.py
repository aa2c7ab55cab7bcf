"""A backup that is read: in a folder, or in one file of tar(5)."""

import hashlib
import io
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store.backup_manifest import LEDGER, MANIFEST, PARTS, Manifest, read
from dicom_ai_node.store.schema import is_known

_CHUNK_BYTES = 1 << 20


class OpenedChest(Protocol):
    """A backup that is being read."""

    manifest: Manifest

    def size_bytes(self, digest: Sha256) -> int | None:
        """Return how many bytes a part has, `None` if it is not there."""
        ...

    def open(self, digest: Sha256) -> IO[bytes]:
        """Open a part; raise `NeedsAttention` if it cannot be read."""
        ...


@contextmanager
def opened_chest(path: Path) -> Iterator[OpenedChest]:
    """Open the backup at `path`.

    Raises
    ------
    NeedsAttention
        If there is none, it did not end, or its manifest is damaged.
    """
    if not path.is_file():
        yield OpenedFolder(path)
        return
    try:
        with tarfile.open(path, "r:") as tar:
            yield OpenedTar(path, tar)
    except tarfile.TarError as error:
        raise _no_backup(path) from error


class OpenedFolder:
    """A backup in a folder, to be read."""

    def __init__(self, folder: Path) -> None:
        try:
            content = (folder / MANIFEST).read_bytes()
        except OSError as error:
            raise _no_backup(folder) from error
        self._folder = folder
        self.manifest = read(content)

    def size_bytes(self, digest: Sha256) -> int | None:
        """Return how many bytes a part has, `None` if it is not there."""
        try:
            found = self._path(digest).lstat()
        except OSError:
            return None
        # No link and no device: it may lead anywhere, and have no end.
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def open(self, digest: Sha256) -> IO[bytes]:
        """Open a part; raise `NeedsAttention` if it cannot be read."""
        try:
            return self._path(digest).open("rb")
        except OSError as error:
            raise _unreadable(digest) from error

    def _path(self, digest: Sha256) -> Path:
        return self._folder / PARTS / digest[:2] / digest


class OpenedTar:
    """A backup in one file, to be read."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self._tar = tar
        try:
            # One that is sparse says how large it is, and need not bring the bytes.
            members = {
                one.name: one for one in tar.getmembers() if one.isreg() and not one.issparse()
            }
            file = tar.extractfile(members[MANIFEST])
        except (OSError, tarfile.TarError, KeyError) as error:
            raise _no_backup(path) from error
        self._members = members
        self.manifest = read(b"" if file is None else file.read())

    def size_bytes(self, digest: Sha256) -> int | None:
        """Return how many bytes a part has, `None` if it is not there."""
        member = self._members.get(f"{PARTS}/{digest}")
        return None if member is None else member.size

    def open(self, digest: Sha256) -> IO[bytes]:
        """Open a part."""
        file = self._tar.extractfile(self._members[f"{PARTS}/{digest}"])
        return io.BytesIO() if file is None else file


def chunks_of(file: IO[bytes], digest: Sha256) -> Iterator[bytes]:
    """Yield the bytes of a part.

    Raises
    ------
    NeedsAttention
        At their end, if their digest is another.
    """
    found = hashlib.sha256()
    try:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
            yield chunk
    except (OSError, tarfile.TarError) as error:
        raise _unreadable(digest) from error
    if found.hexdigest() != digest:
        raise NeedsAttention(f"the backup is damaged: {digest[:12]} has other bytes")


def check_backup(opened: OpenedChest) -> None:
    """Read all of a backup and write nothing.

    Raises
    ------
    NeedsAttention
        If something is missing or damaged, or a newer version has made it.
    """
    be_complete(opened)
    for digest in opened.manifest.parts():
        with opened.open(digest) as file:
            for _ in chunks_of(file, digest):
                pass


def be_complete(opened: OpenedChest) -> None:
    """Raise `NeedsAttention` if a part is missing or cut off, or a newer version has made it."""
    manifest = opened.manifest
    if not is_known(manifest.schema):
        raise NeedsAttention(
            f"the backup has schema {manifest.schema}, which a newer version of this node has"
            f" made: install version {manifest.version} or a later one"
        )
    parts = manifest.parts()
    lacking = [one for one, size_bytes in parts.items() if opened.size_bytes(one) != size_bytes]
    if lacking or LEDGER not in manifest.files:
        raise NeedsAttention(f"the backup is damaged: {len(lacking)} of {len(parts)} files of it"
                             " are not there, or are cut off")  # fmt: skip


def _unreadable(digest: Sha256) -> NeedsAttention:
    return NeedsAttention(f"the backup is damaged: {digest[:12]} cannot be read")


def _no_backup(path: Path) -> NeedsAttention:
    return NeedsAttention(f"{path} is no backup, or one that did not end: there is no {MANIFEST}")
