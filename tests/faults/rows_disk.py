"""Rows about disks and databases: full, failing, locked, gone, damaged."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dicom_ai_node import compose
from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.job import Stage
from tests.faults.failing_sync import CannotTrace, failing_sync
from tests.faults.rows import CannotRun, Scene, proven_by, row
from tests.faults.small_node import ROOT, Pacs, SmallNode, series, study_of, until
from tests.phantoms import ct, write
from tests.receive.rawpeer import RawPeer, request
from tests.receive.webdesk import values
from tests.store.postgres import postgresql

FAILED, FAILURE = "00081198", "00081197"
CONGESTED = (3, bytes((0, 2, 3, 1)))
"""A-ASSOCIATE-RJ: transient, by the presentation layer, temporary congestion; PS3.8 9.3.4."""


def _fill(folder: Path, leave_bytes: int = 0) -> Path:
    """Fill a file system but for some bytes, and return the file to remove again."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        while shutil.disk_usage(folder).free > leave_bytes:
            room = shutil.disk_usage(folder).free - leave_bytes
            file.write(bytes(max(4096, min(room, 1 << 20))))
    return filler


def _refused_for_now(node: SmallNode, files: list[Path]) -> None:
    """Assert that both receivers say "out of resources", and leave nothing behind."""
    for answer in node.send(files):
        assert isinstance(answer, OutOfResources), answer
    response = node.stow(files[:1])
    assert response is not None
    assert response.status_code == 503, response.status_code
    # A request that is larger than the room is refused before there are instances to name.
    assert set(values(response, FAILED, FAILURE)) <= {0xA700}
    assert "Retry-After" in response.headers


def _large(scene: Scene) -> list[Path]:
    return write(ct(slices=2, rows=512, columns=512), scene.folder / "large")


def _taken(scene: Scene, node: SmallNode, pacs: Pacs, files: list[Path]) -> None:
    """Assert that everything goes on: what was refused is taken, and a series is delivered."""
    answers = node.send(files)
    assert all(isinstance(each, str) for each in answers), answers
    node.send(series(scene.folder, "after"))
    node.ended(1)
    node.judged({"pacs": pacs}, stages=frozenset({job.stage for job in node.jobs()}))


