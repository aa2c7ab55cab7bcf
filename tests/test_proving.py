"""Asking destinations: what an answer, silence and a refusal do to the ledger."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.errors import (
    IllegalMove,
    NodeError,
    OutOfResources,
    PeerRejected,
    PeerUnavailable,
)
from dicom_ai_node.domain.job import DeliveryState, Stage
from dicom_ai_node.domain.proof import Report, Unproven
from dicom_ai_node.proving import AWAY, REFUSED, Asker, Proving
from dicom_ai_node.roles import LONGEST_ROUND_SECONDS
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import migrate
from tests.store.made import HOUR, MINUTE, NOON, SECOND, delivered, stage_of

KEPT = [DeliveryState.COMMITTED] * 2


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """Return an empty ledger."""
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    migrate(database)
    yield SqlLedger(database)
    database.close()


@dataclass
class ScriptedPacs:
    """Answers each request with the next entry of `script`; keeps all when the script is over."""

    ledger: SqlLedger
    script: list[NodeError | None] = field(default_factory=list)
    now: datetime = NOON
    at_once: int = 1000

    def ask(self, transaction_uid: str, unproven: Sequence[Unproven]) -> None:
        """Raise an error, stay silent at `None`, or keep everything."""
        if not self.script:
            kept = frozenset(one.sop_instance_uid for one in unproven)
            self.ledger.hear(Report(transaction_uid=transaction_uid, kept=kept), self.now)
        elif (error := self.script.pop(0)) is not None:
            raise error

    def desk(self) -> Proving:
        """Return the desk that asks it, at the time of this clock."""
        asker = Asker(prover=self, patience=HOUR, at_once=self.at_once)
        return Proving(ledger=self.ledger, askers={"pacs": asker}, now=lambda: self.now)


@pytest.mark.parametrize(
    ("first", "again"),
    [
        pytest.param(None, HOUR, id="it says nothing"),
        pytest.param(OutOfResources("busy"), HOUR, id="it cannot take the request now"),
        pytest.param(PeerUnavailable("away"), AWAY, id="it is away"),
    ],
)
def test_what_passes_is_tried_again(
    ledger: SqlLedger, first: NodeError | None, again: timedelta
) -> None:
    """Without anyone doing anything, and not before its time."""
    job, pacs = delivered(ledger), ScriptedPacs(ledger, [first])
    desk = pacs.desk()
    assert desk.ask("pacs") == 2
    pacs.now = NOON + again - MINUTE
    assert desk.ask("pacs") == 0
    pacs.now = NOON + again
    assert desk.ask("pacs") == 2
    assert [one.state for one in ledger.deliveries(job.key)] == KEPT
    assert desk.ask("pacs") == 0


@pytest.mark.parametrize("trouble", [PeerUnavailable("away"), PeerRejected("no")])
def test_who_takes_no_request_is_not_asked_about_the_rest(
    ledger: SqlLedger, trouble: NodeError
) -> None:
    """Of thousands of jobs none but a few is written down as asked in five minutes."""
    jobs = [delivered(ledger, uid=f"1.{number + 2}.1") for number in range(3)]
    pacs = ScriptedPacs(ledger, [trouble, trouble, trouble], at_once=2)
    desk = pacs.desk()
    assert [desk.ask("pacs") for _ in range(3)] == [2, 0, 0]
    told = [it.what for job in jobs for it in ledger.time_line(job.key)]
    assert told.count("commitment_asked") == 1
    pacs.now, pacs.script = NOON + AWAY, []
    asked = [desk.ask("pacs") for _ in range(4)]
    assert sum(asked) == (6 if isinstance(trouble, PeerUnavailable) else 4)


def test_who_takes_no_request_stops_no_job(ledger: SqlLedger) -> None:
    """The results are delivered; the deliveries say what it said and what to do, and wait."""
    job = delivered(ledger)
    pacs = ScriptedPacs(ledger, [PeerRejected("pacs takes no Storage Commitment Push Model")])
    assert pacs.desk().ask("pacs") == 2
    assert stage_of(ledger, job) is Stage.DELIVERED
    (note,) = {one.note for one in ledger.deliveries(job.key)}
    assert note.startswith("pacs takes no Storage Commitment Push Model; the operator: ask whoever")
    assert "another `proof`" in note
    pacs.now = NOON + REFUSED - SECOND
    assert pacs.desk().ask("pacs") == 0
    pacs.now = NOON + REFUSED
    assert pacs.desk().ask("pacs") == 2
    assert [one.state for one in ledger.deliveries(job.key)] == KEPT
    assert {one.note for one in ledger.deliveries(job.key)} == {""}


@pytest.mark.parametrize("way", ["by destination", "by job"])
def test_a_person_can_have_it_asked_again_at_once(ledger: SqlLedger, way: str) -> None:
    """When whoever runs it has mended it; nothing is sent again."""
    job = delivered(ledger)
    pacs = ScriptedPacs(ledger, [PeerRejected("no")])
    assert pacs.desk().ask("pacs") == 2
    assert ledger.ask_again("archive") == 0
    if way == "by destination":
        assert ledger.ask_again("pacs") == 2
    else:
        ledger.retry(job, NOON)
    assert ledger.claim_deliveries("pacs", NOON, HOUR) == []
    assert pacs.desk().ask("pacs") == 2
    assert [one.state for one in ledger.deliveries(job.key)] == KEPT
    with pytest.raises(IllegalMove):
        ledger.retry(job, NOON)
    assert ledger.ask_again("pacs") == 0


def test_no_two_requests_have_the_same_transaction(ledger: SqlLedger) -> None:
    """By it a peer shows that it was asked: nobody can tell the next from the last."""
    seen = set()

    class Listening(ScriptedPacs):
        def ask(self, transaction_uid: str, unproven: Sequence[Unproven]) -> None:
            seen.add(transaction_uid)
            super().ask(transaction_uid, unproven)

    for number in range(3):
        delivered(ledger, uid=f"1.{number + 2}.1")
        assert Listening(ledger).desk().ask("pacs") == 2
    assert len(seen) == 3
    assert all(len(uid) <= 64 and uid.startswith("2.25.") for uid in seen)


def test_a_slow_archive_is_no_loop_that_hangs(tmp_path: Path) -> None:
    """It answers each query after twenty seconds: the role is not started again meanwhile."""
    pacs = {"ae_title": "PACS", "host": "localhost", "port": 104}
    config = NodeConfig.model_validate({
        "receive": {"ae_title": "AI_NODE", "accept_from": ["PACS"]},
        "store": {"folder": str(tmp_path)},
        "routes": [{"name": "r", "when": {}, "run": "segment", "model": "m",
                    "write": "segmentation", "to": []}],
        "destinations": {
            "commitment": pacs | {"proof": "commitment"},
            "find": pacs | {"proof": "query"},
            "qido": {"url": "http://localhost/dicom-web", "proof": "query"},
        },
    })  # fmt: skip
    askers = compose.proving_desk(config).askers
    assert askers["commitment"].at_once == 1000, "it is one question"
    for name in ("find", "qido"):
        assert askers[name].at_once * 20 < LONGEST_ROUND_SECONDS
