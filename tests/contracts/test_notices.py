"""Who is told what, in SQLite and in PostgreSQL alike: at least once, and nothing of before."""

import inspect

import pytest

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.notice import About, Notices
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.domain.rule import Priority
from dicom_ai_node.store.ledger import SqlLedger
from tests.store.made import DAY, HOUR, LEASE, MINUTE, NOON, SECOND, delivered, listed, sha

ALL = [("it", frozenset(About))]


def test_it_is_what_the_port_asks_for() -> None:
    """Every method of the port is there, and can be called as the port says."""
    for name, asked in inspect.getmembers(Notices, inspect.isfunction):
        if not name.startswith("_"):
            there = inspect.signature(getattr(SqlLedger, name)).parameters
            wanted = inspect.signature(asked).parameters
            assert list(there)[: len(wanted)] == list(wanted), name


@pytest.fixture
def watched(ledger: SqlLedger) -> SqlLedger:
    """Return a ledger with a target that has been there from the beginning."""
    assert ledger.gather(ALL, NOON) == 0
    return ledger


def park(ledger: SqlLedger, uid: str = "1.2.1") -> str:
    """Let a job stop and return its name."""
    listed(ledger, uid=uid)
    (job,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert ledger.move(job, Stage.PARKED, NOON, note="no", who=Who.PERSON)
    return job.name


def test_a_job_that_has_stopped_is_told_once(watched: SqlLedger) -> None:
    """With its route, its model and who has to act; what is wrong, the console says."""
    name = park(watched)
    assert watched.gather(ALL, NOON + MINUTE) == 1
    assert watched.gather(ALL, NOON + MINUTE) == 0
    (notice,) = watched.claim_notices("it", NOON + MINUTE, LEASE)
    fact = notice.fact
    assert (fact.about, fact.at, fact.job, fact.route) == (About.FAILED, NOON, name, "liver")
    assert (fact.model, fact.stage, fact.who) == ("liver_ct", "parked", Who.PERSON)
    assert watched.told(notice, NOON + MINUTE)
    assert watched.claim_notices("it", NOON + DAY, LEASE) == ()


def test_what_was_before_is_not_told(ledger: SqlLedger) -> None:
    """A new target hears of nothing that has happened before it was there."""
    park(ledger)
    assert ledger.gather(ALL, NOON + MINUTE) == 0
    assert ledger.gather(ALL, NOON + MINUTE) == 0


def test_a_fact_is_looked_at_when_nothing_earlier_can_come(watched: SqlLedger) -> None:
    """Another process may still be writing an earlier one."""
    park(watched)
    assert watched.gather(ALL, NOON + SECOND) == 0
    assert watched.gather(ALL, NOON + MINUTE) == 1


def test_what_was_not_let_in_is_told(watched: SqlLedger) -> None:
    """By its number in the quarantine; never who sent it or whose it is."""
    number = watched.quarantine(sha("odd"), "no data set", "CT1", NOON)
    assert watched.gather(ALL, NOON + MINUTE) == 1
    (notice,) = watched.claim_notices("it", NOON + MINUTE, LEASE)
    assert (notice.fact.about, notice.fact.quarantine) == (About.QUARANTINED, number)


@pytest.mark.parametrize(
    ("priority", "told"),
    [
        pytest.param(Priority.STAT, 1, id="stat"),
        pytest.param(Priority.ROUTINE, 0, id="routine"),
    ],
)
def test_only_stat_tells_that_it_is_delivered(
    watched: SqlLedger, priority: Priority, told: int
) -> None:
    """Nobody wants a message about each of a thousand studies."""
    delivered(watched, priority=priority)
    assert watched.gather(ALL, NOON + MINUTE) == told


def test_a_destination_that_proves_nothing_is_told_once(watched: SqlLedger) -> None:
    """As a matter of the destination: not for every job, nor every time it is asked."""
    for number in range(3):
        delivered(watched, uid=f"1.{number}.1")
    for number in range(2):
        now = NOON + number * HOUR
        assert len(watched.claim_unproven("pacs", f"1.9.{number}", now, HOUR, 0 * HOUR)) == 6
        watched.refused(f"1.9.{number}", now, "no", now + HOUR)
    assert watched.gather(ALL, NOON + DAY) == 1
    (notice,) = watched.claim_notices("it", NOON + DAY, LEASE)
    assert (notice.fact.about, notice.fact.destination) == (About.UNPROVEN, "pacs")
    assert (notice.fact.at, notice.fact.job) == (NOON, "")


def test_a_target_hears_what_it_wants(watched: SqlLedger) -> None:
    """Each at its own pace, each only what it has asked for."""
    both = [*ALL, ("radiology", frozenset({About.STAT_FINISHED}))]
    assert watched.gather(both, NOON) == 0
    park(watched)
    delivered(watched, uid="1.3.1", priority=Priority.STAT)
    assert watched.gather(both, NOON + MINUTE) == 3
    (one,) = watched.claim_notices("radiology", NOON + MINUTE, LEASE)
    assert one.fact.about is About.STAT_FINISHED
    assert len(watched.claim_notices("it", NOON + MINUTE, LEASE)) == 2


def test_what_was_not_told_is_told_later(watched: SqlLedger) -> None:
    """Under the same number, so that the other side can leave out what it knows."""
    park(watched)
    watched.gather(ALL, NOON + MINUTE)
    (first,) = watched.claim_notices("it", NOON + MINUTE, LEASE)
    assert watched.claim_notices("it", NOON + MINUTE, LEASE) == ()
    assert watched.not_told(first, "no answer", NOON + 2 * MINUTE)
    assert watched.claim_notices("it", NOON + MINUTE, LEASE) == ()
    (again,) = watched.claim_notices("it", NOON + 2 * MINUTE, LEASE)
    assert (again.number, again.attempts, again.fact) == (first.number, 2, first.fact)
    assert not watched.told(first, NOON)
    assert watched.told(again, NOON)


def test_who_dies_while_telling_is_replaced(watched: SqlLedger) -> None:
    """After its lease; what it has told may be told twice, never not at all."""
    park(watched)
    watched.gather(ALL, NOON + MINUTE)
    assert len(watched.claim_notices("it", NOON + MINUTE, LEASE)) == 1
    assert len(watched.claim_notices("it", NOON + MINUTE + LEASE, LEASE)) == 1


def test_the_numbers_are_those_of_the_moment(ledger: SqlLedger) -> None:
    """Jobs by route and stage, and since when the oldest waits."""
    listed(ledger)
    listed(ledger, uid="1.3.1", now=NOON + MINUTE)
    found = ledger.numbers()
    assert found.jobs == {("liver", Stage.READY): 2}
    assert found.waiting_since == {Stage.READY: NOON}
    assert (found.counts["instances"], found.deliveries, found.undelivered_since) == (6, {}, {})
