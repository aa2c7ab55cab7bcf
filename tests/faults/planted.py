"""Faults that are planted into a node: where it dies, what its disk forgets, what it does wrong.

Nothing of the product reads the environment for this; only `tests.faults.entry` does.
"""

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

from pydicom.uid import UID
from sqlalchemy import Connection, event, text

from dicom_ai_node.domain.job import Job, Result
from dicom_ai_node.domain.ports import Ledger, Sender
from dicom_ai_node.domain.study import Arrival, Received, Series
from dicom_ai_node.domain.uids import JobKey, Sha256, SOPInstanceUID, derive_uid
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger import SqlLedger


class Fuse:
    """Kills this process, as kill -9 would, when a point is reached for the nth time.

    `said` is `point` or `point@n`; an empty one never blows. `last` is done just before.
    """

    def __init__(self, said: str, last: Callable[[], None] = lambda: None) -> None:
        self._point, _, count = said.partition("@")
        self._left = int(count or 1)
        self._last = last
        self._lock = Lock()

    def __call__(self, point: str) -> None:
        """Note that a point has been reached."""
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._last()
                os.kill(os.getpid(), signal.SIGKILL)


class PowerCut:
    """A disk with a cache: what was not synced is lost when the power goes.

    It knows what Python has synced. SQLite syncs in C and is believed: kill -9 takes nothing from
    it. A file that was not synced is empty afterwards, a rename whose folder was not synced has
    not happened.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._platter = root.parent / "platter"
        self._synced: set[int] = set()
        self._renames: list[tuple[Path, Path, Path | None]] = []
        self._lock = Lock()
        self._fsync, self._replace = os.fsync, os.replace

    def install(self) -> None:
        """Watch every fsync and every rename of this process from now on."""
        self._platter.mkdir(exist_ok=True)
        self._synced |= {path.stat().st_ino for path in self._files()}
        os.fsync = self._watched_fsync
        os.replace = self._watched_replace

    def cut(self) -> None:
        """Lose what was not synced; nobody can sync any more."""
        self._lock.acquire()  # never released: this process is about to die
        for source, target, before in reversed(self._renames):
            if target.exists():
                self._replace(target, source)
            if before is not None:
                self._replace(before, target)
        for path in self._files():
            if path.stat().st_ino not in self._synced:
                os.truncate(path, 0)

    def _files(self) -> list[Path]:
        folders = (self._root / "spool", self._root / "blobs")
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    def _watched_fsync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        found = os.fstat(descriptor)
        with self._lock:
            if stat.S_ISDIR(found.st_mode):
                folder = Path(f"/proc/self/fd/{descriptor}").readlink()
                self._renames = [each for each in self._renames if each[1].parent != folder]
            else:
                self._synced.add(found.st_ino)

    def _watched_replace(self, source: Any, target: Any) -> None:  # noqa: ANN401 - as os.replace
        with self._lock:
            before = None
            if Path(target).exists():
                before = self._platter / f"{len(self._renames)}-{Path(target).name}"
                before.unlink(missing_ok=True)
                os.link(target, before)
            self._replace(source, target)
            self._renames.append((Path(source), Path(target), before))


class DyingBlobs(FolderBlobs):
    """Blobs with a point before a file is opened, too."""

    def __init__(self, root: Path, fuse: Fuse) -> None:
        super().__init__(root, fuse)
        self._fuse = fuse

    def spool(self) -> Path:
        self._fuse("opened")
        return super().spool()


class DyingLedger:
    """A ledger that dies before or after its methods; after one that found something to do."""

    def __init__(self, ledger: SqlLedger, fuse: Fuse) -> None:
        self._ledger = ledger
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the ledger has
        found = getattr(self._ledger, name)
        if not callable(found):
            return found

        def called(*arguments: object, **named: object) -> object:
            self._fuse(f"before {name}")
            answer = found(*arguments, **named)
            if answer or answer is None:
                self._fuse(f"after {name}")
            return answer

        return called


def dies_before_commit(database: Database, fuse: Fuse) -> None:
    """Let a process die inside of a transaction that has recorded instances, before COMMIT."""
    query = text("SELECT max(number) FROM instances")
    with database.reading() as connection:
        newest = [connection.scalar(query)]

    def committing(connection: Connection) -> None:
        found = connection.scalar(query)
        if found != newest[0]:
            newest[0] = found
            fuse("recording")

    event.listen(database.write, "commit", committing)


# What a node must never do. The checker has to notice each of these.


class HastyBlobs(DyingBlobs):
    """Answers before the bytes are on the disk: no file is synced."""

    def _sync_each(self, paths: Collection[Path]) -> None:
        super()._sync_each([path for path in paths if path.is_dir()])


class UntidyBlobs(DyingBlobs):
    """Leaves a copy of everything in the spool."""

    def keep_all(self, spooled: Mapping[Path, Sha256]) -> None:
        for path in spooled:
            shutil.copyfile(path, path.with_suffix(".copy"))
        super().keep_all(spooled)


class ForgetfulLedger(SqlLedger):
    """Forgets to bring results to the last destination."""

    def commit_results(
        self,
        job: Job,
        results: Sequence[Result],
        destinations: Sequence[str],
        now: datetime,
        note: str = "",
    ) -> bool:
        return super().commit_results(job, results, destinations[:-1], now, note)


class DoubleLedger(SqlLedger):
    """Lists every job twice, under two keys, and lets both run."""

    def complete(
        self,
        series: Series,
        because: str,
        jobs: Sequence[Job],
        notes: Sequence[str],
        now: datetime,
        waits: Mapping[str, datetime] | None = None,
    ) -> bool:
        again = [replace(job, key=JobKey(job.key[32:] + job.key[:32])) for job in jobs]
        done = super().complete(series, because, [*jobs, *again], notes, now, waits)
        with (
            self.database.writing() as connection
        ):  # the real one lets the second replace the first
            connection.execute(text("UPDATE jobs SET stage = 'ready' WHERE stage = 'superseded'"))
        return done


class LosingLedger(SqlLedger):
    """Says of the first instance that it has recorded it, and has not."""

    has_lost = False

    def record(
        self, arrivals: Sequence[Arrival], now: datetime, quiet: timedelta
    ) -> Sequence[Received]:
        if self.has_lost or not arrivals:
            return super().record(arrivals, now, quiet)
        self.has_lost = True
        return [Received.NEW, *super().record(arrivals[1:], now, quiet)]


class TwofoldSender:
    """Sends everything a second time under a UID of its own."""

    def __init__(self, sender: Sender, folder: Path) -> None:
        self._sender = sender
        self._folder = folder

    def send(self, objects: Sequence[Path]) -> Sequence[Any]:
        answers = self._sender.send(objects)
        self._sender.send([self._other(path) for path in objects])
        return answers

    def accepts(self, sop_class_uid: str) -> bool:
        return self._sender.accepts(sop_class_uid)

    def _other(self, path: Path) -> Path:
        from pydicom import dcmread  # noqa: PLC0415 - nobody else here reads

        dataset = dcmread(path)
        dataset.SOPInstanceUID = UID(SOPInstanceUID(derive_uid("other", path.name)))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        copy = self._folder / f"other-{path.name}"
        dataset.save_as(copy)
        return copy


def leak_descriptors() -> None:
    """Open files and never close them."""
    for _ in range(100):
        os.open("/dev/null", os.O_RDONLY)


def leave_a_child() -> None:
    """Start what outlives this process."""
    subprocess.Popen(["sleep", "120"], start_new_session=True)


LEDGERS: Mapping[str, type[SqlLedger]] = {
    "a forgotten delivery": ForgetfulLedger,
    "a double run": DoubleLedger,
    "a row that was never written": LosingLedger,
}
BLOBS: Mapping[str, type[DyingBlobs]] = {
    "an answer before fsync": HastyBlobs,
    "a temporary file": UntidyBlobs,
}
A_SECOND_UID, A_LEAK, AN_ORPHAN, A_NAME = (
    "a second UID",
    "a leaked descriptor",
    "an orphan",
    "a name in the log",
)
PLANTS = (*LEDGERS, *BLOBS, A_SECOND_UID, A_LEAK, AN_ORPHAN, A_NAME)


def planted_ledger(plant: str, database: Database, fuse: Fuse) -> Ledger:
    """Return a ledger on a database, with what is planted."""
    ledger = LEDGERS.get(plant, SqlLedger)(database)
    return DyingLedger(ledger, fuse)  # type: ignore[return-value]
