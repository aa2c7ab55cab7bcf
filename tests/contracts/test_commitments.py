"""Storage commitment looks at the disk, answers once and remembers what it said."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from pydicom import dcmread
from sqlalchemy import event, select

from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.commitment import Asked, TransactionKnown
from dicom_ai_node.domain.json_model import items, values
from dicom_ai_node.domain.uids import (
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.commitments import SqlCommitments
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.ledger_delete import SqlDeletion
from dicom_ai_node.store.promises import promised_studies
from tests.contracts.test_archive import CT, NOW, arrive
from tests.store.made import DAY, NOON, SECOND, delivered, results_of

HEADER = dcmread(CT, stop_before_pixels=True)
ONE = Asked(SOPClassUID(HEADER.SOPClassUID), SOPInstanceUID(HEADER.SOPInstanceUID))
WEEK = timedelta(days=7)
ABSENT = Asked(ONE.sop_class_uid, SOPInstanceUID("1.2.3.4"))


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    """Return an empty store."""
    return FolderBlobs(tmp_path / "store")


@pytest.fixture
def commitments(database: Database, blobs: FolderBlobs) -> SqlCommitments:
    """Return what answers."""
    return SqlCommitments(database, SqlArchive(database, blobs), blobs, WEEK)


def test_what_is_on_the_disk_is_committed(
    ledger: SqlLedger, blobs: FolderBlobs, commitments: SqlCommitments
) -> None:
    """At once, and what is not here is said to be not here; asked again the answer is the same."""
    arrive(ledger, blobs, CT)
    said = commitments.commit("1.2.9", [ONE, ABSENT], NOW)
    (kept,), (failed,) = items(said, "ReferencedSOPSequence"), items(said, "FailedSOPSequence")
    assert values(kept, "ReferencedSOPInstanceUID") == [ONE.sop_instance_uid]
    assert values(failed, "FailureReason") == [0x0112]
    assert commitments.answer("1.2.9") == said
    assert commitments.answer("1.2.8") is None


@pytest.mark.parametrize("damage", ["gone", "cut short"])
def test_what_is_not_whole_is_not_committed(
    ledger: SqlLedger, blobs: FolderBlobs, commitments: SqlCommitments, damage: str
) -> None:
    """The ledger's word is not enough: somebody deletes their only copy for ours."""
    arrive(ledger, blobs, CT)
    assert items(commitments.commit("1.2.8", [ONE], NOW), "ReferencedSOPSequence")
    (path,) = [one for one in (blobs.path(blob) for blob in _digests(ledger)) if one.exists()]
    path.chmod(0o600)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-10])
    (failed,) = items(commitments.commit("1.2.9", [ONE], NOW), "FailedSOPSequence")
    assert values(failed, "FailureReason") == [0x0110]


def _digests(ledger: SqlLedger) -> list[str]:
    (series,) = ledger.due_series(NOW + timedelta(minutes=1))
    return [instance.sha256 for instance in series.instances]


def test_a_transaction_is_answered_once(commitments: SqlCommitments) -> None:
    """A second request under the same UID is somebody's mistake, PS3.18 13.4.3."""
    commitments.commit("1.2.9", [ABSENT], NOW)
    with pytest.raises(TransactionKnown):
        commitments.commit("1.2.9", [ABSENT], NOW)


def test_answers_are_forgotten_with_the_studies(
    ledger: SqlLedger, commitments: SqlCommitments
) -> None:
    """After `store.keep_days`, as what they were about."""
    commitments.commit("1.2.9", [ABSENT], NOW)
    ledger.forget(NOW)
    assert commitments.answer("1.2.9") is not None
    ledger.forget(NOW + timedelta(days=1))
    assert commitments.answer("1.2.9") is None


# how long a promise holds


def _complete(ledger: SqlLedger, now: datetime = NOW) -> None:
    """Let nothing more be expected of what has arrived."""
    for series in ledger.due_series(now + timedelta(minutes=1)):
        assert ledger.complete(series, "told so", [], [], now)


def _promised(database: Database) -> dict[str, datetime]:
    """Return until when which studies have to stay."""
    with database.reading() as connection:
        rows = connection.execute(select(promised_studies)).all()
    return {row.study_instance_uid: row.until for row in rows}


def _goes(ledger: SqlLedger, now: datetime) -> int:
    """Return how many studies go at some time, however young, as where room is short."""
    return ledger.forget(now, 20, (), now).studies


ASKING = [
    pytest.param(lambda it, *asked: it.commit(*asked), id="over DICOMweb"),
    pytest.param(lambda it, *asked: it.promise(asked[0], asked[1], "CT1", asked[2], asked[2]),
                 id="over DIMSE"),
]  # fmt: skip
Ask = Callable[..., object]


@pytest.mark.parametrize("ask", ASKING)
def test_who_was_promised_can_rely_on_it(
    ledger: SqlLedger, blobs: FolderBlobs, commitments: SqlCommitments, database: Database, ask: Ask
) -> None:
    """For the whole time, counted from the promise; then it goes as any other study."""
    arrive(ledger, blobs, CT)
    _complete(ledger)
    then = NOW + DAY
    ask(commitments, "1.2.9", [ONE, ABSENT], then)
    assert _promised(database) == {HEADER.StudyInstanceUID: then + WEEK}
    assert _goes(ledger, then + WEEK - SECOND) == 0
    assert ledger.forget(NOW + 30 * DAY).studies == 0, "who names no time may break no promise"
    assert _goes(ledger, then + WEEK) == 1
    assert _promised(database) == {}


