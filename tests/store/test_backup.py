"""What goes while a backup is made: deleted is no loss, lost is said."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store.backup import Kept, back_up
from dicom_ai_node.store.backup_chests import FolderChest
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

    def back_up(self, chest: FolderChest, to: Path) -> tuple[set[Sha256], set[Sha256]]:
        """Make a backup; return which blobs it has, and which it says are lost."""
        kept = Kept(
            version="0", folder=self.folder, database_url=self.url,
            configuration=self.folder.parent / "ae_config.yaml",
        )  # fmt: skip
        made = back_up(kept, chest, to, NOON)
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
