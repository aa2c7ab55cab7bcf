"""Asking a PACS whether it keeps what it was sent, whatever it answers, and telling a modality."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt, service_class
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from dicom_ai_node.deliver.commitment import CommitmentProver, tell
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.found_there import FindProver, QidoProver
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.domain.commitment import Untold
from dicom_ai_node.domain.commitment_messages import SOP_CLASS, read_report
from dicom_ai_node.domain.destination import DimsePeer, WebPeer
from dicom_ai_node.domain.errors import (
    NodeError,
    OutOfResources,
    PeerRejected,
    PeerUnavailable,
)
from dicom_ai_node.domain.json_model import data_set
from dicom_ai_node.domain.proof import Report, Unproven
from dicom_ai_node.domain.uids import (
    AETitle,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)
from tests.peers.archive import archive
from tests.peers.committing import MODEL, Committer, listening
from tests.peers.tools import free_port

HERE, GONE = SOPInstanceUID("2.25.1.1"), SOPInstanceUID("2.25.1.2")


def unproven(uid: SOPInstanceUID) -> Unproven:
    """Return an object that a destination has taken."""
    return Unproven(
        study_instance_uid=StudyInstanceUID("1.2"),
        series_instance_uid=SeriesInstanceUID("2.25.1"),
        sop_class_uid=SOPClassUID("1.2.840.10008.5.1.4.1.1.66.4"),
        sop_instance_uid=uid,
    )


BOTH = [unproven(HERE), unproven(GONE)]


def sender(port: int) -> DimseSender:
    """Return a way to a PACS on loopback."""
    peer = DimsePeer(
        ae_title=AETitle("PACS"), host="127.0.0.1", port=port, calling_ae_title=AETitle("AI_NODE")
    )
    return DimseSender(peer, connect_seconds=3, dimse_seconds=5)


class Ear:
    """Hears reports, and knows the requests of `known`."""

    def __init__(self, *known: str, seconds: float = 0.0) -> None:
        self.known, self.heard, self.seconds = known, list[Report](), seconds

    def __call__(self, report: Report) -> bool:
        time.sleep(self.seconds)
        self.heard.append(report)
        return report.transaction_uid in self.known


def asked(port: int, ear: Ear, wait_seconds: float = 20.0) -> None:
    """Ask a PACS about two objects."""
    prover = CommitmentProver(sender(port), "pacs", ear, wait_seconds)
    prover.ask("1.9.1", BOTH)


def test_the_answer_comes_where_it_was_asked() -> None:
    """What is kept, and what is not and why; the wait ends with it, and it is acknowledged."""
    ear = Ear("1.9.1")
    with listening(Committer(failed={GONE: 0x0112})) as pacs:
        began = time.monotonic()
        asked(pacs.port, ear, wait_seconds=600)
        assert time.monotonic() - began < 300
    [(transaction, named)] = pacs.requests
    assert transaction == "1.9.1"
    assert [one.sop_instance_uid for one in named] == [HERE, GONE]
    assert ear.heard == [
        Report(transaction_uid="1.9.1", kept=frozenset({HERE}), failed={GONE: 0x0112})
    ]
    assert pacs.answers == [0x0000]


def test_an_association_ends_when_what_has_come_has_been_entered() -> None:
    """A ledger that takes longer than the wait: pynetdicom would never release it otherwise."""
    ear = Ear("1.9.1", seconds=0.5)
    with listening(Committer()) as pacs:
        asked(pacs.port, ear, wait_seconds=0.1)
        asked(pacs.port, ear, wait_seconds=600)
    assert len(ear.heard) == 2
    assert pacs.answers == [0x0000] * 2


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    """It comes to our port, or the ledger asks again."""
    ear = Ear("1.9.1")
    with listening(Committer(where="nowhere")) as pacs:
        asked(pacs.port, ear, wait_seconds=0.1)
    assert len(pacs.requests) == 1
    assert ear.heard == []


def test_an_answer_to_what_nobody_asked_is_acknowledged_and_changes_nothing() -> None:
    """It would be said for ever otherwise."""
    ear = Ear("1.9.1")
    with listening(Committer(transaction="1.2.3")) as pacs:
        asked(pacs.port, ear, wait_seconds=1)
    assert [one.transaction_uid for one in ear.heard] == ["1.2.3"]
    assert pacs.answers == [0x0000]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(0x0110, OutOfResources, id="processing failure"),
        pytest.param(0x0213, OutOfResources, id="resource limitation"),
        pytest.param(0x0122, PeerRejected, id="SOP class not supported"),
        pytest.param(0x0124, PeerRejected, id="not authorized"),
    ],
)
def test_a_refused_request_says_who_has_to_act(status: int, error: type[NodeError]) -> None:
    """Some pass, others are for the operator of the PACS."""
    with listening(Committer(status=status)) as pacs, pytest.raises(error, match=f"{status:04X}"):
        asked(pacs.port, Ear("1.9.1"))


def test_a_pacs_that_offers_no_commitment_is_named() -> None:
    """The context is not accepted: `proof: query` is what remains."""
    with (
        archive([(MODEL, ["1.2.840.10008.1.2.4.50"])]) as pacs,
        pytest.raises(PeerRejected, match="Storage Commitment Push Model"),
    ):
        asked(pacs.port, Ear())


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda port: asked(port, Ear()), id="commitment"),
        pytest.param(
            lambda port: FindProver(sender(port), "pacs", Ear()).ask("1.9.1", BOTH), id="C-FIND"
        ),
        pytest.param(
            lambda port: QidoProver(
                WebSender(WebPeer(url=f"http://127.0.0.1:{port}/dicom-web")),
                f"http://127.0.0.1:{port}/dicom-web", "pacs", Ear(),
            ).ask("1.9.1", BOTH),
            id="QIDO-RS",
        ),
    ],
)  # fmt: skip
def test_a_pacs_that_is_away_is_asked_later(ask: Callable[[int], None]) -> None:
    """Nobody has to act."""
    with pytest.raises(PeerUnavailable):
        ask(free_port())


def test_what_a_query_finds_is_kept() -> None:
    """By C-FIND at the level of instances, one question for the series."""
    ear = Ear("1.9.1")
    with listening(Committer(finds=[HERE, "1.2.3"])) as pacs:
        FindProver(sender(pacs.port), "pacs", ear).ask("1.9.1", BOTH)
    assert ear.heard == [
        Report(transaction_uid="1.9.1", kept=frozenset({HERE}), failed={GONE: 0x0112})
    ]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(0xA700, OutOfResources, id="out of resources"),
        pytest.param(0xC001, OutOfResources, id="unable to process"),
        pytest.param(0xA900, PeerRejected, id="another data set than it wants"),
        pytest.param(0x0122, PeerRejected, id="SOP class not supported"),
    ],
)
def test_a_refused_query_proves_nothing(status: int, error: type[NodeError]) -> None:
    """It is no sign that the objects are gone; where it passes nobody has to look."""
    ear = Ear("1.9.1")
    with (
        listening(Committer(finds=[], status=status)) as pacs,
        pytest.raises(error, match=f"{status:04X}"),
    ):
        FindProver(sender(pacs.port), "pacs", ear).ask("1.9.1", BOTH)
    assert ear.heard == []


def test_an_answer_that_cannot_be_read_names_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer of nonsense is no reason to take the PACS for gone, and to ask it for ever."""
    encode = service_class.encode

    def garbled(*said: Any) -> bytes | None:  # noqa: ANN401 - as pynetdicom calls it
        encoded = encode(*said)
        return encoded and encoded.replace(b"UI\x08\x00" + GONE.encode(), b"ZZ\x08\x002.25.1.2")

    def find(_event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        for uid in (GONE, HERE):
            found = Dataset()
            found.SOPInstanceUID = uid
            yield 0xFF00, found

    monkeypatch.setattr(service_class, "encode", garbled)
    ae = AE("PACS")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind, ExplicitVRLittleEndian)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)])
    ear = Ear("1.9.1")
    try:
        FindProver(sender(server.server_address[1]), "pacs", ear).ask("1.9.1", BOTH)
    finally:
        server.shutdown()
        server.server_close()
    assert [one.kept for one in ear.heard] == [{HERE}]


