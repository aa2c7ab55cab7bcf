"""The audit trail, in SQLite and in PostgreSQL alike: a chain in which nothing can be changed."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, text, update

from dicom_ai_node.compose.carrying import Leaving, came
from dicom_ai_node.domain.accounts import Account, Role, Visit
from dicom_ai_node.domain.audit import (
    Act,
    Actor,
    Asked,
    AuditFilter,
    Backlog,
    Happening,
    Kind,
    Message,
    Outcome,
    Part,
    Participant,
    Passage,
    StudyTold,
    Trail,
    Verdict,
    Way,
)
from dicom_ai_node.domain.happenings import accessed, alarm, queried
from dicom_ai_node.domain.uids import SOPClassUID
from dicom_ai_node.store.accounts import SqlAccounts
from dicom_ai_node.store.archive_tables import held_studies
from dicom_ai_node.store.audit import SqlTrail
from dicom_ai_node.store.audit_tables import audit_anchors, audit_notes, audit_records
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.watch.audit_message import Source, message
from tests.store.made import DAY, MINUTE, NOON, QUIET, SECOND, arrival, delivered
from tests.watch.audit_schema import objections

LONGEST_DATAGRAM = 65_507
MESSAGE = Message(
    at=NOON, kind=Kind.QUERY, outcome=Outcome.SUCCESS, who="CT1 192.0.2.1", text="<AuditMessage/>"
)
EVERYTHING = AuditFilter()


@pytest.fixture
def trail(database: Database) -> SqlTrail:
    """Return an empty trail."""
    return SqlTrail(database)


def filled(trail: SqlTrail, count: int = 5) -> None:
    """Seal so many records, a minute apart."""
    messages = [
        replace(MESSAGE, at=NOON + number * MINUTE, text=f"<AuditMessage n='{number}'/>")
        for number in range(1, count + 1)
    ]
    assert trail.seal(messages, []) == count


def numbers(trail: SqlTrail, which: AuditFilter = EVERYTHING) -> list[int]:
    """Return the numbers of the records that match."""
    return [one.number for one in trail.records(which)]


def test_it_is_what_the_port_asks_for() -> None:
    """Every method of the port is there, and can be called as the port says."""
    for name, asked in inspect.getmembers(Trail, inspect.isfunction):
        if not name.startswith("_"):
            there = inspect.signature(getattr(SqlTrail, name)).parameters
            assert list(there) == list(inspect.signature(asked).parameters), name


HAPPENINGS = [
    pytest.param(
        accessed(Actor(name="ann", address="192.0.2.7"), [StudyTold(study_instance_uid="1.2")], NOON),
        id="a study was looked at",
    ),
    pytest.param(
        queried(
            Participant(name="PACS", ae_title="PACS", part=Part.SOURCE),
            Asked(sop_class_uid="1.2.3", transfer_syntax_uid="1.2", query=b"\x08\0R\0\xff"),
            NOON,
        ),
        id="bytes that are no text",
    ),
    pytest.param(
        alarm(Act.NODE_AUTHENTICATION, Participant(address="192.0.2.9"), "no", NOON),
        id="an alert",
    ),
]  # fmt: skip


@pytest.mark.parametrize("happening", HAPPENINGS)
def test_what_was_noted_comes_back_as_it_was(trail: SqlTrail, happening: Happening) -> None:
    """Until it is sealed; then it is a record."""
    trail.note(happening)
    (note,) = trail.noted()
    assert note.what == happening
    assert trail.seal([MESSAGE], [note.number]) == 1
    assert trail.noted() == []
    (record,) = trail.records(EVERYTHING)
    assert (record.number, record.message, record.sent_at) == (1, MESSAGE, None)


def test_a_note_is_sealed_once(trail: SqlTrail) -> None:
    """Whoever is second has done nothing."""
    trail.note(HAPPENINGS[0].values[0])  # type: ignore[arg-type]
    (note,) = trail.noted()
    assert trail.seal([MESSAGE], [note.number]) == 1
    assert trail.seal([MESSAGE], [note.number]) == 0
    assert numbers(trail) == [1]
    assert trail.verify() == Verdict(records=1)


def test_arrivals_are_noted_with_them(trail: SqlTrail, ledger: SqlLedger) -> None:
    """One note per batch, sender, study and SOP class, not one per instance."""
    batch = [arrival(number) for number in range(1, 101)]
    ledger.record([*batch, arrival(1, "1.3.1", "1.3")], NOON, QUIET)
    ledger.record(batch[:2], NOON + SECOND, QUIET)
    found = {(one.what.study_instance_uid, one.what.count, one.what.is_known)  # type: ignore[union-attr]
             for one in trail.noted()}  # fmt: skip
    assert found == {("1.2", 100, False), ("1.3", 1, False), ("1.2", 2, True)}
    passage = trail.noted()[0].what
    assert isinstance(passage, Passage)
    assert (passage.way, passage.peer, passage.address) == (Way.IN, "CT1", "192.0.2.1")


def test_an_arrival_that_is_not_recorded_is_not_noted(trail: SqlTrail, ledger: SqlLedger) -> None:
    """One transaction: both, or nothing."""
    broken = arrival(1)
    broken = replace(broken, instance=replace(broken.instance, sop_class_uid=None))
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the database says
        ledger.record([broken], NOON, QUIET)
    assert trail.noted() == []


def test_records_are_found_by_time_kind_and_who(trail: SqlTrail) -> None:
    """Newest first, and a page at a time."""
    filled(trail)
    trail.seal([replace(MESSAGE, kind=Kind.SECURITY_ALERT, who="100% mad_man", at=NOON + DAY)], [])
    assert numbers(trail) == [6, 5, 4, 3, 2, 1]
    assert numbers(trail, AuditFilter(kind=Kind.SECURITY_ALERT)) == [6]
    assert numbers(trail, AuditFilter(who="0% MAD_")) == [6]
    assert numbers(trail, AuditFilter(who="%")) == [6]
    assert numbers(trail, AuditFilter(since=NOON + 4 * MINUTE, until=NOON + 5 * MINUTE)) == [4]
    assert numbers(trail, AuditFilter(before=4, limit=2)) == [3, 2]
    assert [one.number for one in trail.oldest_first(AuditFilter(who="ct1"))] == [1, 2, 3, 4, 5]
    assert trail.record(6) is not None
    assert trail.record(7) is None


def test_a_whole_chain_is_whole(trail: SqlTrail) -> None:
    """Each record has the hash of the one before it; the first has none before it."""
    assert trail.verify() == Verdict(records=0)
    filled(trail, 1200)
    assert trail.verify() == Verdict(records=1200)
    records = list(trail.oldest_first(EVERYTHING))
    assert [one.previous for one in records[1:]] == [one.sha256 for one in records[:-1]]


CHANGES = [
    pytest.param([update(audit_records).where(audit_records.c.number == 3).values(text="<x/>")],
                 3, "changed", id="another text"),
    pytest.param([update(audit_records).where(audit_records.c.number == 3).values(who="")],
                 3, "changed", id="somebody else"),
    pytest.param([update(audit_records).where(audit_records.c.number == 3).values(kind="fun")],
                 3, "changed", id="another kind"),
    pytest.param([update(audit_records).where(audit_records.c.number == 3).values(outcome=8)],
                 3, "changed", id="another outcome"),
    pytest.param([delete(audit_records).where(audit_records.c.number == 3)],
                 3, "removed", id="one removed"),
    pytest.param([delete(audit_records).where(audit_records.c.number == 1)],
                 1, "removed", id="the first removed"),
    pytest.param([delete(audit_records).where(audit_records.c.number == 5)],
                 5, "removed", id="the last removed"),
    pytest.param([delete(audit_records)], 1, "removed", id="all removed"),
    pytest.param([update(audit_records).where(audit_records.c.number == 2).values(number=99),
                  update(audit_records).where(audit_records.c.number == 3).values(number=2),
                  update(audit_records).where(audit_records.c.number == 99).values(number=3)],
                 2, "follow", id="two in another order"),
    pytest.param([delete(audit_anchors)], 5, "ended", id="the anchors removed"),
]  # fmt: skip


@pytest.mark.parametrize(("statements", "broken", "why"), CHANGES)
def test_tampering_is_found(
    trail: SqlTrail, database: Database, statements: Sequence[object], broken: int, why: str
) -> None:
    """With the number of the first record that is not what it was."""
    filled(trail)
    with database.writing() as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload]
    found = trail.verify()
    assert found.broken == broken
    assert why in found.why


def test_a_record_that_nobody_sealed_is_found(trail: SqlTrail, database: Database) -> None:
    """Even one whose own hash is right."""
    filled(trail)
    with database.writing() as connection:
        row = connection.execute(select(audit_records).where(audit_records.c.number == 5)).one()
        forged = {**row._mapping, "number": 6, "previous": row.sha256}
        connection.execute(insert(audit_records).values(forged))
    assert trail.verify().broken == 6


def test_old_records_go_and_the_rest_can_still_be_verified(
    trail: SqlTrail, database: Database
) -> None:
    """The chain is anchored where it was cut, so that nobody else can cut it."""
    filled(trail)
    assert trail.expire(NOON + 3 * MINUTE, only_sent=False) == 2
    assert numbers(trail) == [5, 4, 3]
    assert trail.verify() == Verdict(records=3)
    with database.writing() as connection:
        connection.execute(delete(audit_records).where(audit_records.c.number == 3))
    assert trail.verify().broken == 3
    assert trail.expire(NOON + DAY, only_sent=False) == 2
    assert trail.verify() == Verdict(records=0)
    filled(trail, 1)
    assert numbers(trail) == [6]
    assert trail.verify() == Verdict(records=1)


def test_what_the_repository_does_not_have_stays(trail: SqlTrail) -> None:
    """However old it is; and what came after it, or the chain would have a hole."""
    filled(trail)
    trail.sent([1, 2, 4, 5], NOON + DAY)
    assert trail.backlog() == Backlog(records=1, since=NOON + 3 * MINUTE)
    assert [one.number for one in trail.unsent()] == [3]
    assert trail.expire(NOON + DAY, only_sent=True) == 2
    assert numbers(trail) == [5, 4, 3]
    assert trail.verify() == Verdict(records=3)


def test_what_is_settled_is_told_from_what_is_new(trail: SqlTrail) -> None:
    """The value before is the answer."""
    assert trail.settle("configuration", "a") is None
    assert trail.settle("configuration", "a") == "a"
    assert trail.settle("configuration", "b") == "a"
    assert trail.settle("configuration", "b") == "b"


def test_the_time_of_a_record_is_part_of_it(trail: SqlTrail, database: Database) -> None:
    """To the microsecond."""
    at = NOON + timedelta(microseconds=123_456)
    trail.seal([replace(MESSAGE, at=at)], [])
    assert trail.verify() == Verdict(records=1)
    with database.writing() as connection:
        connection.execute(update(audit_records).values(at=at + timedelta(microseconds=1)))
    assert trail.verify().broken == 1
    with database.writing() as connection:
        connection.execute(text("UPDATE audit_records SET sent_at = NULL"))


def test_what_goes_to_a_destination_is_noted(trail: SqlTrail, ledger: SqlLedger) -> None:
    """In the transactions in which it is claimed, and in which it is done."""
    delivered(ledger)
    sent = [one.what for one in trail.noted() if isinstance(one.what, Passage)][1:]
    assert {(one.way, one.peer, one.study_instance_uid) for one in sent} == {
        (Way.BEGIN, "pacs", "1.2"),
        (Way.OUT, "pacs", "1.2"),
    }
    begun, done = (sum(o.count for o in sent if o.way is w) for w in (Way.BEGIN, Way.OUT))
    assert begun == done > 0


def test_what_retention_removes_is_noted(trail: SqlTrail, ledger: SqlLedger) -> None:
    """By the node itself, with what there was."""
    delivered(ledger)
    assert ledger.forget(NOON + DAY).studies == 1
    gone = [one.what for one in trail.noted() if isinstance(one.what, Happening)]
    (study,) = gone[-1].studies
    assert gone[-1].kind is Kind.STUDY_DELETED
    assert (study.study_instance_uid, *study.sop_classes.values()) == ("1.2", 3)


def test_who_comes_and_goes_is_noted(trail: SqlTrail, database: Database) -> None:
    """With the name of the account and from where; never with the secret of the session."""
    accounts = SqlAccounts(database)
    ann = Account(
        name="ann", roles=frozenset({Role.VIEWER}), password_hash="", created_at=NOON
    )  # fmt: skip
    accounts.add_account(ann)
    visit = Visit(digest="d", expires_at=NOON + DAY, address="192.0.2.7", agent="")
    accounts.log_in(ann, visit, NOON)
    accounts.log_out("d")
    accounts.log_out("d")
    told = [one.what for one in trail.noted() if isinstance(one.what, Happening)]
    assert [one.act for one in told] == [Act.LOGIN, Act.LOGOUT]
    assert {(one.participants[0].name, one.participants[0].address) for one in told} == {
        ("ann", "192.0.2.7")
    }


def test_all_that_is_here_is_told_in_messages_that_fit(
    trail: SqlTrail, ledger: SqlLedger, database: Database
) -> None:
    """Each study once, with its patient where it is known; each message fits into a datagram."""
    kinds = [f"1.2.840.10008.5.1.4.1.1.{number}" for number in range(1, 31)]
    arrivals = [
        replace(one, instance=replace(one.instance, sop_class_uid=SOPClassUID(kind)))
        for study in range(1, 61)
        for number, kind in enumerate(kinds[: study % 31 or 1], 1)
        for one in [arrival(number, f"1.{study}.1", f"1.{study}")]
    ]
    ledger.record(arrivals, NOON, QUIET)
    known = {
        "patient_name": "", "accession_number": "", "study_date": "", "is_odd": False, "header": {},
    }  # fmt: skip
    with database.writing() as connection:
        row = {"study_instance_uid": "1.7", "patient_id": "P7" * 32, **known}
        connection.execute(insert(held_studies), [row])
    _forget_notes(trail, database)
    came(database, Actor(name="ann"), Path("/mnt/safe"))
    told = [one.what for one in trail.noted()]
    source = Source(ae_title="AI_NODE", host="ai.example", process="1")
    assert len(told) > 2
    for one in told:
        assert isinstance(one, Happening)
        text = message(one, source).text
        assert objections(text, Kind.DATA_IMPORT) == []
        assert len(text.encode()) < LONGEST_DATAGRAM - 1000
    studies = [study for one in told for study in one.studies]  # type: ignore[union-attr]
    assert len({one.study_instance_uid for one in studies}) == len(studies) == 60
    by_uid = {one.study_instance_uid: one for one in studies}
    assert by_uid["1.7"].patient_id == "P7" * 32
    assert by_uid["1.30"].sop_classes == dict.fromkeys(kinds[:30], 1)


def test_what_comes_while_a_backup_is_made_is_told_when_it_ends(
    trail: SqlTrail, ledger: SqlLedger, database: Database, url: str
) -> None:
    """The backup may have it or not; what has left already is not told again."""
    ledger.record([arrival(1, "1.1.1", "1.1"), arrival(1, "1.2.1", "1.2")], NOON, QUIET)
    _forget_notes(trail, database)
    leaving = Leaving(url, Actor(name="ann"), Path("/mnt/safe"))
    leaving.begins()
    ledger.record([arrival(2, "1.2.1", "1.2"), arrival(1, "1.3.1", "1.3")], NOON, QUIET)
    leaving.ends()
    leaving.ends()
    told = [one.what for one in trail.noted() if isinstance(one.what, Happening)]
    assert [[study.study_instance_uid for study in one.studies] for one in told] == [
        ["1.1", "1.2"], ["1.2", "1.3"],
    ]  # fmt: skip
    assert leaving.untold == ""


def _forget_notes(trail: SqlTrail, database: Database) -> None:
    with database.writing() as connection:
        connection.execute(delete(audit_notes))
    assert trail.noted() == []