def test_a_promise_is_kept_when_less_is_promised_later(
    ledger: SqlLedger, blobs: FolderBlobs, commitments: SqlCommitments, database: Database
) -> None:
    """`store.keep_days` is shorter now; who asks again hears nothing shorter than was said."""
    arrive(ledger, blobs, CT)
    _complete(ledger)
    commitments.commit("1.2.9", [ONE], NOW)
    shorter = SqlCommitments(database, SqlArchive(database, blobs), blobs, DAY)
    shorter.commit("1.2.8", [ONE], NOW)
    assert _promised(database) == {HEADER.StudyInstanceUID: NOW + WEEK}
    shorter.commit("1.2.7", [ONE], NOW + WEEK)
    assert _promised(database) == {HEADER.StudyInstanceUID: NOW + WEEK + DAY}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(ABSENT, id="it is not here"),
        pytest.param(Asked(SOPClassUID("1.2"), ONE.sop_instance_uid), id="another class"),
    ],
)
def test_of_what_was_not_promised_nothing_is_kept(
    ledger: SqlLedger, blobs: FolderBlobs, commitments: SqlCommitments, database: Database,
    asked: Asked,
) -> None:  # fmt: skip
    """Who has asked in vain holds nothing up; nor does a second request under the same UID."""
    arrive(ledger, blobs, CT)
    _complete(ledger)
    commitments.commit("1.2.9", [asked], NOW)
    with pytest.raises(TransactionKnown):
        commitments.commit("1.2.9", [ONE], NOW)
    assert _promised(database) == {}
    assert _goes(ledger, NOW + DAY) == 1


def test_what_a_person_deletes_was_promised_in_vain(
    ledger: SqlLedger, blobs: FolderBlobs, commitments: SqlCommitments, database: Database
) -> None:
    """With the last of it the promise goes; not before."""
    arrive(ledger, blobs, CT)
    arrive(ledger, blobs, CT, uid="1.2.3.7")
    _complete(ledger)
    commitments.commit("1.2.9", [ONE], NOW)
    deletion = SqlDeletion(database, blobs, lambda: NOW)
    study, series = (
        StudyInstanceUID(HEADER.StudyInstanceUID), SeriesInstanceUID(HEADER.SeriesInstanceUID),
    )  # fmt: skip
    assert deletion.delete(study, series, SOPInstanceUID("1.2.3.7")) == 1
    assert len(_promised(database)) == 1
    assert deletion.delete(study, series, ONE.sop_instance_uid) == 1
    assert _promised(database) == {}


def test_a_result_of_ours_is_promised_with_its_study(
    ledger: SqlLedger, blobs: FolderBlobs, commitments: SqlCommitments, database: Database
) -> None:
    """It would go with the study of its job."""
    job = delivered(ledger)
    made = results_of(job)[0]
    blobs.path(made.sha256).write_bytes(b"x")
    commitments.commit("1.2.9", [Asked(made.sop_class_uid, made.sop_instance_uid)], NOON)
    assert _promised(database) == {job.study_instance_uid: NOON + WEEK}
    assert _goes(ledger, NOON + DAY) == 0


def test_what_comes_after_the_promise_is_not_answered_for(
    ledger: SqlLedger, blobs: FolderBlobs, database: Database
) -> None:
    """Nothing would hold it: whoever asks again is answered as is right by then."""

    class Arriving(SqlCommitments):
        def _kept(self, asked: Sequence[Asked], promised: frozenset[Asked]) -> list[Held]:
            if not ledger.counts()["instances"]:
                arrive(ledger, blobs, CT)
            return super()._kept(asked, promised)

    between = Arriving(database, SqlArchive(database, blobs), blobs, WEEK)
    (failed,) = items(between.commit("1.2.9", [ONE], NOW), "FailedSOPSequence")
    assert values(failed, "FailureReason") == [0x0112]
    assert _promised(database) == {}
    assert items(between.commit("1.2.8", [ONE], NOW), "ReferencedSOPSequence")
    assert len(_promised(database)) == 1


@pytest.mark.parametrize("first", ["retention", "the promise"])
def test_retention_and_a_promise_do_not_pass_each_other(
    ledger: SqlLedger, blobs: FolderBlobs, commitments: SqlCommitments, database: Database,
    first: str,
) -> None:  # fmt: skip
    """Whichever holds the study first: it is promised and stays, or is gone and not promised."""
    if database.read.dialect.name == "sqlite":
        pytest.skip("SQLite lets one write after the other")
    arrive(ledger, blobs, CT)
    _complete(ledger)
    later = NOW + DAY
    with ThreadPoolExecutor() as others, ExitStack() as held:
        in_time, done = Event(), Event()
        event.listen(database.write, "after_cursor_execute", _holding(first, in_time, done))
        keeps, goes = (
            partial(commitments.commit, "1.2.9", [ONE], later), partial(_goes, ledger, later),
        )  # fmt: skip
        one, other = (goes, keeps) if first == "retention" else (keeps, goes)
        held.callback(done.set)
        began = others.submit(one)
        assert in_time.wait(20), "it has locked the series of the study"
        second = others.submit(other)
        with pytest.raises(TimeoutError):
            second.result(0.5)
        done.set()
        answers = {one: began.result(20), other: second.result(20)}
    kept = items(answers[keeps], "ReferencedSOPSequence")
    assert (answers[goes], len(kept)) == ((1, 0) if first == "retention" else (0, 1))
    assert len(_promised(database)) == len(kept)


def _holding(first: str, in_time: Event, done: Event) -> Callable[..., None]:
    """Return what makes a transaction wait when it has locked its series, once."""
    lock = "FOR UPDATE" if first == "retention" else "FOR KEY SHARE"

    def wait(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if (
            "FROM series" in statement
            and statement.rstrip().endswith(lock)
            and not in_time.is_set()
        ):
            in_time.set()
            assert done.wait(20)

    return wait