def test_a_modality_is_told_on_an_association_of_ours() -> None:
    """We are the provider on it, by role selection."""
    heard: list[tuple[int, Dataset]] = []
    ae = AE("PACS")
    ae.add_supported_context(MODEL, scu_role=False, scp_role=True)

    def reported(event: evt.Event) -> tuple[int, None]:
        heard.append((event.event_type, event.event_information))
        return 0x0000, None

    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reported)]
    )
    reference = data_set(ReferencedSOPClassUID=SOP_CLASS, ReferencedSOPInstanceUID=HERE)
    failure = data_set(
        ReferencedSOPClassUID=SOP_CLASS, ReferencedSOPInstanceUID=GONE, FailureReason=0x0112
    )
    answers = [
        data_set(ReferencedSOPSequence=[reference]),
        data_set(ReferencedSOPSequence=[reference], FailedSOPSequence=[failure]),
    ]
    try:
        for answer in answers:
            untold = Untold(
                transaction_uid="1.9.1", ae_title=AETitle("PACS"), answer=answer, attempts=1
            )
            tell(sender(server.server_address[1]), untold)
    finally:
        server.shutdown()
        server.server_close()
    assert [kind for kind, _ in heard] == [1, 2]
    assert read_report(heard[1][1]) == Report(
        transaction_uid="1.9.1", kept=frozenset({HERE}), failed={GONE: 0x0112}
    )


def test_a_modality_that_takes_no_report_is_told_later() -> None:
    """It keeps the role of the provider for itself, or says no."""
    untold = Untold(transaction_uid="1.9", ae_title=AETitle("PACS"), answer={}, attempts=1)
    with listening(Committer()) as pacs, pytest.raises(NodeError):
        tell(sender(pacs.port), untold)
