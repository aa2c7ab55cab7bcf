"""A backup of a node that runs, and a node made of a backup.

Bytes are on the disk before the ledger names them, so the ledger is copied first and then what it
names. What goes meanwhile because it was deleted is no loss: then the ledger is copied once more,
which no longer names it, and only what is new has to be copied.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from dicom_ai_node.domain.errors import NeedsAttention, OutOfResources
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store.backup_chests import DRAFTS, Chest, no_room
from dicom_ai_node.store.backup_ledger import (
    Copied,
    clear_sqlite,
    copy_ledger,
    draft_place,
    give_back,
    is_empty,
    kind_of,
    place_of,
    put_ledger,
)
from dicom_ai_node.store.backup_manifest import CONFIGURATION, LEDGER, STORE, Manifest, Part
from dicom_ai_node.store.backup_opened import OpenedChest, be_complete, chunks_of
from dicom_ai_node.store.blobs import FolderBlobs, blob_path
from dicom_ai_node.store.engines import Database, database_url, open_database
from dicom_ai_node.store.schema import migrate

RESTORING = ".restoring"
"""A file in a store whose restoration has not ended: no node starts there."""
_ROUNDS = 10
_AT_ONCE = 64
_LEFT_OUT = frozenset({"blobs", "spool", "work", "lock", "lost+found"})
"""What lies in a store and is no part of a backup as it lies there; of `work` see `give_back`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a backup is made of.

    Attributes
    ----------
    folder
        The store.
    configuration
        The configuration file.
    """

    version: str
    folder: Path
    database_url: str
    configuration: Path
    models: Mapping[str, Sha256] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()


def back_up(kept: Kept, chest: Chest, draft_in: Path, now: datetime) -> Manifest:
    """Make a backup; whatever was acknowledged before this was called is in it.

    `draft_in` is a folder with room for a copy of the ledger.

    Raises
    ------
    NeedsAttention
        If the ledger is damaged, or cannot be copied.
    OutOfResources
        If there is no room, or the ledger does not answer.
    """
    with no_room("make the backup"), TemporaryDirectory(dir=draft_in, prefix=DRAFTS) as folder:
        draft = Path(folder) / LEDGER
        copied, blobs, missing = _together(kept, chest, draft)
        files = {
            LEDGER: chest.keep_file(draft),
            f"{CONFIGURATION}/{kept.configuration.name}": chest.keep_file(kept.configuration),
        }
        for path in _own_files(kept):
            with suppress(FileNotFoundError):
                files[f"{STORE}/{path.relative_to(kept.folder)}"] = chest.keep_file(path)
    manifest = Manifest(
        made_at=now,
        version=kept.version,
        schema=copied.schema,
        database=kind_of(kept.database_url),
        files=files,
        blobs=blobs,
        missing=tuple(sorted(missing)),
        models=kept.models,
        elsewhere=kept.elsewhere,
    )
    chest.close(manifest)
    return manifest


def _together(
    kept: Kept, chest: Chest, draft: Path
) -> tuple[Copied, Mapping[Sha256, int], set[Sha256]]:
    """Copy the ledger and what it names, until nothing has gone in between."""
    missing_before: set[Sha256] = set()
    for _ in range(_ROUNDS):
        copied = copy_ledger(kept.database_url, draft)
        blobs, missing = _named(kept.folder, chest, copied)
        # What two copies name and neither time was there has not just been deleted: it is lost.
        if missing <= missing_before:
            return copied, blobs, missing
        missing_before = missing
    raise OutOfResources("too much was deleted while the backup was made; make it at another time")


def _named(folder: Path, chest: Chest, copied: Copied) -> tuple[Mapping[Sha256, int], set[Sha256]]:
    found, missing = {}, set()
    for digest in sorted(copied.digests):
        try:
            found[digest] = chest.keep(blob_path(folder, digest))
        except (FileNotFoundError, NeedsAttention):
            missing.add(digest)
    return found, missing


def _own_files(kept: Kept) -> Iterator[Path]:
    """Yield what else lies in the store: keys, the viewer, whatever a later version adds."""
    ledger = Path(database_url(kept.database_url).database or "").resolve()
    for top in sorted(kept.folder.iterdir()):
        # Not entered: there are millions of blobs, and workers remove their folders meanwhile.
        if top.name in _LEFT_OUT or top.name.startswith("."):
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            is_ledger = path.name.startswith(ledger.name) and path.parent.resolve() == ledger.parent
            if not is_ledger and path.is_file() and not path.is_symlink():
                yield path


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What has become of a backup."""

    manifest: Manifest
    given_back: int


