"""Old studies go, delivered ones before their time where the disk runs full, others never."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dicom_ai_node.domain.commitment import Asked
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.json_model import items
from dicom_ai_node.domain.uids import Sha256, SOPInstanceUID, StudyInstanceUID
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.commitments import SqlCommitments
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.retention import Policy, Retention, expired, expired_early
from dicom_ai_node.store.schema import migrate
from tests.store.made import DAY, HOUR, LEASE, MINUTE, NOON, QUIET, arrival, job_for, sha

WEEK = Policy(keep=7 * DAY, min_free_bytes=1000)


def test_a_study_stays_as_long_as_configured() -> None:
    """`store.keep_days` counts from the last instance."""
    assert expired(WEEK, NOON) == NOON - 7 * DAY


@pytest.mark.parametrize(
    ("free_bytes", "keep", "moment"),
    [
        pytest.param(1000, 7 * DAY, None, id="there is enough room"),
        pytest.param(999, 7 * DAY, NOON - HOUR, id="room is short, but results are being read"),
        pytest.param(0, MINUTE, NOON - MINUTE, id="room is short and nothing is kept for long"),
    ],
)
def test_room_is_made_only_where_it_is_short(
    free_bytes: int, keep: timedelta, moment: object
) -> None:
    """A study goes before its time only below the watermark."""
    assert expired_early(replace(WEEK, keep=keep), NOON, free_bytes) == moment


class SmallDisk(FolderBlobs):
    """A store on a disk with room for so many blobs."""

    room = 1000

    def free_bytes(self) -> int:
        """Return the room as if every blob had one byte."""
        return self.room - sum(1 for _ in self._blobs.glob("*/*"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """Return an empty ledger."""
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    migrate(database)
    yield SqlLedger(database)
    database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> SmallDisk:
    """Return an empty store."""
    return SmallDisk(tmp_path / "store")


def keep(blobs: FolderBlobs, content: str, age: timedelta) -> Sha256:
    """Keep some bytes as if that had been `age` ago."""
    path = blobs.spool()
    path.write_text(content)
    digest = blobs.keep(path)
    moment = (NOON - age).timestamp()
    os.utime(blobs.path(digest), (moment, moment))
    return digest


def study(
    ledger: SqlLedger, blobs: FolderBlobs, uid: str, age: timedelta, stage: Stage = Stage.DELIVERED
) -> Sha256:
    """Let a study have come `age` ago, and its job be in `stage`; return its only blob."""
    digest = keep(blobs, uid, age)
    made = arrival(1, f"{uid}.1", uid)
    made = replace(made, instance=replace(made.instance, sha256=digest))
    then = NOON - age
    ledger.record([made], then, QUIET)
    (series,) = ledger.study(StudyInstanceUID(uid)).series
    ledger.complete(series, "quiet", [job_for(series, created_at=then)], [], then)
    if stage is not Stage.READY:
        (held,) = ledger.claim(Stage.READY, then, LEASE)
        ledger.move(held, Stage.INFERRED, then)
        (held,) = ledger.claim(Stage.INFERRED, then, LEASE)
        assert ledger.commit_results(held, [], [], then)
    return digest


def test_old_studies_go_with_their_bytes(ledger: SqlLedger, blobs: SmallDisk) -> None:
    """After a week row and file are gone; yesterday's study is untouched."""
    old = {study(ledger, blobs, f"1.{n}", 8 * DAY) for n in range(3, 28)}
    young = study(ledger, blobs, "1.99", DAY)
    gone = Retention(ledger, blobs, Policy(keep=7 * DAY)).run(NOON)
    assert (gone.studies, gone.instances, set(gone.blobs)) == (25, 25, old)
    assert not any(blobs.path(digest).exists() for digest in old)
    assert blobs.path(young).exists()
    assert Retention(ledger, blobs, Policy(keep=7 * DAY)).run(NOON).studies == 0


def test_a_full_disk_costs_the_oldest_studies(ledger: SqlLedger, blobs: SmallDisk) -> None:
    """Below the watermark the oldest delivered studies go, and not one more than must."""
    digests = [study(ledger, blobs, f"1.{n}", n * DAY) for n in (5, 3, 4, 2)]
    blobs.room = 1002
    gone = Retention(ledger, blobs, WEEK).run(NOON)
    assert gone.blobs == (digests[0], digests[2])
    assert blobs.free_bytes() == 1000


def test_a_full_disk_costs_nothing_that_others_rely_on(ledger: SqlLedger, blobs: SmallDisk) -> None:
    """The node refuses what comes until there is room; other studies go, and these in their time."""
    relied_on, other = (study(ledger, blobs, f"1.{n}", n * DAY) for n in (5, 3))
    asked = Asked(arrival(1).instance.sop_class_uid, SOPInstanceUID("1.5.1.1"))
    held = SqlCommitments(ledger.database, SqlArchive(ledger.database, blobs), blobs, 7 * DAY)
    blobs.path(relied_on).write_bytes(bytes(1000))
    answer = held.commit("1.2.9", [asked], NOON)
    assert len(items(answer, "ReferencedSOPSequence")) == 1
    blobs.room = 0
    gone = Retention(ledger, blobs, WEEK).run(NOON + DAY)
    assert gone.blobs == (other,)
    blobs.room = 10_000
    assert Retention(ledger, blobs, WEEK).run(NOON + 6 * DAY).studies == 0, "it is eleven days old"
    assert Retention(ledger, blobs, WEEK).run(NOON + 7 * DAY).studies == 1


def test_a_full_disk_costs_nothing_that_is_undelivered_or_fresh(
    ledger: SqlLedger, blobs: SmallDisk
) -> None:
    """Rather no room than a lost study: the receiver refuses, and somebody is told."""
    study(ledger, blobs, "1.4", 30 * MINUTE)
    study(ledger, blobs, "1.3", 5 * DAY, Stage.READY)
    blobs.room = 0
    assert Retention(ledger, blobs, WEEK).run(NOON).studies == 0


def test_bytes_that_are_arriving_again_stay(ledger: SqlLedger, blobs: SmallDisk) -> None:
    """A study that is sent again in the minute of its retention keeps its files."""
    digest = study(ledger, blobs, "1.3", 8 * DAY)
    keep(blobs, "1.3", age=MINUTE)
    gone = Retention(ledger, blobs, WEEK).run(NOON)
    assert (gone.studies, gone.blobs) == (1, ())
    assert blobs.path(digest).exists()


def test_what_a_crash_has_left_behind_is_swept(ledger: SqlLedger, blobs: SmallDisk) -> None:
    """A file without a row goes after a day; one that is known, or young, stays."""
    known = study(ledger, blobs, "1.3", 2 * DAY)
    orphans = {sha("orphan", n) for n in range(600)}
    for digest in orphans:
        blobs.path(digest).touch()
        os.utime(blobs.path(digest), ((NOON - 2 * DAY).timestamp(),) * 2)
    young = keep(blobs, "on its way", age=HOUR)
    spooled = blobs.spool()
    os.utime(spooled, (0, 0))
    assert set(Retention(ledger, blobs, WEEK).sweep(NOON)) == orphans
    assert not any(blobs.path(digest).exists() for digest in orphans)
    assert blobs.path(known).exists()
    assert blobs.path(young).exists()
    assert not spooled.exists()
