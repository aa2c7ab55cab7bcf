"""What goes while a backup is made: deleted is no loss, lost is said."""

import hashlib
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_ai_node.domain.errors import NeedsAttention, OutOfResources
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store import backup, backup_chests
from dicom_ai_node.store.backup import Kept, back_up, restore
from dicom_ai_node.store.backup_chests import TAR, Chest, FolderChest, TarChest, chest_at
from dicom_ai_node.store.backup_manifest import LEDGER, Manifest, Part, written
from dicom_ai_node.store.backup_opened import check_backup, opened_chest
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import migrate, migrations
from tests.store.made import DAY, HOUR, NOON, QUIET, arrival


class Node:
    """A ledger and blobs, with one instance in each of three studies."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder / "store", f"sqlite:///{folder}/store/node.db"
        self.blobs = FolderBlobs(self.folder)
        self.ledger = SqlLedger(open_database(self.url))
        migrate(self.ledger.database)
        self.kept: list[Sha256] = []
        (folder / "ae_config.yaml").write_text("routes: []\n")
        for number in range(3):
            spooled = self.blobs.spool()
            spooled.write_bytes(b"%d" % number)
            self.kept.append(self.blobs.keep(spooled))
            self.arrive(number, self.kept[-1])
        for series in self.ledger.due_series(NOON + HOUR):
            self.ledger.complete(series, "quiet", [], [], NOON)

    def arrive(self, number: int, digest: Sha256) -> None:
        """List an instance of a study of its own."""
        one = arrival(1, f"1.{number}.1", f"1.{number}")
        instance = replace(one.instance, sha256=digest)
        self.ledger.record([replace(one, instance=instance)], NOON, QUIET)

    @property
    def told(self) -> Kept:
        """What a backup of it is made of."""
        return Kept(
            version="0", folder=self.folder, database_url=self.url,
            configuration=self.folder.parent / "ae_config.yaml",
        )  # fmt: skip

    def back_up(self, chest: Chest, to: Path) -> tuple[set[Sha256], set[Sha256]]:
        """Make a backup; return which blobs it has, and which it says are lost."""
        made = back_up(self.told, chest, to.parent if to.suffix == TAR else to, NOON)
        with opened_chest(to) as opened:
            assert opened.manifest == made
        return set(made.blobs), set(made.missing)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Return a node with three studies."""
    node = Node(tmp_path)
    yield node
    node.ledger.database.close()


class Interrupted(FolderChest):
    """Something happens after the ledger was copied and before its blobs are."""

    def __init__(self, folder: Path, happens: Callable[[], object]) -> None:
        super().__init__(folder)
        self._happens: Callable[[], object] | None = happens

    def keep(self, blob: Path) -> int:
        """Let it happen, once."""
        if happens := self._happens:
            self._happens = None
            happens()
        return super().keep(blob)


def test_what_is_deleted_meanwhile_is_no_loss(node: Node, tmp_path: Path) -> None:
    """Retention goes on: the ledger is copied again, and names it no more."""

    def retention() -> None:
        gone = node.ledger.forget(NOON + DAY, limit=1)
        for digest in gone.blobs:
            node.blobs.discard(digest)

    has, lost = node.back_up(Interrupted(tmp_path / "safe", retention), tmp_path / "safe")
    assert (len(has), lost) == (2, set())
    assert has < set(node.kept)


def test_what_arrives_meanwhile_is_in_the_next(node: Node, tmp_path: Path) -> None:
    """It was acknowledged after the backup began."""

    def receive() -> None:
        spooled = node.blobs.spool()
        spooled.write_bytes(b"late")
        node.arrive(9, node.blobs.keep(spooled))

    has, lost = node.back_up(Interrupted(tmp_path / "safe", receive), tmp_path / "safe")
    assert (has, lost) == (set(node.kept), set())
    has, lost = node.back_up(FolderChest(tmp_path / "safe"), tmp_path / "safe")
    assert len(has) == 4


