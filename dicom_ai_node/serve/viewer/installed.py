"""The viewer on the disk: unpacked from its release, changed where it must be, compressed.

What a node does not need is left out: models that run in the browser (136 MB), service workers,
logins of others, source maps, icons of telephones.
"""

import gzip
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from dicom_ai_node.domain.errors import NeedsAttention, OutOfResources
from dicom_ai_node.serve.viewer import release
from dicom_ai_node.serve.viewer.changes import BASE, Changing

MOST_FILES = 500
MOST_UNPACKED_BYTES = 250 * 1024**2
"""A guard for the day on which the pinned release is another; this one has 199 MB."""

_KEPT = re.compile(
    r"[\w.-]+\.bundle\.[\w.]*js|[\w.-]+\.css|[0-9a-f]+\.(wasm|woff2)"
    r"|assets/(favicon\.ico|images/[\w.-]+\.png)"
    r"|dicom-microscopy-viewer/[\w.-]+\.(js|wasm)"
)
_SCRIPT = re.compile(r"app\.bundle\.[0-9a-f]+\.js")
_ABOUT = "installed.json"
_DIST = PurePosixPath("package/dist")


@dataclass(frozen=True, slots=True)
class Viewer:
    """The viewer below `folder`, whether or not it is there."""

    folder: Path

    @property
    def _root(self) -> Path:
        return self.folder / BASE

    def script(self) -> str | None:
        """Return the name of its first script, `None` if the viewer is not installed."""
        try:
            return str(json.loads((self._root / _ABOUT).read_text("utf-8"))["script"])
        except (OSError, ValueError, KeyError):
            return None

    def file(self, name: str) -> Path | None:
        """Return where a file of the release lies, compressed by gzip; `None` if there is none."""
        if _KEPT.fullmatch(name) is None or ".." in name:
            return None
        path = self._root / f"{name}.gz"
        return path if path.is_file() else None

    def size_bytes(self) -> int:
        """Return what it takes on the disk."""
        return sum(path.stat().st_size for path in self._root.rglob("*") if path.is_file())

    def install(self, tarball: Path) -> None:
        """Unpack a release that has been checked; either all of it is there afterwards, or nothing.

        Raises
        ------
        NeedsAttention
            If it does not hold what is expected.
        OutOfResources
            If it cannot be written.
        """
        new = self.folder / f"{BASE}.new"
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            self._unpack(tarball, new)
            shutil.rmtree(self._root, ignore_errors=True)
            new.rename(self._root)
            self._forget_others()
        except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
            raise NeedsAttention(f"{tarball} cannot be unpacked") from error
        except OSError as error:
            raise OutOfResources(f"cannot write the viewer: {error.strerror}") from error
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def remove(self) -> None:
        """Take it away, and what an interrupted installation has left."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _forget_others(self) -> None:
        for other in self.folder.iterdir():
            if other != self._root:
                shutil.rmtree(other, ignore_errors=True)

    @staticmethod
    def _unpack(tarball: Path, new: Path) -> None:
        scripts, changing = [], Changing()
        for name, content in _members(tarball):
            _write(new / f"{name}.gz", changing.changed(name, content))
            scripts += [name] if _SCRIPT.fullmatch(name) else []
        if len(scripts) != 1 or changing.missed():
            raise NeedsAttention(f"{tarball} is built in another way: {changing.missed()}")
        about = {"name": release.NAME, "version": release.VERSION, "script": scripts[0]}
        with (new / _ABOUT).open("w", encoding="utf-8") as file:
            json.dump(about, file)
            file.flush()
            os.fsync(file.fileno())


def _members(tarball: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files that are kept, by their name below `dist`: no links, nothing outside."""
    total_bytes = 0
    with tarfile.open(tarball, "r:gz") as archive:
        for number, member in enumerate(archive):
            total_bytes += member.size
            if number > MOST_FILES or total_bytes > MOST_UNPACKED_BYTES:
                raise NeedsAttention(f"{tarball} holds more than a viewer")
            path = PurePosixPath(member.name)
            if not member.isreg() or not path.is_relative_to(_DIST) or ".." in path.parts:
                continue
            name = str(path.relative_to(_DIST))
            if _KEPT.fullmatch(name):
                yield name, _read(archive.extractfile(member))


def _read(file: IO[bytes] | None) -> bytes:
    return file.read() if file else b""


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # No time stamp inside: the same release is the same bytes.
    path.write_bytes(gzip.compress(content, compresslevel=6, mtime=0))
