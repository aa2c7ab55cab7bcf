"""The sub-operations of a C-MOVE: one outcome per object, whatever the destination does."""

import time
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, evt

from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.forward import forward
from dicom_ai_node.deliver.parcel import Parcel, pack
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.query_retrieve import Originator, Outcome, outcome_of
from dicom_ai_node.domain.uids import AETitle
from tests.peers.archive import archive
from tests.peers.tools import free_port
from tests.phantoms import ct, mr, write

DONE, WARNED, FAILED = Outcome.COMPLETED, Outcome.WARNING, Outcome.FAILED
ASKED_BY = Originator(ae_title=AETitle("VIEWER"), message_id=77)
PLAIN = [(CTImageStorage, [ExplicitVRLittleEndian])]


def sender(port: int) -> DimseSender:
    """Return a sender to a port of loopback."""
    peer = DimsePeer(
        ae_title=AETitle("PACS"), host="127.0.0.1", port=port, calling_ae_title=AETitle("AI_NODE")
    )
    return DimseSender(peer, connect_seconds=2, dimse_seconds=5)


@pytest.fixture
def parcels(tmp_path: Path) -> list[Parcel]:
    """Return four CT slices."""
    packed = map(pack, write(ct(slices=4), tmp_path))
    return [one for one in packed if isinstance(one, Parcel)]


def test_every_answer_counts_for_itself(parcels: list[Parcel]) -> None:
    """In the order of the objects; a file that is gone is one failure among others."""
    parcels[3].path.unlink()
    answers = {0: 0x0000, 1: 0xB000, 2: 0xA700}
    with archive(PLAIN, answers.__getitem__) as pacs:
        assert list(forward(sender(pacs.port), parcels, ASKED_BY)) == [DONE, WARNED, FAILED, FAILED]


def test_a_class_that_nobody_takes_fails_alone(parcels: list[Parcel], tmp_path: Path) -> None:
    """The others of the same retrieval arrive."""
    [other] = map(pack, write(mr(slices=1), tmp_path / "mr"))
    assert isinstance(other, Parcel)
    with archive(PLAIN) as pacs:
        assert list(forward(sender(pacs.port), [parcels[0], other, parcels[1]], ASKED_BY)) == [
            DONE, FAILED, DONE,
        ]  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [pytest.param(lambda number: -1 if number == 1 else 0, id="it aborts at the second object")],
)
def test_when_the_destination_is_gone_the_rest_has_failed(
    parcels: list[Parcel], answer: object
) -> None:
    """Nobody waits for each of them in turn."""
    with archive(PLAIN, answer) as pacs:  # type: ignore[arg-type]
        assert list(forward(sender(pacs.port), parcels, ASKED_BY)) == [DONE, *[FAILED] * 3]


def test_where_nobody_listens_all_have_failed(parcels: list[Parcel]) -> None:
    """And nothing is raised: who asked hears of it."""
    assert list(forward(sender(free_port()), parcels, ASKED_BY)) == [FAILED] * 4


def test_who_takes_none_of_the_classes_fails_for_all(parcels: list[Parcel]) -> None:
    """An association without a context is no association."""
    with archive([(MRImageStorage, [ExplicitVRLittleEndian])]) as pacs:
        assert list(forward(sender(pacs.port), parcels, ASKED_BY)) == [FAILED] * 4


def test_the_destination_hears_who_has_asked_and_the_end_when_nobody_does(
    parcels: list[Parcel],
) -> None:
    """PS3.7 9.3.1.1; the association of a retrieval that was cancelled is released."""
    asked, ended = [], []

    def store(event: evt.Event) -> int:
        request = event.request
        asked.append(
            (request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID)
        )
        return 0x0000

    ae = AE("PACS")
    ae.add_supported_context(CTImageStorage, ExplicitVRLittleEndian)
    server = ae.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_RELEASED, ended.append)],
    )
    try:
        outcomes = forward(sender(server.server_address[1]), parcels, ASKED_BY)
        assert next(outcomes) is DONE
        outcomes.close()
        until = time.monotonic() + 5
        while not ended and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        server.shutdown()
        server.server_close()
        ae.shutdown()
    assert asked == [("VIEWER", 77)]
    assert len(ended) == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        pytest.param(0x0000, DONE, id="stored"),
        pytest.param(0x0111, DONE, id="it had it already"),
        pytest.param(0xB007, WARNED, id="stored with a warning"),
        pytest.param(0x0107, WARNED, id="an attribute was not kept"),
        pytest.param(0x0122, FAILED, id="not supported"),
        pytest.param(0xC000, FAILED, id="not understood"),
        pytest.param(0xFF00, FAILED, id="no answer to a C-STORE"),
    ],
)
def test_a_status_is_an_outcome(status: int, outcome: Outcome) -> None:
    """PS3.7 Annex C."""
    assert outcome_of(status) is outcome
