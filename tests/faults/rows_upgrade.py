"""Row 52: a newer version on the ledger of an older one, and an older one on a newer ledger."""

import shutil
import subprocess
import sys
from pathlib import Path

from sqlalchemy import text

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.store.engines import open_database
from tests.faults.rows import Scene, proven_by, row
from tests.faults.small_node import ROOT, Pacs, SmallNode, series, until
from tests.store.older import make_older, revisions

WAITING = (Stage.READY, Stage.INFERRING, Stage.DELIVERING, Stage.PARKED)
SERIES = ("RAISE", "", "SLOW", "SLOW", "SLOW")
"""What workers do with each: one is parked, one is to be delivered, the others wait in line."""


@row(52, "an upgrade with a full queue; an old binary on a newer ledger", "all ends; exit 78")
def _upgrade(scene: Scene) -> str:
    known = revisions()
    played = [scene.dice.choice(known[:-1])] if scene.is_short else known
    queue = _full_queue(scene)
    for revision in played:
        _upgraded(scene, queue, revision)
    _too_new(scene, queue)
    proven = proven_by(scene, "tests/contracts/test_upgrade.py")
    return f"from {', '.join(played)}: {len(SERIES)} jobs ended; newer: exit 78; {proven}"


def _full_queue(scene: Scene) -> SmallNode:
    """Return a node that was killed with a job in every stage but the shortest."""
    pacs = Pacs()  # which is never there
    where = {"pacs": f"{{ae_title: PACS, host: 127.0.0.1, port: {pacs.port}}}"}
    node = SmallNode(scene.folder / "queue", where)
    try:
        node.start()
        for number, deed in enumerate(SERIES):
            node.send(series(scene.folder, f"number{number}", description=deed))
            until(lambda: len(node.jobs()) == number + 1, "it has a job")  # noqa: B023 - at once
        until(
            lambda: {job.stage for job in node.jobs()} >= set(WAITING), "a job in every stage", 20
        )
        node.kill()
    finally:
        node.end()
    return node


def _upgraded(scene: Scene, queue: SmallNode, revision: str) -> None:
    pacs = Pacs()
    where = {"pacs": f"{{ae_title: PACS, host: 127.0.0.1, port: {pacs.port}}}"}
    node = SmallNode(scene.folder / f"from{revision}", where)
    without = shutil.ignore_patterns("bells")  # pipes, which each node makes for itself
    shutil.copytree(queue.folder / "store", node.folder / "store", ignore=without)
    _as_older(node.folder / "store", revision)
    node.answered, node.was_cut = dict(queue.answered), True
    try:
        with pacs.up():
            node.start()
            node.ended(len(SERIES))
            node.judged(
                {"pacs": pacs}, jobs=len(SERIES), stages=frozenset({Stage.DELIVERED, Stage.PARKED})
            )
    finally:
        node.end()


def _as_older(store: Path, revision: str) -> None:
    """Put the same rows, as far as the revision knows them, into a ledger of that revision."""
    newest = store.parent / "newest.db"
    for ending in ("", "-wal"):
        (store / f"node.db{ending}").rename(f"{newest}{ending}")
    (store / "node.db-shm").unlink()
    source, older = (open_database(f"sqlite:///{path}") for path in (newest, store / "node.db"))
    make_older(older, revision, source)
    source.close()
    older.close()


def _too_new(scene: Scene, queue: SmallNode) -> None:
    database = open_database(f"sqlite:///{queue.folder}/store/node.db")
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    done = subprocess.run(
        [sys.executable, "-m", "dicom_ai_node", "serve", str(queue.config)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 78, done.returncode
    assert "a newer version of this node" in done.stderr, done.stderr[-500:]