@row(11, "disk full while an instance is written", "0xA700, STOW 503; then goes on")
def _disk_full(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.tmpfs("disk", 16) as disk:
        database = f", database: 'sqlite:///{scene.folder}/node.db'"
        with scene.node({"pacs": pacs}, store=database, store_folder=disk / "store") as node:
            files = _large(scene)
            node.start()
            filler = _fill(disk, leave_bytes=200_000)
            _refused_for_now(node, files)
            assert not list((disk / "store" / "spool").iterdir())
            filler.unlink()
            _taken(scene, node, pacs, files)
    return "0xA700; 503 with Retry-After; spool empty; with room again all is taken"


@row(12, "disk full in the ledger", "0xA700, the listener lives; then goes on")
def _ledger_full(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.tmpfs("ledger", 16) as disk:
        database = f", database: 'sqlite:///{disk}/node.db'"
        with scene.node({"pacs": pacs}, store=database) as node:
            node.start()
            filler = _fill(disk)
            # The log in front of the ledger may have some room left in pages that it uses again.
            refused = 0
            for number in range(20):
                answers = node.send(series(scene.folder, f"full{number}", slices=8))
                refused += sum(isinstance(each, OutOfResources) for each in answers)
                if refused:
                    break
            assert refused, "the ledger had room for 160 instances on a full disk"
            with RawPeer(node.port) as peer:
                assert peer.send(request()).pdu()[0] == 2
            filler.unlink()
            files = series(scene.folder, f"full{number}", slices=8)
            answers = node.send(files)
            assert all(isinstance(each, str) for each in answers), answers
            node.ended(1)
            until(lambda: len({j.study_instance_uid for j in node.jobs()}) == number + 1, "jobs")
            node.ended(number + 1)
            node.judged({"pacs": pacs})
    return f"{refused} instances 0xA700, associations go on; with room again all is taken"


@row(13, "less room than store.min_free_gb", "association rejected for now, STOW 503", fast=True)
def _low_water(scene: Scene) -> str:
    pacs = Pacs()
    with (
        pacs.up(),
        scene.tmpfs("disk", 32) as disk,
        scene.node({"pacs": pacs}, store_folder=disk / "store", min_free_gb=0.008) as node,
    ):
        node.start()
        filler = _fill(disk, leave_bytes=4_000_000)
        with RawPeer(node.port) as peer:
            assert peer.send(request()).pdu() == CONGESTED
        response = node.stow(series(scene.folder, "early"))
        assert response is not None
        assert (response.status_code, "Retry-After" in response.headers) == (503, True)
        filler.unlink()
        _taken(scene, node, pacs, series(scene.folder, "early"))
    return "rejected for now, 503 with Retry-After, 4 MB were left; with room again all is taken"


@row(14, "fsync fails with EIO or ENOSPC", "0xA700, no row, no retry of the fsync; then goes on")
def _fsync(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        node.was_cut = True  # a result may be sent again whose delivery could not be noted
        node.start()
        store = node.folder / "store"
        files = [store / "node.db", store / "node.db-wal"]
        refused = failed = there = 0
        for number, error in enumerate(("EIO", "ENOSPC"), 1):
            node.send(series(scene.folder, f"before {error}"))
            node.stow(series(scene.folder, f"by web before {error}"))
            lost = series(scene.folder, f"while {error}")
            with _no_sync(node, files, error) as count:
                for _ in range(3):
                    _refused_for_now(node, lost)
                    refused += len(lost) + 1
                failed += count()
                if scene.dice.random() < 0.5 or number == 1:
                    node.kill()  # the frames of what was refused lie in the log of the ledger
            if not node.is_running:
                node.start()
                there += len(node.listed(study_of(lost[0])))
            answers = node.send(lost)
            assert all(isinstance(each, str) for each in answers), answers
        node.ended(6)
        with node.looking() as ledger:
            assert not ledger.quarantined(), "what was refused is another object now"
        assert failed >= refused, f"{refused} were refused, and {failed} syncs have failed"
        studies = [job.study_instance_uid for job in node.jobs()]
        assert len(set(studies)) == 6, studies
        node.judged({"pacs": pacs}, stages=frozenset({job.stage for job in node.jobs()}))
    proven = proven_by(
        scene,
        "tests/faults/test_receive_disk.py",
        "tests/contracts/test_blobs.py::test_a_failed_fsync_is_no_success",
        "tests/contracts/test_database.py::test_a_commit_that_does_not_reach_the_disk_is_none",
        "tests/faults/test_store_web.py::test_success_is_never_answered_when_the_disk_does_not_sync",
    )
    return (
        f"ledger: {refused} refused with 0xA700 and 503; killed meanwhile, {there} of them were there"
        f" all the same; sent again all are taken; {proven}"
    )


@contextmanager
def _no_sync(node: SmallNode, files: list[Path], error: str) -> Iterator[Callable[[], int]]:
    try:
        with failing_sync(node.pid, files, error) as count:
            yield count
    except CannotTrace as missing:
        raise CannotRun(str(missing)) from missing


@row(15, "a bad block under an instance", "no model looks at it; the same bytes heal it")
def _bad_block(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        files = series(scene.folder, "block", description="RAISE")
        node.start()
        node.send(files)
        [job] = node.ended(1)
        assert "NaN" in job.note, job.note
        with node.looking() as ledger:
            found = ledger.job(job.key)
            assert found is not None
            digest = found.inputs[0].sha256
            blob = node.folder / "store" / "blobs" / digest[:2] / digest
            content = bytearray(blob.read_bytes())
            content[scene.dice.randrange(len(content))] ^= 1 << scene.dice.randrange(8)
            blob.write_bytes(content)
            ledger.retry(job, compose.now())
        [job] = until(lambda: [j for j in node.ended(1) if "damaged" in j.note], "it is noticed")
        node.send(files)
        with node.looking() as ledger:
            ledger.retry(job, compose.now())
        until(lambda: "NaN" in node.ended(1)[0].note, "the model has looked at it again")
        node.judged({"pacs": pacs}, jobs=1, stages=frozenset({Stage.PARKED}))
    return "one bit flipped: parked, the note says which blob; sent again: healed"


@row(16, "the ledger is locked", "0xA700 after its patience, no hang")
def _locked(scene: Scene) -> str:
    pacs = Pacs()
    with pacs.up(), scene.node({"pacs": pacs}) as node:
        files = series(scene.folder, "locked", slices=2)
        node.start()
        with closing(sqlite3.connect(node.folder / "store" / "node.db", timeout=60)) as other:
            other.execute("BEGIN IMMEDIATE")
            answers = node.send(files)
            assert all(isinstance(each, OutOfResources) for each in answers), answers
            other.rollback()
        answers = node.send(files)
        assert all(isinstance(each, str) for each in answers), answers
        node.ended(1)
        node.judged({"pacs": pacs}, jobs=1)
    return "0xA700 while another process held the lock; afterwards taken"


@row(17, "PostgreSQL crashes and comes back", "0xA700 meanwhile, nothing lost")
def _database_crash(scene: Scene) -> str:
    import signal  # noqa: PLC0415 - only here

    pacs = Pacs()
    with pacs.up(), postgresql() as server:
        server.execute("CREATE DATABASE ledger")
        url = server.url("ledger").replace("postgresql:", "postgresql+psycopg:")
        with scene.node({"pacs": pacs}, store=f", database: '{url}'") as node:
            first, second = series(scene.folder, "first"), series(scene.folder, "second")
            node.start()
            node.send(first)
            server.stop(signal.SIGQUIT)
            answers = node.send(second)
            assert all(isinstance(each, OutOfResources) for each in answers), answers
            server.start()
            answers = node.send(second)
            assert all(isinstance(each, str) for each in answers), answers
            until(lambda: len(node.jobs()) >= 2, "both series have a job")
            node.ended(2)
            node.was_cut = True  # a result may be sent again whose delivery could not be noted
            node.judged({"pacs": pacs}, jobs=2)
    return "0xA700 while it was away; both series delivered after it was back"


@row(
    18,
    "the first page of the ledger is overwritten",
    "the node does not start: exit 78, what to do",
)
def _damaged(scene: Scene) -> str:
    with scene.node({"pacs": Pacs()}) as node:
        (node.folder / "store").mkdir()
        (node.folder / "store" / "node.db").write_bytes(b"\xff" * 8192)
        done = subprocess.run(
            [sys.executable, "-m", "dicom_ai_node", "serve", str(node.config)],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
    assert done.returncode == 78, done.returncode
    assert "backup" in done.stderr + done.stdout
    proven = proven_by(scene, "tests/contracts/test_database.py::test_a_damaged_ledger_is_refused")
    return f"exit 78, and the message names the backup; {proven}"


@row(19, "a migration fails or is killed; a newer ledger", "nothing half done; refused")
def _migration(scene: Scene) -> str:
    return proven_by(
        scene,
        "tests/contracts/test_database.py::test_a_migration_that_fails_leaves_nothing",
        "tests/contracts/test_database.py::test_a_newer_schema_is_refused",
        "tests/contracts/test_upgrade.py::test_a_migration_that_was_killed_is_begun_again",
    )
