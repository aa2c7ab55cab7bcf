"""What the ledger remembers of storage commitment, in SQLite and in PostgreSQL alike."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import event, insert, inspect, select, text

from dicom_ai_node.domain.commitment import Asked, TransactionKnown
from dicom_ai_node.domain.job import Delivery, DeliveryState, Job, Stage
from dicom_ai_node.domain.json_model import items
from dicom_ai_node.domain.proof import Report
from dicom_ai_node.domain.uids import AETitle, SOPClassUID, SOPInstanceUID
from dicom_ai_node.store import schema, tables
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.commitments import STILL_TOLD, SqlCommitments
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.ledger_proofs import MOST_REQUESTS
from dicom_ai_node.store.overview import SqlOverview
from dicom_ai_node.store.proof_heard import MOST_TIMES_LOST
from tests.contracts.test_archive import CT, arrive
from tests.contracts.test_commitments import ABSENT, ONE, WEEK
from tests.store.made import (
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NOON,
    SECOND,
    delivered,
    delivering,
    results_of,
    stage_of,
)

PROVING = frozenset({"pacs"})
NOT_HERE = 0x0112


@pytest.fixture
def overview(database: Database) -> SqlOverview:
    """Return what the console reads."""
    return SqlOverview(database)


def ask(
    ledger: SqlLedger,
    uid: str = "1.9.1",
    now: datetime = NOON,
    settled: timedelta = 0 * SECOND,
    limit: int = 1000,
) -> list[SOPInstanceUID]:
    """Claim what is unproven at the PACS under a Transaction UID."""
    found = ledger.claim_unproven("pacs", uid, now, HOUR, settled, limit)
    return [one.sop_instance_uid for one in found]


def kept(*uids: SOPInstanceUID, transaction: str = "1.9.1") -> Report:
    """Return what a PACS says that keeps these."""
    return Report(transaction_uid=transaction, kept=frozenset(uids))


def lost(*uids: SOPInstanceUID, transaction: str = "1.9.1", reason: int = NOT_HERE) -> Report:
    """Return what a PACS says that has none of these."""
    failed = dict.fromkeys(uids, reason)
    return Report(transaction_uid=transaction, kept=frozenset(), failed=failed)


def state_of(ledger: SqlLedger, job: Job) -> list[DeliveryState]:
    """Return how far each object of a job is."""
    return [one.state for one in ledger.deliveries(job.key)]


def sent_again(ledger: SqlLedger, now: datetime) -> list[Delivery]:
    """Send what is due to the PACS and return it."""
    due = list(ledger.claim_deliveries("pacs", now, LEASE))
    assert all(ledger.delivered(one, now) for one in due)
    return due


def test_what_was_delivered_is_asked_for_and_committed(ledger: SqlLedger) -> None:
    """All objects of a job in one request, once; the job stays delivered, and its line tells."""
    job = delivered(ledger)
    made = results_of(job)
    found = ledger.claim_unproven("pacs", "1.9.1", NOON, HOUR, 0 * SECOND)
    assert [(it.sop_instance_uid, it.sop_class_uid, it.series_instance_uid) for it in found] == [
        (it.sop_instance_uid, it.sop_class_uid, it.series_instance_uid) for it in made
    ]
    assert {it.study_instance_uid for it in found} == {job.study_instance_uid}
    assert ask(ledger, "1.9.2", NOON + MINUTE) == []
    assert ledger.hear(kept(*(one.sop_instance_uid for one in made)), NOON + MINUTE)
    assert state_of(ledger, job) == [DeliveryState.COMMITTED] * 2
    assert stage_of(ledger, job) is Stage.DELIVERED
    told = [(it.what, it.fields["objects"]) for it in ledger.time_line(job.key)[-2:]]
    assert told == [("commitment_asked", "2"), ("commitment_given", "2")]
    assert ask(ledger, "1.9.3", NOON + DAY) == []
    assert ledger.numbers().deliveries == {("pacs", DeliveryState.COMMITTED): 2}


def test_nothing_is_asked_for_while_the_rest_is_being_sent(ledger: SqlLedger) -> None:
    """One request for a job, and nothing for a destination that has not taken all."""
    delivering(ledger, "pacs", "other")
    first, second = ledger.claim_deliveries("pacs", NOON, LEASE)
    assert ledger.delivered(first, NOON)
    assert ask(ledger) == []
    assert ledger.delivered(second, NOON)
    assert len(ask(ledger)) == 2, "the other destination is none of its business"


def test_what_may_not_be_found_at_once_is_asked_for_later(ledger: SqlLedger) -> None:
    """A PACS may take a minute until it finds what it has taken."""
    delivered(ledger)
    assert ask(ledger, now=NOON + 59 * SECOND, settled=MINUTE) == []
    assert len(ask(ledger, now=NOON + MINUTE, settled=MINUTE)) == 2


def silent(ledger: SqlLedger, times: int = MOST_REQUESTS + 1) -> datetime:
    """Let the PACS answer none of so many requests, an hour apart; return when the last was."""
    for number in range(times):
        assert len(ask(ledger, f"1.9.{number}", NOON + number * HOUR)) == 2
    return NOON + (times - 1) * HOUR


def test_silence_is_asked_again_and_in_the_end_held_against_the_destination(
    ledger: SqlLedger, overview: SqlOverview
) -> None:
    """After an hour each, and once a day from the sixth time on; no job stops for that."""
    job = delivered(ledger)
    silent(ledger, MOST_REQUESTS)
    assert ask(ledger, "1.8", NOON + 5 * HOUR - SECOND) == []
    assert overview.destination("pacs").unproven == 0
    assert len(ask(ledger, "1.9.5", NOON + 5 * HOUR)) == 2
    seen = overview.destination("pacs")
    assert (seen.unproven, seen.unproven_since) == (2, NOON)
    assert "answered none of 5 requests" in seen.unproven_because
    assert "ask whoever runs pacs, or choose another `proof`" in seen.unproven_because
    assert stage_of(ledger, job) is Stage.DELIVERED
    assert state_of(ledger, job) == [DeliveryState.DONE] * 2
    assert {one.note for one in ledger.deliveries(job.key)} == {seen.unproven_because}
    assert ask(ledger, "1.8", NOON + 5 * HOUR + DAY - SECOND) == []
    assert len(ask(ledger, "1.9.6", NOON + 5 * HOUR + DAY)) == 2
    assert ask(ledger, "1.8", NOON + 5 * HOUR + 2 * DAY - SECOND) == []
    told = [it.what for it in ledger.time_line(job.key) if it.what.startswith(("comm", "dest"))]
    assert told == ["commitment_asked"] * 5 + ["destination_doubted"]


def test_a_patient_destination_is_not_asked_more_often_for_that(ledger: SqlLedger) -> None:
    """Who may take two days to answer is asked every two days."""
    delivered(ledger)
    for number in range(8):
        found = ledger.claim_unproven(
            "pacs", f"1.9.{number}", NOON + number * 2 * DAY, 2 * DAY, 0 * DAY
        )
        assert len(found) == 2
    assert ledger.claim_unproven("pacs", "1.8", NOON + 15 * DAY, 2 * DAY, 0 * DAY) == []


def test_a_late_answer_still_counts(ledger: SqlLedger, overview: SqlOverview) -> None:
    """To an earlier request than the newest, and after that was held against the destination."""
    job = delivered(ledger)
    first, second = ask(ledger, "1.9.0")
    for number in range(1, MOST_REQUESTS + 1):
        ask(ledger, f"1.9.{number}", NOON + number * HOUR)
    assert ledger.hear(kept(first, transaction="1.9.0"), NOON + DAY)
    assert overview.destination("pacs").unproven == 1
    assert ledger.hear(kept(second, transaction="1.9.1"), NOON + DAY)
    assert stage_of(ledger, job) is Stage.DELIVERED
    assert state_of(ledger, job) == [DeliveryState.COMMITTED] * 2
    seen = overview.destination("pacs")
    assert (seen.unproven, seen.unproven_since, seen.unproven_because) == (0, None, "")


def test_silence_is_no_loss(ledger: SqlLedger, overview: SqlOverview) -> None:
    """After many requests in vain an object turns out to be lost: it is sent again, as at first."""
    job = delivered(ledger)
    then = silent(ledger, MOST_REQUESTS + 1)
    uids = [one.sop_instance_uid for one in results_of(job)]
    assert ledger.hear(lost(*uids, transaction=f"1.9.{MOST_REQUESTS}"), then)
    assert stage_of(ledger, job) is Stage.DELIVERED
    assert overview.destination("pacs").unproven == 0
    assert len(sent_again(ledger, then + 2 * MINUTE)) == 2
    assert len(ask(ledger, "1.7", then + 2 * MINUTE)) == 2
    assert ask(ledger, "1.8", then + HOUR) == []
    assert len(ask(ledger, "1.6", then + HOUR + 2 * MINUTE)) == 2, "it counts from the beginning"


def test_what_a_new_destination_is_known_for_is_told_once(ledger: SqlLedger) -> None:
    """In the time line of each job; as a matter of the destination, of the first ones alone."""
    jobs = [delivered(ledger, uid=f"1.{number}.1") for number in range(2)]
    for number in range(3):
        ask(ledger, f"1.9.{number}", NOON + number * HOUR, limit=2)
        ask(ledger, f"1.8.{number}", NOON + number * HOUR, limit=2)
        for uid in (f"1.9.{number}", f"1.8.{number}"):
            ledger.refused(uid, NOON, "no", NOON + (number + 1) * HOUR)
    told = [[it.what for it in ledger.time_line(job.key)] for job in jobs]
    whats = ("destination_doubted", "commitment_doubted")
    assert sorted([line.count(what) for what in whats] for line in told) == [[0, 1], [1, 0]]


def test_what_is_not_kept_is_sent_again_and_asked_for_again(ledger: SqlLedger) -> None:
    """Only what failed, under the same UID; meanwhile the job is delivered, as far as people see."""
    job = delivered(ledger)
    first, second = ask(ledger)
    assert ledger.hear(
        Report(transaction_uid="1.9.1", kept=frozenset({first}), failed={second: NOT_HERE}), NOON
    )
    assert state_of(ledger, job) == [DeliveryState.COMMITTED, DeliveryState.DUE]
    assert ledger.deliveries(job.key)[1].note.startswith(
        "pacs does not keep it: 0x0112, no such object instance"
    )
    assert sent_again(ledger, NOON + MINUTE) == [], "it is given some time"
    (again,) = sent_again(ledger, NOON + 2 * MINUTE)
    assert again.result.sop_instance_uid == second
    assert ask(ledger, "1.9.2", NOON + 2 * MINUTE) == [second]
    assert ledger.hear(lost(second, transaction="1.9.1"), NOON + 3 * MINUTE), "of old news"
    assert state_of(ledger, job) == [DeliveryState.COMMITTED, DeliveryState.DONE]
    assert ledger.hear(kept(second, transaction="1.9.2"), NOON + 3 * MINUTE)
    assert state_of(ledger, job) == [DeliveryState.COMMITTED] * 2
    assert stage_of(ledger, job) is Stage.DELIVERED


def test_what_was_said_before_it_was_sent_again_proves_nothing(ledger: SqlLedger) -> None:
    """An old answer that comes late is about a copy that has been lost since."""
    job = delivered(ledger)
    uids = ask(ledger, "1.9.0")
    assert ask(ledger, "1.9.1", NOON + HOUR) == uids
    assert ledger.hear(lost(*uids, transaction="1.9.1"), NOON + HOUR)
    assert len(sent_again(ledger, NOON + 2 * HOUR)) == 2
    assert ledger.hear(kept(*uids, transaction="1.9.0"), NOON + 2 * HOUR)
    assert state_of(ledger, job) == [DeliveryState.DONE] * 2
    assert ask(ledger, "1.9.2", NOON + 2 * HOUR) == uids
    assert ledger.hear(kept(*uids, transaction="1.9.0"), NOON + 3 * HOUR)
    assert state_of(ledger, job) == [DeliveryState.DONE] * 2
    assert ledger.hear(kept(*uids, transaction="1.9.2"), NOON + 3 * HOUR)
    assert state_of(ledger, job) == [DeliveryState.COMMITTED] * 2


def test_what_is_parked_as_lost_is_not_taken_for_kept(ledger: SqlLedger) -> None:
    """The last word was that it is not there; a person sends it again."""
    job, now = delivered(ledger), NOON
    for number in range(MOST_TIMES_LOST):
        uids = ask(ledger, f"1.9.{number}", now)
        assert ledger.hear(lost(*uids, transaction=f"1.9.{number}"), now)
        now += HOUR
        sent_again(ledger, now)
    assert ledger.hear(kept(*uids, transaction="1.9.0"), now)
    assert state_of(ledger, job) == [DeliveryState.PARKED] * 2
    assert stage_of(ledger, job) is Stage.PARKED


def test_no_request_is_larger_than_its_answer_may_be(ledger: SqlLedger) -> None:
    """A job may make an image of each slice; the rest is asked for at once, under another UID."""
    for number in range(4):
        delivered(ledger, uid=f"1.{number}.1")
    asked = [ask(ledger, f"1.9.{number}", limit=3) for number in range(4)]
    assert [len(uids) for uids in asked] == [3, 3, 2, 0]
    assert len(set().union(*asked)) == 8
    assert sum(ledger.hear(kept(*uids, transaction=f"1.9.{n}"), NOON)
               for n, uids in enumerate(asked[:3])) == 3  # fmt: skip
    assert ledger.numbers().deliveries == {("pacs", DeliveryState.COMMITTED): 8}


def test_what_is_never_kept_is_for_a_person(ledger: SqlLedger) -> None:
    """Bounded; after a retry by hand it is sent and asked for as at first."""
    job, now = delivered(ledger), NOON
    for number in range(MOST_TIMES_LOST):
        uids = ask(ledger, f"1.9.{number}", now)
        assert len(uids) == 2
        assert ledger.hear(lost(*uids, transaction=f"1.9.{number}", reason=0x0110), now)
        now += HOUR
        sent_again(ledger, now)
    stopped = ledger.job(job.key)
    assert stopped is not None
    assert (stopped.stage, stopped.who) == (Stage.PARKED, "a person")
    assert "0x0110, processing failure; a person: ask whoever runs pacs" in stopped.note
    ledger.retry(stopped, now)
    assert len(sent_again(ledger, now)) == 2
    assert stage_of(ledger, job) is Stage.DELIVERED
    uids = ask(ledger, "1.7", now)
    assert ledger.hear(kept(*uids, transaction="1.7"), now)
    assert state_of(ledger, job) == [DeliveryState.COMMITTED] * 2


def test_what_is_sent_again_and_refused_then_is_for_a_person(ledger: SqlLedger) -> None:
    """A job that counted as delivered is parked like any other."""
    job = delivered(ledger)
    assert ledger.hear(lost(*ask(ledger)), NOON)
    for one in ledger.claim_deliveries("pacs", NOON + HOUR, LEASE):
        assert ledger.not_delivered(one, NOON + HOUR, "no", None)
    assert stage_of(ledger, job) is Stage.PARKED


def test_a_report_that_nobody_has_asked_for_changes_nothing(ledger: SqlLedger) -> None:
    """The Transaction UID is what a peer shows; objects that were not asked for stay as they are."""
    job = delivered(ledger)
    uids = [one.sop_instance_uid for one in results_of(job)]
    assert not ledger.hear(kept(*uids, transaction="1.2.3"), NOON)
    assert state_of(ledger, job) == [DeliveryState.DONE] * 2
    ask(ledger)
    assert not ledger.hear(lost(*uids, transaction="1.2.3"), NOON)
    assert state_of(ledger, job) == [DeliveryState.DONE] * 2


def test_who_could_not_be_asked_is_asked_later(ledger: SqlLedger, overview: SqlOverview) -> None:
    """Without an end, for a PACS may be away for days; after a day that is told."""
    job, now = delivered(ledger), NOON
    for number in range(2 * MOST_REQUESTS):
        assert len(ask(ledger, f"1.9.{number}", now)) == 2
        ledger.not_asked(f"1.9.{number}", now, "pacs does not answer", now + 5 * MINUTE)
        assert ask(ledger, "1.8", now + 4 * MINUTE) == []
        now += 5 * MINUTE
    assert {one.note for one in ledger.deliveries(job.key)} == {"pacs does not answer"}
    assert overview.destination("pacs").unproven == 0
    now = NOON + DAY
    assert len(ask(ledger, "1.7", now)) == 2
    ledger.not_asked("1.7", now, "pacs does not answer", now + 5 * MINUTE)
    seen = overview.destination("pacs")
    assert (seen.unproven, seen.unproven_because) == (2, "pacs does not answer")
    assert len(ask(ledger, "1.6", now + 5 * MINUTE)) == 2
    assert stage_of(ledger, job) is Stage.DELIVERED


def test_who_takes_no_request_stops_no_job(ledger: SqlLedger, overview: SqlOverview) -> None:
    """It is held against the destination at once, and what comes then is no longer about it."""
    job = delivered(ledger)
    uids = ask(ledger)
    ledger.refused("1.9.1", NOON, "pacs takes no such request", NOON + HOUR)
    seen = overview.destination("pacs")
    assert (seen.unproven, seen.unproven_since) == (2, NOON)
    assert seen.unproven_because == "pacs takes no such request"
    assert (stage_of(ledger, job), state_of(ledger, job)) == (
        Stage.DELIVERED, [DeliveryState.DONE] * 2,
    )  # fmt: skip
    assert ledger.claim_deliveries("pacs", NOON + DAY, LEASE) == []
    assert ledger.forget(NOON + 30 * DAY, 20, PROVING).studies == 0
    assert ask(ledger, "1.9.2", NOON + HOUR) == uids
    assert ledger.hear(kept(*uids, transaction="1.9.2"), NOON + HOUR)
    assert overview.destination("pacs").unproven == 0
    assert ledger.forget(NOON + 30 * DAY, 20, PROVING).studies == 1
    ledger.refused("1.6", NOON, "nothing was asked under this one", NOON)


def test_nothing_goes_before_it_is_proven(ledger: SqlLedger, database: Database) -> None:
    """However old a study is, and however short the room: its results may be here only."""
    job = delivered(ledger)
    later = NOON + 30 * DAY
    assert ledger.forget(later, 20, PROVING).studies == 0
    first, second = ask(ledger)
    assert ledger.hear(kept(first), NOON)
    assert ledger.forget(later, 20, PROVING).studies == 0
    assert ledger.hear(lost(second), NOON)
    assert ledger.forget(later, 20).studies == 0, "it is being sent again"
    sent_again(ledger, NOON + HOUR)
    assert ask(ledger, "1.9.2", NOON + HOUR) == [second]
    assert ledger.forget(later, 20, PROVING).studies == 0
    assert _requests(database) == {"1.9.2"}, "the one that waits for its answer is not forgotten"
    assert ledger.hear(kept(second, transaction="1.9.2"), NOON + HOUR)
    assert ledger.forget(later, 20, PROVING).studies == 1
    assert ledger.job(job.key) is None
    assert _requests(database) == set()


def test_without_a_proof_to_wait_for_it_goes_as_ever(ledger: SqlLedger) -> None:
    """What other destinations have to prove is another matter."""
    delivered(ledger)
    assert ledger.forget(NOON + DAY, 20, frozenset({"archive"})).studies == 1


def _requests(database: Database) -> set[str]:
    with database.reading() as connection:
        return set(connection.scalars(select(tables.commitment_requests.c.transaction_uid)))


def test_the_schema_can_be_taken_back(ledger: SqlLedger, database: Database) -> None:
    """An older version finds what was committed as delivered; forward again it is asked for."""
    job = delivered(ledger)
    assert ledger.hear(kept(*ask(ledger)), NOON)
    config = schema._config()
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0012")
        names = inspect(connection).get_table_names()
        assert "commitment_requests" not in names
    schema.migrate(database)
    assert state_of(ledger, job) == [DeliveryState.DONE] * 2
    assert len(ask(ledger, "1.9.2")) == 2


def many_unproven(database: Database, count: int) -> None:
    """Let the PACS have taken so many objects of one job of which it says nothing before noon."""
    job = {
        "key": "a" * 64, "route": "r", "model": "m", "model_digest": "d", "priority": 0,
        "study_instance_uid": "1.7", "created_at": NOON, "urgent_at": NOON, "is_stat": False,
        "signature": "s", "stage": Stage.DELIVERED.value, "attempts": 0, "fence": 0, "note": "",
        "progress": 1.0,
    }  # fmt: skip
    made = {
        "job": job["key"], "kind": "seg", "sop_class_uid": "1.2", "series_instance_uid": "1.7.1",
        "transfer_syntax_uid": "1.2", "sha256": "b",
    }  # fmt: skip
    there = {
        "destination": "pacs", "job": job["key"], "state": DeliveryState.DONE.value, "note": "no",
        "attempts": 1, "fence": 1, "due_at": NOON, "done_at": NOON - DAY,
    }  # fmt: skip
    uids = [{"sop_instance_uid": f"2.25.{number}"} for number in range(count)]
    with database.writing() as connection:
        connection.execute(insert(tables.jobs), [job])
        rows = [{**made, **uid, "position": number} for number, uid in enumerate(uids)]
        connection.execute(insert(tables.results), rows)
        connection.execute(insert(tables.deliveries), [{**there, **uid} for uid in uids])
        connection.execute(text("ANALYZE"))
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TABLE sqlite_stat1"))  # the node never makes any


@pytest.mark.parametrize("asked", ["what is to be proven", "what is to be sent"])
def test_what_is_asked_four_times_a_second_reads_only_what_is_due(
    ledger: SqlLedger, database: Database, asked: str
) -> None:
    """Both databases say how they search: by the time, however many wait for a proof."""
    many_unproven(database, 2000)
    said: list[tuple[str, Any]] = []
    event.listen(database.read, "before_cursor_execute", lambda *told: said.append(told[2:4]))
    before = NOON - MINUTE
    if asked == "what is to be proven":
        assert ask(ledger, now=before) == []
    else:
        assert ledger.claim_deliveries("pacs", before, LEASE) == []
    [(statement, values)] = [it for it in said if "deliveries" in it[0]]
    is_sqlite = database.read.dialect.name == "sqlite"
    how = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    with database.reading() as connection:
        plan = connection.exec_driver_sql(f"{how} {statement}", values).all()
    lines = [row.detail if is_sqlite else row[0] for row in plan]
    if is_sqlite:
        ours = [line for line in lines if "ix_deliveries" in line or "deliveries" in line]
        key = "ix_deliveries_claim (destination=? AND state=?"
        assert all(key in line for line in ours), lines
        assert any(f"{key} AND due_at<?)" in line for line in ours), lines
    else:
        assert not [line for line in lines if "Seq Scan on deliveries" in line], lines
        conditions = [line for line in lines if "Index Cond" in line and "due_at <=" in line]
        assert conditions, lines
        assert [line for line in lines if "ix_deliveries_claim" in line], lines


def test_what_a_destination_says_is_entered_by_index(ledger: SqlLedger, database: Database) -> None:
    """SQLite says how it would search when it claims what is due, and when it hears the answer."""
    if database.read.dialect.name != "sqlite":
        pytest.skip("the planner of PostgreSQL scans small tables")
    delivered(ledger)
    heard: list[tuple[str, Any]] = []
    event.listen(database.write, "before_cursor_execute", lambda *told: heard.append(told[2:4]))
    uids = ask(ledger)
    assert ledger.hear(kept(*uids), NOON)
    with database.reading() as connection:
        details = [
            row.detail
            for statement, values in heard
            if "deliveries" in statement and not statement.startswith("INSERT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
    assert len(heard) > 5
    assert not [one for one in details if one.startswith(("SCAN deliveries", "SCAN jobs"))]
    assert not [one for one in details if "ix_deliveries_done" in one]
    # What is being sent, or due, is few; what is done is not.
    by_state = [one for one in details if one.endswith("(destination=? AND state=?)")]
    assert len(by_state) == 1, details


# what we promise


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    """Return an empty store."""
    return FolderBlobs(tmp_path / "store")


@pytest.fixture
def promises(database: Database, blobs: FolderBlobs) -> SqlCommitments:
    """Return what answers modalities."""
    return SqlCommitments(database, SqlArchive(database, blobs), blobs, WEEK)


CT1, MR1 = AETitle("CT1"), AETitle("MR1")


def test_an_answer_is_told_until_it_was_heard(
    ledger: SqlLedger, blobs: FolderBlobs, promises: SqlCommitments, database: Database
) -> None:
    """From its due time on, by one of several, and again after a lease: also after a restart."""
    arrive(ledger, blobs, CT)
    other = Asked(SOPClassUID("1.2.840.10008.5.1.4.1.1.4"), ONE.sop_instance_uid)
    said = promises.promise("1.9", [ONE, ABSENT, other], CT1, NOON, NOON + MINUTE)
    assert len(items(said, "ReferencedSOPSequence")) == 1
    assert len(items(said, "FailedSOPSequence")) == 2
    assert promises.claim_untold(NOON, MINUTE) is None
    restarted = SqlCommitments(database, SqlArchive(database, blobs), blobs, WEEK)
    untold = restarted.claim_untold(NOON + MINUTE, MINUTE)
    assert untold is not None
    assert (untold.transaction_uid, untold.ae_title, untold.attempts) == ("1.9", "CT1", 1)
    assert untold.answer == said
    assert promises.claim_untold(NOON + MINUTE, MINUTE) is None
    again = promises.claim_untold(NOON + 2 * MINUTE, MINUTE)
    assert again is not None
    assert again.attempts == 2
    promises.not_told("1.9", NOON + HOUR)
    assert promises.claim_untold(NOON + 10 * MINUTE, MINUTE) is None
    assert promises.claim_untold(NOON + HOUR, MINUTE) is not None
    promises.told("1.9")
    promises.not_told("1.9", NOON)
    assert promises.claim_untold(NOON + DAY, MINUTE) is None


def test_an_answer_outlives_the_studies_until_it_was_heard(
    ledger: SqlLedger, promises: SqlCommitments
) -> None:
    """Studies go early where room is short, and the modality was off that night; not for ever."""
    for uid in ("1.8", "1.9"):
        promises.promise(uid, [ABSENT], CT1, NOON, NOON + MINUTE)
    promises.told("1.8")
    ledger.forget(NOON + HOUR)
    assert promises.answer("1.8") is None
    untold = promises.claim_untold(NOON + DAY, MINUTE)
    assert untold is not None
    assert untold.transaction_uid == "1.9"
    ledger.forget(NOON + STILL_TOLD + HOUR)
    assert promises.claim_untold(NOON + 30 * DAY, MINUTE) is None


def test_who_asks_again_is_answered_anew(
    ledger: SqlLedger, blobs: FolderBlobs, promises: SqlCommitments
) -> None:
    """It has lost our answer, and the instance may have come since; a stranger is refused."""
    assert not items(promises.promise("1.9", [ONE], CT1, NOON, NOON), "ReferencedSOPSequence")
    promises.told("1.9")
    arrive(ledger, blobs, CT)
    assert items(promises.promise("1.9", [ONE], CT1, NOON, NOON), "ReferencedSOPSequence")
    assert promises.claim_untold(NOON, MINUTE) is not None
    with pytest.raises(TransactionKnown):
        promises.promise("1.9", [ONE], MR1, NOON, NOON)
    with pytest.raises(TransactionKnown):
        promises.commit("1.9", [ONE], NOON)
    promises.commit("1.8", [ONE], NOON)
    with pytest.raises(TransactionKnown):
        promises.promise("1.8", [ONE], CT1, NOON, NOON)
