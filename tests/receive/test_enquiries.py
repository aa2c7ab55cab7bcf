"""A peer that asks byte by byte: what it may say while it is answered, and what it may not."""

import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.audit import Happening, Kind
from dicom_ai_node.domain.audit import Outcome as AuditedOutcome
from dicom_ai_node.domain.errors import NotAnswerable, OutOfResources
from dicom_ai_node.domain.query_retrieve import Asked, Match, Originator, Outcome
from dicom_ai_node.domain.uids import (
    AETitle,
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)
from dicom_ai_node.receive.incoming import LONGEST_IDENTIFIER_BYTES
from dicom_ai_node.receive.outbox import Outbox, Outcomes
from dicom_ai_node.receive.peers import AllowedPeer, May
from tests.phantoms import CANARY, ct, write
from tests.receive.conftest import Node, Start
from tests.receive.rawpeer import (
    CT,
    EXPLICIT,
    IMPLICIT,
    RawPeer,
    cancel,
    command,
    element,
    encoded,
    item,
    p_data,
    pdv,
    query,
    request,
)

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
CONTEXTS = (
    (1, FIND, (IMPLICIT,)), (3, CT, (EXPLICIT,)), (5, MOVE, (IMPLICIT,)), (7, GET, (IMPLICIT,)),
)  # fmt: skip
BOTH = (AllowedPeer(ae_title=AETitle("CT1"), may=frozenset(May)),)
TAKES_CT = item(0x54, struct.pack(">H", len(CT)) + CT.encode() + b"\0\1")
NAMES_NOBODY = b"failed"


def identifier(**keys: str) -> bytes:
    """Return an encoded identifier at the level of studies."""
    dataset = Dataset()
    dataset.QueryRetrieveLevel = "STUDY"
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return encoded(dataset, implicit=True)


