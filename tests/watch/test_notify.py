"""What happens in the ledger reaches a program, also if it was away or the node was restarted."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.notice import About
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import migrate
from dicom_ai_node.watch.notify import Notifier, Target
from tests.store.made import LEASE, MINUTE, NOON, listed
from tests.watch.test_webhook import Program, program, webhook

__all__ = ["program"]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """Return an empty ledger."""
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    migrate(database)
    yield SqlLedger(database)
    database.close()


def notifier(ledger: SqlLedger, program: Program, clock: Clock) -> Notifier:
    """Return a desk with one target; a restart makes a new one."""
    target = Target(about=frozenset(About), teller=webhook(program.server_port))
    return Notifier(
        ledger=ledger,
        targets={"it": target},
        now=clock,
        next_try=lambda attempts, now: now + attempts * timedelta(minutes=1),
    )


def test_a_program_that_was_away_is_told_when_it_is_back(
    ledger: SqlLedger, program: Program
) -> None:
    """Under the same id, after a pause, and by another process if it must be."""
    clock = Clock()
    assert notifier(ledger, program, clock).gather() == 0
    listed(ledger)
    (job,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert ledger.move(job, Stage.PARKED, NOON, who=Who.PERSON)
    clock.at += MINUTE
    program.status = 503
    first = notifier(ledger, program, clock)
    assert (first.gather(), first.tell("it"), first.tell("it")) == (1, 1, 0)
    program.status = 200
    clock.at += MINUTE
    again = notifier(ledger, program, clock)
    assert (again.gather(), again.tell("it"), again.tell("it")) == (0, 1, 0)
    ids = [headers["webhook-id"] for headers, _ in program.heard]
    assert len(ids) == 2
    assert len(set(ids)) == 1