def restore(
    opened: OpenedChest,
    folder: Path,
    url: str,
    now: Callable[[], datetime],
    tell: Callable[[Database], None],
) -> Restored:
    """Make a store and a ledger of a backup; nothing runs there until all of it is there.

    `tell` is called with the ledger when it is whole, and before anything can run on it.

    Raises
    ------
    NeedsAttention
        If the backup is damaged, incomplete or of a newer version, or if something is there.
    OutOfResources
        If there is no room.
    """
    manifest = opened.manifest
    be_complete(opened)
    if kind_of(url) != manifest.database:
        raise NeedsAttention(
            f"the backup is of a ledger in {manifest.database}, and store.database is another kind"
        )
    _is_free(folder, url)
    with no_room("restore"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / RESTORING).exists():  # one that was interrupted has looked already
            _has_room(folder, manifest)
        (folder / RESTORING).touch(mode=0o600)
        (folder / RESTORING).write_text(place_of(url), encoding="utf-8")
        _put_blobs(opened, FolderBlobs(folder))
        for name, part in manifest.files.items():
            if name.startswith(f"{STORE}/"):
                _put_file(opened, part, _inside(folder, name.removeprefix(f"{STORE}/")))
        _put_file(opened, manifest.files[LEDGER], draft := draft_place(url, folder))
        put_ledger(url, draft)
        draft.unlink(missing_ok=True)
        database = open_database(url)
        try:
            migrate(database)
            given_back = give_back(database, now())
            tell(database)
        finally:
            database.close()
        os.sync()
        (folder / RESTORING).unlink()
    return Restored(manifest=manifest, given_back=given_back)


def put_configuration(opened: OpenedChest, path: Path) -> None:
    """Write the configuration in a backup to `path`.

    Raises
    ------
    NeedsAttention
        If the backup is damaged, incomplete or of a newer version.
    OutOfResources
        If the file cannot be written.
    """
    be_complete(opened)
    for name, part in opened.manifest.files.items():
        if name.startswith(f"{CONFIGURATION}/"):
            with no_room("write the configuration"):
                path.parent.mkdir(parents=True, exist_ok=True)
                _put_file(opened, part, path)


def _is_free(folder: Path, url: str) -> None:
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if RESTORING in there:
        # By a restoration that was interrupted: it begins again. A ledger elsewhere is not its own.
        if (folder / RESTORING).read_text(encoding="utf-8") == place_of(url):
            clear_sqlite(url)
    elif there - {"lost+found"}:
        raise NeedsAttention(f"{folder} is not empty: a backup is restored into an empty folder")
    if not is_empty(url):
        raise NeedsAttention(
            "there is a ledger already where store.database says: name another one, or remove it"
        )


def _has_room(folder: Path, manifest: Manifest) -> None:
    """Look before anything is written: a backup may say that it is larger than any disk."""
    needed = sum(manifest.blobs.values()) + sum(
        part.size_bytes for name, part in manifest.files.items() if name.startswith(f"{STORE}/")
    )
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutOfResources(f"the backup holds {needed} bytes, and {folder} has room for {free}")


def _put_blobs(opened: OpenedChest, blobs: FolderBlobs) -> None:
    rest = iter(opened.manifest.blobs)
    while some := list(islice(rest, _AT_ONCE)):
        spooled = {blobs.spool(): digest for digest in some}
        for path, digest in spooled.items():
            with path.open("wb") as target, opened.open(digest) as file:
                target.writelines(chunks_of(file, digest))
        blobs.keep_all(spooled)


def _put_file(opened: OpenedChest, part: Part, path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened.open(part.sha256) as file:
        _write_whole(chunks_of(file, part.sha256), path)


def _write_whole(chunks: Iterable[bytes], path: Path) -> None:
    """Write a file that has its name only when all of it is there."""
    draft = path.with_name(f".{path.name}.part")
    number = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(number, "wb") as target:
            target.writelines(chunks)
            target.flush()
            os.fsync(number)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    draft.replace(path)


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise NeedsAttention("the backup is damaged: a file of it leads out of the store")
    return path