@dataclass
class Shelf:
    """An `Outbox` of a few objects, and of as many answers as a test wants."""

    folder: Path
    answers: int = 3
    trouble: Exception | None = None
    asked: list[Asked] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)
    most_answers: int = 1_000_000
    held: list[Held] = field(default_factory=list)
    told: list[Happening] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.files = write(ct(slices=4), self.folder / "shelf")
        self.held = [
            Held(
                study_instance_uid=StudyInstanceUID("1.2"),
                series_instance_uid=SeriesInstanceUID("1.3"),
                sop_instance_uid=SOPInstanceUID(f"1.4.{number}"),
                sop_class_uid=SOPClassUID(CT),
                transfer_syntax_uid=EXPLICIT,
                sha256=Sha256(str(number)),
                size_bytes=1,
            )
            for number in range(4)
        ]

    def find(self, asked: Asked) -> Iterator[Match]:
        """Yield answers of one kilobyte."""
        self.asked.append(asked)
        if self.trouble is not None:
            raise self.trouble
        try:
            for _ in range(self.answers):
                yield Match(identifier=bytes(1024), is_complete=True)
        finally:
            self.closed.set()

    def named(self, asked: Asked) -> Sequence[Held]:
        """Return all there is."""
        self.asked.append(asked)
        if self.trouble is not None:
            raise self.trouble
        return self.held

    @contextmanager
    def file(self, held: Held, syntaxes: Collection[str]) -> Iterator[Path]:
        """Give a file; it may be gone."""
        assert EXPLICIT in syntaxes
        yield self.files[int(held.sha256)]

    def move(self, _title: AETitle, held: Sequence[Held], _by: Originator) -> Outcomes:
        """Complete one sub-operation after the other."""
        try:
            for _ in held:
                time.sleep(0.05)
                yield Outcome.COMPLETED
        finally:
            self.closed.set()

    def outbox(self) -> Outbox:
        """Return it as the listener sees it."""
        return Outbox(
            find=self.find, named=self.named, failed=lambda *_: NAMES_NOBODY, file=self.file,
            move=self.move, told=self.told.append, most_answers=self.most_answers,
        )  # fmt: skip


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Return what is asked for."""
    return Shelf(tmp_path)


@pytest.fixture
def node(start: Start, shelf: Shelf) -> Node:
    """Return a listener that answers from the shelf, to somebody who may do everything."""
    running = start(peers=BOTH)
    running.listener.answer_from(shelf.outbox())
    return running


@contextmanager
def asking(node: Node, user: bytes = b"") -> Iterator[RawPeer]:
    """Open an association for everything."""
    with RawPeer(node.port) as peer:
        kind, _ = peer.send(request(CONTEXTS, user=user)).pdu()
        assert kind == 2
        yield peer


def ask(peer: RawPeer, field: int, data: bytes = b"", context: int = 1) -> None:
    """Send a query with its identifier in one PDU."""
    sop_class = {0x20: FIND, 0x21: MOVE, 0x10: GET}[field]
    destination = "PACS" if field == 0x21 else ""
    peer.send(
        p_data(
            pdv(query(field, sop_class, destination=destination), 3, context),
            pdv(data or identifier(), 2, context),
        )
    )


def status_of(response: dict[int, bytes]) -> int:
    """Return the status of a response."""
    return int.from_bytes(response[0x900], "little")


def numbers_of(response: dict[int, bytes]) -> list[int]:
    """Return the numbers of remaining, completed, failed and warning sub-operations."""
    found = (response.get(number) for number in range(0x1020, 0x1024))
    return [int.from_bytes(one, "little") for one in found if one is not None]


def is_aborted(peer: RawPeer, reason: int) -> bool:
    """Return whether an abort for this reason comes, whatever comes before it."""
    while (pdu := peer.pdu())[0] == 4:
        pass
    return pdu == (7, bytes((0, 0, 2, reason)))


def test_answers_end_with_success(node: Node) -> None:
    """Each has the number of the question, and its data set."""
    with asking(node) as peer:
        ask(peer, 0x20)
        for _ in range(3):
            response, data = peer.message()
            assert (status_of(response), data) == (0xFF00, bytes(1024))
            assert response[0x120] == b"\7\0"
        response, data = peer.message()
        assert (status_of(response), data) == (0x0000, b"")
        peer.release()


def test_questions_and_what_goes_to_whom_are_told(node: Node, shelf: Shelf) -> None:
    """PS3.15 A.5.3.3, A.5.3.7, A.5.3.10: who has asked for what, from where, and what has gone."""
    with asking(node) as peer:
        ask(peer, 0x20)
        while status_of(peer.message()[0]):
            pass
        ask(peer, 0x21, context=5)
        while status_of(peer.message()[0]):
            pass
        peer.release()
    question, begun, gone = shelf.told
    assert question.kind is Kind.QUERY
    assert question.asked is not None
    assert (question.asked.sop_class_uid, question.asked.query) == (FIND, identifier())
    assert (question.participants[0].name, question.participants[0].address) == (
        "CT1", "127.0.0.1",
    )  # fmt: skip
    assert [one.kind for one in (begun, gone)] == [
        Kind.BEGIN_TRANSFERRING, Kind.INSTANCES_TRANSFERRED,
    ]  # fmt: skip
    assert [one.ae_title for one in gone.participants] == ["", "PACS", "CT1"]
    assert gone.outcome is AuditedOutcome.SUCCESS
    assert gone.studies[0].sop_classes == {CT: 4}


def test_a_question_that_is_cancelled_is_left(node: Node, shelf: Shelf) -> None:
    """The answer is 0xFE00, nothing is looked for any more, and the association goes on."""
    shelf.answers = 10_000_000
    with asking(node) as peer:
        ask(peer, 0x20)
        peer.message()
        peer.send(p_data(pdv(cancel(), 3, 1)))
        while status_of(response := peer.message()[0]) == 0xFF00:
            pass
        assert status_of(response) == 0xFE00
        assert shelf.closed.wait(30)
        shelf.answers = 1
        ask(peer, 0x20)
        assert [status_of(peer.message()[0]) for _ in range(2)] == [0xFF00, 0x0000]
        peer.release()


def test_a_cancel_that_means_another_question_is_not_heard(node: Node) -> None:
    """Nor one that comes too late."""
    with asking(node) as peer:
        ask(peer, 0x20)
        peer.send(p_data(pdv(cancel(99), 3, 1)))
        assert [status_of(peer.message()[0]) for _ in range(4)] == [0xFF00] * 3 + [0x0000]
        peer.send(p_data(pdv(cancel(), 3, 1)))
        ask(peer, 0x20)
        assert [status_of(peer.message()[0]) for _ in range(4)] == [0xFF00] * 3 + [0x0000]
        peer.release()


def test_a_move_that_is_cancelled_ends_its_association(node: Node, shelf: Shelf) -> None:
    """What was sent by then, and what was not, is told."""
    with asking(node) as peer:
        ask(peer, 0x21, context=5)
        response, _ = peer.message()
        assert (status_of(response), numbers_of(response)) == (0xFF00, [3, 1, 0, 0])
        peer.send(p_data(pdv(cancel(), 3, 5)))
        while status_of(response := peer.message()[0]) == 0xFF00:
            pass
        remaining, completed, *_ = numbers_of(response)
        assert (status_of(response), remaining + completed) == (0xFE00, 4)
        assert remaining
        assert shelf.closed.wait(30)
        peer.release()


def test_a_peer_that_vanishes_ends_the_move(node: Node, shelf: Shelf) -> None:
    """Nothing goes on in the name of somebody who is gone."""
    with asking(node) as peer:
        ask(peer, 0x21, context=5)
        peer.message()
    assert shelf.closed.wait(30)


def taken(peer: RawPeer, status: int = 0) -> tuple[str, bytes]:
    """Take a C-STORE-RQ and answer it; return the SOP Instance UID and the data set."""
    request, data = peer.message()
    assert (request[0x100], request[2].rstrip(b"\0")) == (b"\1\0", CT.encode())
    peer.send(p_data(pdv(stored(request[0x110], status), 3, 3)))
    return request[0x1000].rstrip(b"\0").decode(), data


def stored(message_id: bytes, status: int) -> bytes:
    """Return a C-STORE-RSP."""
    body = element(2, CT.encode() + b"\0") + element(0x100, b"\1\x80") + element(0x120, message_id)
    body += element(0x800, b"\1\1") + element(0x900, struct.pack("<H", status))
    return element(0, struct.pack("<L", len(body))) + body


def test_objects_come_as_they_lie_in_pdus_that_the_peer_takes(node: Node, shelf: Shelf) -> None:
    """Byte for byte from the file, in pieces of at most the agreed length, and counted."""
    with asking(node, TAKES_CT) as peer:
        ask(peer, 0x10, context=7)
        for number in range(4):
            uid, data = taken(peer)
            assert uid == f"1.4.{number}"
            assert shelf.files[number].read_bytes().endswith(data)
            assert len(data) > 6144
            response, _ = peer.message()
            assert numbers_of(response) == [3 - number, number + 1, 0, 0]
        response, data = peer.message()
        assert (status_of(response), numbers_of(response), data) == (0x0000, [4, 0, 0], b"")
        peer.release()


def test_a_get_is_cancelled_between_two_objects(node: Node) -> None:
    """Also when the C-CANCEL comes before the answer to the object that was just sent."""
    with asking(node, TAKES_CT) as peer:
        ask(peer, 0x10, context=7)
        peer.message()
        peer.send(p_data(pdv(cancel(), 3, 7), pdv(stored(b"\1\0", 0xA700), 3, 3)))
        assert status_of(peer.message()[0]) == 0xFF00
        response, data = peer.message()
        assert (status_of(response), numbers_of(response)) == (0xFE00, [3, 0, 1, 0])
        assert data == NAMES_NOBODY
        peer.release()


def test_an_object_that_is_gone_is_a_failure_among_others(node: Node, shelf: Shelf) -> None:
    """It may have been forgotten since it was counted."""
    shelf.files[1].unlink()
    with asking(node, TAKES_CT) as peer:
        ask(peer, 0x10, context=7)
        responses = []
        while not responses or status_of(responses[-1]) == 0xFF00:
            message, data = peer.message()
            if message[0x100] == b"\1\0":
                peer.send(p_data(pdv(stored(message[0x110], 0), 3, 3)))
            else:
                responses.append(message)
        assert [numbers_of(one)[-3:] for one in responses[:4]] == [
            [1, 0, 0], [1, 1, 0], [2, 1, 0], [3, 1, 0],
        ]  # fmt: skip
        assert (status_of(responses[-1]), data) == (0xB000, NAMES_NOBODY)


def test_without_the_role_nothing_is_sent(node: Node) -> None:
    """A peer that did not offer to be a provider gets no C-STORE, and hears that all failed."""
    with asking(node) as peer:
        ask(peer, 0x10, context=7)
        while status_of(response := peer.message()[0]) == 0xFF00:
            pass
        assert (status_of(response), numbers_of(response)) == (0xA702, [0, 4, 0])


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        pytest.param(b"\0\1", b"\0\1", id="provider only, as for a C-GET"),
        pytest.param(b"\1\1", b"\1\1", id="both"),
        pytest.param(b"\1\0", b"\1\0", id="user only, which is what holds anyway"),
    ],
)
def test_roles_are_agreed_upon(node: Node, offered: bytes, agreed: bytes) -> None:
    """A storage class may be offered in both; PS3.7 D.3.3.4."""
    named = struct.pack(">H", len(CT)) + CT.encode()
    with RawPeer(node.port) as peer:
        kind, body = peer.send(request(CONTEXTS, user=item(0x54, named + offered))).pdu()
    assert kind == 2
    assert body.endswith(item(0x54, named + agreed))


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(item(0x54, b""), id="a role of nothing"),
        pytest.param(item(0x54, b"\xff\xff1.2"), id="a UID longer than its item"),
        pytest.param(item(0x54, struct.pack(">H", 5) + b"1.2.3\0\1"), id="a class nobody proposed"),
        pytest.param(item(0x56, b"\0"), id="an extension of nothing"),
        pytest.param(item(0x58, b"\1\1\0\3abc\0\0"), id="a user name"),
        pytest.param(item(0x53, b"\0\5\0\5"), id="asynchronous operations"),
    ],
)
def test_what_is_not_agreed_upon_is_not_answered(node: Node, user: bytes) -> None:
    """The association is accepted as if nobody had asked."""
    with asking(node, user) as peer:
        ask(peer, 0x20)
        assert status_of(peer.message()[0]) == 0xFF00


def test_extensions_are_answered_place_by_place(node: Node, shelf: Shelf) -> None:
    """Relational queries, spans of time and fuzzy names: yes. What we do not know: no."""
    named = struct.pack(">H", len(FIND)) + FIND.encode()
    with RawPeer(node.port) as peer:
        _, body = peer.send(request(CONTEXTS, user=item(0x56, named + b"\1\1\1\1\1"))).pdu()
        assert body.endswith(item(0x56, named + b"\1\1\1\0\0"))
        ask(peer, 0x20)
        peer.message()
    [asked] = shelf.asked
    assert (asked.is_relational, asked.joins_date_and_time, asked.is_fuzzy) == (True, True, True)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"\x08\0\x52\0\xff\0\0\0STUDY ", 0xC000, id="cut off"),
        pytest.param(b"no data set at all ", 0xC000, id="no data set"),
        pytest.param(
            b"\x08\0\x10\x11\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 500,
            0xC000,
            id="sequences without end",
        ),
        pytest.param(bytes(LONGEST_IDENTIFIER_BYTES + 2), 0xA700, id="too long"),
    ],
)
def test_an_identifier_that_is_none_is_refused(node: Node, data: bytes, status: int) -> None:
    """It is read to its end and never decoded, and the association goes on."""
    with asking(node) as peer:
        peer.send(p_data(pdv(query(0x20, FIND), 3, 1)))
        parts = [data[at : at + 60_000] for at in range(0, len(data), 60_000)]
        for number, part in enumerate(parts, start=1):
            peer.send(p_data(pdv(part, 2 * (number == len(parts)), 1)))
        assert status_of(peer.message()[0]) == status
        ask(peer, 0x20)
        assert status_of(peer.message()[0]) == 0xFF00


@pytest.mark.parametrize(
    ("trouble", "field", "status", "comment"),
    [
        pytest.param(NotAnswerable("no level"), 0x20, 0xA900, b"no level", id="of no model"),
        pytest.param(OutOfResources("busy"), 0x20, 0xA700, b"busy", id="a busy database"),
        pytest.param(OutOfResources("busy"), 0x21, 0xA701, b"busy", id="nothing can be counted"),
        pytest.param(RuntimeError(CANARY), 0x20, 0xC000, b"unable to process", id="a mistake"),
    ],
)
def test_trouble_has_a_status_and_names_no_patient(
    node: Node, shelf: Shelf, trouble: Exception, field: int, status: int, comment: bytes
) -> None:
    """What went wrong is told in our own words."""
    shelf.trouble = trouble
    with asking(node) as peer:
        ask(peer, field, context=1 if field == 0x20 else 5)
        response, _ = peer.message()
        assert (status_of(response), response[0x902].rstrip()) == (status, comment)
        peer.release()


def test_there_is_a_limit_of_answers(node: Node, shelf: Shelf) -> None:
    """So many come, and then the advice to ask for less."""
    shelf.answers, shelf.most_answers = 10, 2
    node.listener.answer_from(shelf.outbox())
    with asking(node) as peer:
        ask(peer, 0x20)
        assert [status_of(peer.message()[0]) for _ in range(3)] == [0xFF00, 0xFF00, 0xA700]


@pytest.mark.parametrize(
    ("sop_class", "field", "context", "status"),
    [
        pytest.param(FIND, 0x21, 1, 0x0122, id="a move in a context for finding"),
        pytest.param(MOVE, 0x20, 1, 0x0122, id="another class than that of its context"),
        pytest.param(CT, 0x20, 3, 0x0122, id="a question in a context for storing"),
    ],
)
def test_a_command_belongs_to_its_context(
    node: Node, sop_class: str, field: int, context: int, status: int
) -> None:
    """A class has one command."""
    with asking(node) as peer:
        peer.send(p_data(pdv(query(field, sop_class), 3, context), pdv(identifier(), 2, context)))
        assert status_of(peer.message()[0]) == status


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param(p_data(pdv(query(0x20, FIND), 3, 1)), 2, id="another question"),
        pytest.param(p_data(pdv(command(instance=b"1.2"), 3, 3)), 2, id="an object"),
        pytest.param(p_data(pdv(stored(b"\1\0", 0), 3, 3)), 2, id="an answer to nothing"),
        pytest.param(struct.pack(">BxLL", 5, 4, 0), 2, id="a release"),
        pytest.param(p_data(pdv(identifier(), 2, 1)), 2, id="a data set"),
        pytest.param(struct.pack(">BxL", 9, 4), 1, id="no PDU"),
    ],
)
def test_nothing_else_is_said_while_a_question_is_answered(
    node: Node, shelf: Shelf, said: bytes, reason: int
) -> None:
    """One operation at a time was agreed upon; who does not keep to that is aborted."""
    shelf.answers = 1_000_000
    with asking(node) as peer:
        ask(peer, 0x20)
        peer.message()
        peer.send(said)
        assert is_aborted(peer, reason)
    assert shelf.closed.wait(30)


def test_who_takes_an_object_and_never_answers_is_left(start: Start, shelf: Shelf) -> None:
    """After the time that may pass between two messages."""
    node = start(peers=BOTH, idle_seconds=0.5)
    node.listener.answer_from(shelf.outbox())
    with asking(node, TAKES_CT) as peer:
        ask(peer, 0x10, context=7)
        peer.message()
        assert is_aborted(peer, 0)


def test_who_reads_no_answers_holds_up_nobody(start: Start, shelf: Shelf) -> None:
    """He is left when the connection has been full for too long; others are answered meanwhile."""
    shelf.answers = 1_000_000
    node = start(peers=BOTH, request_seconds=0.5)
    node.listener.answer_from(shelf.outbox())
    with asking(node) as lazy:
        ask(lazy, 0x20)
        with asking(node) as peer:
            ask(peer, 0x20)
            assert status_of(peer.message()[0]) == 0xFF00
        assert shelf.closed.wait(10)


def test_over_tls_a_question_is_answered_and_cancelled(
    start: Start, shelf: Shelf, tmp_path: Path
) -> None:
    """Looking for a C-CANCEL does not wait for one there either."""
    key = tmp_path / "key.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-keyout", key, "-out", tmp_path / "certificate.pem"], capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "certificate.pem", key)
    client = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    client.check_hostname = False
    node = start(peers=BOTH, ssl_context=server)
    node.listener.answer_from(shelf.outbox())
    with RawPeer(node.port) as peer:
        peer.sock = client.wrap_socket(peer.sock)
        assert peer.send(request(CONTEXTS)).pdu()[0] == 2
        ask(peer, 0x20)
        assert [status_of(peer.message()[0]) for _ in range(4)] == [0xFF00] * 3 + [0x0000]
        shelf.answers = 1_000_000
        ask(peer, 0x20)
        peer.message()
        peer.send(p_data(pdv(cancel(), 3, 1)))
        while status_of(response := peer.message()[0]) == 0xFF00:
            pass
        assert status_of(response) == 0xFE00


def test_a_full_disk_keeps_no_question_out(node: Node) -> None:
    """Who may query is let in, and an instance of his is refused by itself."""
    node.diary.full = OutOfResources("no room")
    with asking(node) as peer:
        ask(peer, 0x20)
        assert status_of(peer.message()[0]) == 0xFF00


def test_without_a_data_set_there_is_no_question(node: Node) -> None:
    """It is answered, and the association goes on."""
    bare = query(0x20, FIND).replace(element(0x800, b"\1\0"), element(0x800, b"\1\1"))
    with asking(node) as peer:
        assert status_of(peer.send(p_data(pdv(bare, 3, 1))).message()[0]) == 0xC000
        peer.release()


def test_a_node_that_answers_nobody_agrees_on_no_questions(start: Start) -> None:
    """Without a peer that may query there are no such contexts."""
    with RawPeer(start().port) as peer:
        _, body = peer.send(request(CONTEXTS)).pdu()
        results = [body[at + 6] for at in range(68, len(body)) if body[at : at + 2] == b"\x21\0"]
        assert results == [3, 0, 3, 3]