@pytest.mark.parametrize("name", ["safe", "safe.tar"])
@pytest.mark.parametrize("rotten", [b"r", b"rotten"], ids=["as long as before", "longer"])
def test_what_is_lost_is_said(node: Node, tmp_path: Path, name: str, rotten: bytes) -> None:
    """The ledger still names it: no retention has taken it. Nothing of it is in the backup."""
    node.blobs.discard(node.kept[0])
    node.blobs.path(node.kept[1]).write_bytes(rotten)
    has, lost = node.back_up(chest_at(tmp_path / name), tmp_path / name)
    assert (has, lost) == ({node.kept[2]}, set(node.kept[:2]))
    with opened_chest(tmp_path / name) as opened:
        check_backup(opened)
        assert opened.size_bytes(node.kept[1]) is None


def test_a_file_that_changes_while_it_is_taken_along_is_whole(tmp_path: Path) -> None:
    """What is in the backup is what its digest says, whatever becomes of the file."""
    path, stop = tmp_path / "changing", threading.Event()
    path.write_bytes(bytes(4_000_000))

    def change() -> None:
        with path.open("r+b", buffering=0) as file:
            number = 0
            while not stop.is_set():
                number = (number + 1) % 256
                file.seek(3_999_000)
                file.write(bytes([number]) * 1000)

    thread = threading.Thread(target=change)
    thread.start()
    chest = TarChest(tmp_path / "safe.tar")
    try:
        parts = [chest.keep_file(path) for _ in range(20)]
    finally:
        stop.set()
        thread.join()
    assert len(set(parts)) > 5, "it has changed all the time"
    files = {LEDGER: parts[0], **{f"store/{n}": part for n, part in enumerate(parts)}}
    chest.close(manifest_of(files))
    with opened_chest(tmp_path / "safe.tar") as opened:
        check_backup(opened)


def manifest_of(files: dict[str, Part]) -> Manifest:
    """Return the manifest of a backup without blobs."""
    head = str(migrations().get_current_head())
    return Manifest(
        made_at=NOON, version="0", schema=head, database="sqlite", files=files, blobs={}
    )


