"""What goes while a backup is made: deleted is no loss, lost is said."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store import backup, backup_chests
from dicom_ai_node.store.backup import Kept, back_up
from dicom_ai_node.store.backup_chests import TAR, Chest, FolderChest, chest_at
from dicom_ai_node.store.backup_opened import opened_chest
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import migrate
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


def test_what_is_lost_is_said(node: Node, tmp_path: Path) -> None:
    """The ledger still names it: no retention has taken it."""
    node.blobs.discard(node.kept[0])
    node.blobs.path(node.kept[1]).write_bytes(b"rotten")
    has, lost = node.back_up(FolderChest(tmp_path / "safe"), tmp_path / "safe")
    assert (has, lost) == ({node.kept[2]}, set(node.kept[:2]))


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
