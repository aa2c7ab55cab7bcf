"""Model folders whose every file is listed with its sha256.

A file is hashed as it is read: the bytes that were checked are the bytes that are used, and
nobody can change the file in between.
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.uids import Sha256

SUMS = "SHA256SUMS"
"""`sha256  relative/path` a line, as sha256sum(1) writes it; its own sha256 names the model."""

_SEALED = ("configs", "golden", "models")
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class SealedFolder:
    """A model folder, as far as `SHA256SUMS` vouches for it.

    Raises
    ------
    ModelUnusable
        If `SHA256SUMS` is absent or cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.content = (folder / SUMS).read_bytes()
            self.sums = _sums(self.content.decode("utf-8"))
        except (OSError, ValueError) as wrong:
            raise ModelUnusable(f"{folder.name}: {SUMS} cannot be used") from wrong
        self.digest = Sha256(hashlib.sha256(self.content).hexdigest())

    def read(self, name: str) -> bytes:
        """Return the content of a file, hashed on the way.

        Raises
        ------
        ModelUnusable
            If it is not listed, not there, or not what it was when the model was released.
        """
        expected = self.sums.get(name)
        if expected is None:
            raise ModelUnusable(f"{self.folder.name}: {name} is not in {SUMS}")
        try:
            content = (self.folder / name).read_bytes()
        except OSError as wrong:
            raise ModelUnusable(
                f"{self.folder.name}: {name} cannot be read, expected sha256 {expected}"
            ) from wrong
        if hashlib.sha256(content).hexdigest() != expected:
            raise ModelUnusable(
                f"{self.folder.name}: {name} has changed, expected sha256 {expected}"
            )
        return content

    def verify(self) -> None:
        """Read every file that is listed; raise `ModelUnusable` for the first that differs."""
        for name in self.sums:
            self.read(name)


def listed(models: Path) -> Mapping[str, Sha256] | None:
    """Return the digests of the models that a folder of model folders vouches for, by name.

    Returns
    -------
    Mapping or None
        What its own `SHA256SUMS` says of those in the model folders; `None` where it has none.

    Raises
    ------
    ModelUnusable
        If that cannot be read.
    """
    path = models / SUMS
    if not path.is_file():
        return None
    try:
        sums = _sums(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        raise ModelUnusable(f"{path} cannot be used") from wrong
    return {PurePosixPath(name).parent.name: digest for name, digest in sums.items()}


def seal(folder: Path) -> SealedFolder:
    """Write `SHA256SUMS` over all files but the documents, and return the folder as it is now."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  {path.as_posix()}\n"
        for path in files
        if path.parts[0] in _SEALED
    ]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
    return SealedFolder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a model folder; who looks sees all of it or nothing."""
    away = Path(tempfile.mkdtemp(prefix=".removed-", dir=folder.parent))
    folder.rename(away / folder.name)
    shutil.rmtree(away)


def _sums(text: str) -> Mapping[str, Sha256]:
    sums: dict[str, Sha256] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError("a line is not `sha256  path`")
        path = PurePosixPath(match[2])
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("a path leads out of the folder")
        sums[str(path)] = Sha256(match[1])
    return sums