@pytest.mark.peer
def test_another_program_reads_the_file(node: Node, tmp_path: Path) -> None:
    """GNU tar finds every part, byte by byte, and nothing odd about the file."""
    node.back_up(chest_at(tmp_path / "safe.tar"), tmp_path / "safe.tar")
    done = subprocess.run(
        ["tar", "-xvf", tmp_path / "safe.tar", "-C", tmp_path], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stderr == ""
    names = done.stdout.split()
    assert names[-1] == "manifest.json"
    for name in names[:-1]:
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == Path(name).name


@pytest.mark.parametrize("size_bytes", [0, (8 << 30) - 1, 8 << 30, 1 << 50])
def test_the_header_of_a_part_is_as_long_as_that_of_any_other(size_bytes: int) -> None:
    """A part is written before its name is known, behind the room for its header."""
    header = backup_chests._header("parts/" + "a" * 64, size_bytes)
    assert len(header) == len(backup_chests._header("manifest.json", size_bytes))
    with tarfile.open(fileobj=io.BytesIO(header + bytes(512))) as tar:
        assert tar.next().size == size_bytes  # type: ignore[union-attr]


def hostile(folder: Path, size_bytes: int) -> Path:
    """Write a backup that says it holds a blob of so many bytes, and holds none of them."""
    big = Sha256("a" * 64)
    ledger = Part(sha256=Sha256(hashlib.sha256(b"l").hexdigest()), size_bytes=1)
    for digest, size in ((big, size_bytes), (ledger.sha256, 0)):
        path = folder / "parts" / digest[:2] / digest
        path.parent.mkdir(parents=True)
        path.touch()
        os.truncate(path, size)
    path.write_bytes(b"l")
    manifest = replace(manifest_of({LEDGER: ledger}), blobs={big: size_bytes})
    (folder / "manifest.json").write_bytes(written(manifest))
    return folder


@pytest.mark.peer
def test_a_backup_that_says_it_is_larger_than_it_is_writes_nothing(tmp_path: Path) -> None:
    """A sparse member of any size fits into a few kilobytes of a file; here it is 64 MB."""
    folder, path = hostile(tmp_path / "hostile", 1 << 26), tmp_path / "hostile.tar"
    subprocess.run(
        ["tar", "-C", folder, "-S", "-cf", path, "--transform", "s,parts/../,parts/,", "parts",
         "manifest.json"],
        check=True,
    )  # fmt: skip
    assert path.stat().st_size < 100_000
    with opened_chest(path) as opened, pytest.raises(NeedsAttention, match="are not there"):
        restore(opened, tmp_path / "store", f"sqlite:///{tmp_path}/store/node.db", lambda: NOON,
                lambda _: None)  # fmt: skip
    assert not (tmp_path / "store").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of eight megabytes in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this account may not mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_backup_that_has_no_room_writes_nothing(small_disk: Path, tmp_path: Path) -> None:
    """Also a folder may hold a file that is larger than the disk under it."""
    folder, store = hostile(tmp_path / "hostile", 1 << 26), small_disk / "store"
    with opened_chest(folder) as opened, pytest.raises(OutOfResources, match="has room for"):
        restore(opened, store, f"sqlite:///{store}/node.db", lambda: NOON, lambda _: None)
    assert not list(store.iterdir())


def test_an_interrupted_backup_leaves_the_one_before(node: Node, tmp_path: Path) -> None:
    """Its manifest is the last thing that changes."""
    before = node.back_up(FolderChest(tmp_path / "safe"), tmp_path / "safe")

    def power_cut() -> None:
        raise KeyboardInterrupt

    node.arrive(9, node.kept[0])
    with pytest.raises(KeyboardInterrupt):
        node.back_up(Interrupted(tmp_path / "safe", power_cut), tmp_path / "safe")
    with opened_chest(tmp_path / "safe") as opened:
        assert set(opened.manifest.blobs) == before[0]
        assert all(opened.size_bytes(one) == size for one, size in opened.manifest.parts().items())


def test_what_was_there_before_it_was_synced_is_synced(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup before this one was killed: its parts have names, and may lose them in a power cut."""
    safe = tmp_path / "safe"
    first = FolderChest(safe)
    for digest in node.kept:
        first.keep(node.blobs.path(digest))
    os.close(first._lock)
    synced = set[str]()
    sync = backup_chests._sync
    monkeypatch.setattr(backup_chests, "_sync", lambda path: (synced.add(path.name), sync(path)))
    node.back_up(FolderChest(safe), safe)
    assert {digest[:2] for digest in node.kept} <= synced


def test_a_ledger_that_a_killed_backup_has_left_goes(node: Node, tmp_path: Path) -> None:
    """It holds patients, and is as large as the ledger; what else lies there is left alone."""
    for name in (".backup-killed", ".backup-of-letters"):
        (tmp_path / "safe" / name).mkdir(parents=True)
    (tmp_path / "safe" / "parts").mkdir()
    (tmp_path / "safe" / ".backup-killed" / "ledger").write_bytes(b"half of it")
    (tmp_path / "safe" / ".backup-of-letters" / "letter").touch()
    node.back_up(FolderChest(tmp_path / "safe"), tmp_path / "safe")
    there = {path.name for path in (tmp_path / "safe").iterdir()}
    assert there == {"parts", "manifest.json", ".backup-of-letters"}


@pytest.mark.parametrize("name", ["safe", "safe.tar"])
def test_two_backups_into_one_place_do_not_meet(node: Node, tmp_path: Path, name: str) -> None:
    """A timer that fires while the one before is still at work: the first goes on, and is whole."""
    first = chest_at(tmp_path / name)
    first.keep(node.blobs.path(node.kept[0]))
    with pytest.raises(NeedsAttention, match="has not ended yet"):
        chest_at(tmp_path / name)
    node.back_up(first, tmp_path / name)


def test_what_comes_and_goes_in_the_store_is_not_entered(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of a worker vanishes while its files are listed, and blobs are in the millions."""
    (node.folder / "viewer" / "deep").mkdir(parents=True)
    (node.folder / "viewer" / "deep" / "page").write_bytes(b"page")
    (node.folder / "work").mkdir()
    entered = []
    scandir = os.scandir

    def scanned(path: str) -> object:
        entered.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scanned)
    found = list(backup._own_files(node.told))
    assert node.folder / "viewer" / "deep" / "page" in found
    assert not {"work", "blobs", "spool"} & set(entered)
