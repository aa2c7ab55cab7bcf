"""What a peer may say within an association, and what ends it."""

import struct

import pytest

from tests.receive.conftest import Node, Start
from tests.receive.rawpeer import (
    CT,
    EXPLICIT,
    IMPLICIT,
    VERIFICATION,
    RawPeer,
    command,
    element,
    encoded,
    p_data,
    pdv,
    request,
    smallest,
)

ABORT = 7
DATA = encoded(smallest())
ECHO = command(field=0x30, sop_class=VERIFICATION.encode() + b"\0", data=0x101)


def test_fragments_may_be_cut_anywhere(node: Node) -> None:
    """Command and data set arrive in many small fragments, several of them in one PDU."""
    order = command()
    with RawPeer(node.port).associate() as peer:
        peer.send(p_data(pdv(order[:11], 1), pdv(order[11:50], 1)))
        peer.send(p_data(pdv(order[50:], 3), pdv(DATA[:7], 0), pdv(b"", 0)))
        peer.send(p_data(*[pdv(DATA[at : at + 1], 0) for at in range(7, len(DATA))]))
        assert peer.send(p_data(pdv(b"", 2))).status() == 0x0000
        peer.release()
    (arrival,) = node.diary.arrivals
    assert node.blobs.path(arrival.instance.sha256).read_bytes().endswith(DATA)


def test_messages_may_follow_each_other_in_one_pdu(node: Node) -> None:
    """Two echoes and an instance at once get three answers in their order."""
    with RawPeer(node.port).associate() as peer:
        peer.send(p_data(pdv(ECHO, 3, 1), pdv(command(), 3), pdv(DATA, 2), pdv(ECHO, 3, 1)))
        fields = [peer.response()[0x100] for _ in range(3)]
    assert fields == [b"\x30\x80", b"\x01\x80", b"\x30\x80"]


@pytest.mark.parametrize(
    ("order", "context", "status"),
    [
        pytest.param(command(sop_class=b"1.2.3\0"), 3, 0x0122, id="another class than agreed"),
        pytest.param(command(), 1, 0x0122, id="an instance where an echo was agreed"),
        pytest.param(command(instance=b"../../etc/x\0"), 3, 0x0117, id="a path for a UID"),
        pytest.param(command(instance=b"1." * 32 + b"1\0"), 3, 0x0117, id="65 characters"),
        pytest.param(command(instance=b"\0\0"), 3, 0x0117, id="an empty UID"),
        pytest.param(command(instance=b"1.2\x003.4\0"), 3, 0x0117, id="a NUL within a UID"),
        pytest.param(command(instance="1.2.é".encode()), 3, 0x0117, id="a UID that is not ASCII"),
    ],
)
def test_an_instance_that_cannot_be_taken_is_answered_and_the_next_one_goes_on(
    node: Node, order: bytes, context: int, status: int
) -> None:
    """No UID of a command ever becomes part of a path, and none of it is written."""
    with RawPeer(node.port).associate() as peer:
        peer.send(p_data(pdv(order, 3, context), pdv(DATA, 2, context)))
        assert peer.status() == status
        assert peer.store(DATA) == 0x0000
        peer.release()
    assert len(node.files("blobs")) == 1


@pytest.mark.parametrize(
    ("order", "status"),
    [
        pytest.param(command(data=0x101), 0xC000, id="an instance without a data set"),
        pytest.param(
            command(field=0x30, sop_class=CT.encode(), data=0x101), 0x0122, id="an echo elsewhere"
        ),
    ],
)
def test_a_command_alone_is_answered(node: Node, order: bytes, status: int) -> None:
    """What needs no data set is answered at once."""
    with RawPeer(node.port).associate() as peer:
        assert peer.send(p_data(pdv(order, 3))).status() == status
        peer.release()


def test_a_cancel_is_passed_over(node: Node) -> None:
    """A C-CANCEL has no answer."""
    with RawPeer(node.port).associate() as peer:
        peer.send(p_data(pdv(command(field=0xFFF, data=0x101), 3)))
        assert peer.send(p_data(pdv(ECHO, 3, 1))).status() == 0x0000


HUGE = struct.pack(">BxL", 4, 0xFFFFFFFF)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(HUGE, id="a P-DATA PDU of 4 GiB"),
        pytest.param(struct.pack(">BxL", 5, 0xFFFFFFFF), id="a release of 4 GiB"),
        pytest.param(struct.pack(">BxL", 9, 4) + b"abcd", id="a PDU that does not exist"),
        pytest.param(request(), id="a second association request"),
        pytest.param(
            p_data(pdv(command(), 3)) + struct.pack(">BxLL", 5, 4, 0), id="release within"
        ),
        pytest.param(p_data(pdv(command(), 3, 5)), id="a context that was never proposed"),
        pytest.param(p_data(pdv(DATA, 2)), id="a data set without a command"),
        pytest.param(p_data(pdv(command(), 3), pdv(command(), 3)), id="a command within a message"),
        pytest.param(p_data(pdv(command(), 3), pdv(DATA, 2, 1)), id="data in another context"),
        pytest.param(p_data(pdv(command()[:9], 1), pdv(b"", 1, 1)), id="a command in two contexts"),
        pytest.param(p_data(pdv(bytes(20_000), 1)), id="a command of 20 KB"),
        pytest.param(p_data(pdv(b"abc", 3)), id="a command that is none"),
        pytest.param(p_data(pdv(b"\x08\0\0\0\0\0\0\0", 3)), id="a command of another group"),
        pytest.param(p_data(pdv(element(0x100, b"\1\0"), 3)), id="half a command"),
        pytest.param(p_data(pdv(command(field=0x20), 3)), id="a C-FIND"),
        pytest.param(p_data(struct.pack(">LBB", 9999, 3, 0)), id="a fragment longer than its PDU"),
        pytest.param(p_data(struct.pack(">LBB", 0, 3, 0)), id="a fragment without a header"),
        pytest.param(p_data(b"abc"), id="no fragment at all"),
    ],
)
def test_whoever_breaks_the_protocol_is_aborted(node: Node, said: bytes) -> None:
    """The association ends with an A-ABORT, nothing stays behind and the node goes on."""
    with RawPeer(node.port).associate() as peer:
        assert peer.send(said).pdu()[0] == ABORT
        assert peer.pdu() == (0, b"")
    assert not node.files("spool")
    assert not node.diary.released
    association = node.associate()
    assert association.send_c_echo().Status == 0x0000
    association.release()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param(struct.pack(">BxL", 1, 0xFFFFFFF0), 6, id="a request of 4 GiB"),
        pytest.param(struct.pack(">BxL", 1, 10) + bytes(10), 6, id="a request of 10 bytes"),
        pytest.param(struct.pack(">BxL", 4, 10), 2, id="data before the association"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 1, id="another protocol"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", 1, id="TLS where there is none"),
        pytest.param(request([(2, CT, (EXPLICIT,))]), 6, id="an even context number"),
        pytest.param(request([(1, CT, ())]), 6, id="no transfer syntax"),
        pytest.param(request([(1, CT, (EXPLICIT,))] * 500), 6, id="500 contexts"),
        pytest.param(
            request().replace(b"\x50\0\0\x11", b"\x50\0\xff\xff"), 6, id="lengths that lie"
        ),
    ],
)
def test_a_request_that_is_none_is_aborted(node: Node, said: bytes, reason: int) -> None:
    """The reason of the A-ABORT says what is wrong, PS3.8 Table 9-26."""
    with RawPeer(node.port) as peer:
        kind, body = peer.send(said).pdu()
    assert (kind, body[2:]) == (ABORT, bytes((2, reason)))


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        pytest.param(request(version=2), (1, 2, 2), id="another protocol version"),
        pytest.param(request(application=b"1.2.3"), (1, 1, 2), id="another application context"),
    ],
)
def test_a_request_from_another_world_is_rejected(
    node: Node, said: bytes, answer: tuple[int, int, int]
) -> None:
    """A well-formed request gets a well-formed rejection."""
    with RawPeer(node.port) as peer:
        assert peer.send(said).pdu() == (3, bytes((0, *answer)))


def test_contexts_are_answered_one_by_one(node: Node) -> None:
    """What we take is accepted beside what we do not."""
    contexts = [
        (1, CT, (IMPLICIT, EXPLICIT)),
        (3, CT, ("1.2.840.10008.1.2.1.99",)),
        (5, "1.2.840.10008.5.1.4.1.2.2.1", (IMPLICIT,)),
        (255, "../../etc/x", ("../../etc/x",)),
    ]
    with RawPeer(node.port) as peer:
        kind, body = peer.send(request(contexts)).pdu()
        peer.release()
    assert kind == 2
    results, at = {}, 68
    while at < len(body):
        item, length = struct.unpack_from(">BxH", body, at)
        if item == 0x21:
            results[body[at + 4]] = body[at + 6], body[at + 12 : at + 4 + length].decode()
        at += 4 + length
    assert results == {
        1: (0, EXPLICIT),
        3: (4, IMPLICIT),
        5: (3, IMPLICIT),
        255: (3, IMPLICIT),
    }


def test_a_silent_association_is_ended(start: Start) -> None:
    """An association that says nothing does not hold its place for ever."""
    node = start(idle_seconds=0.3, associations=1)
    with RawPeer(node.port).associate() as peer:
        assert peer.pdu()[0] == ABORT
        association = node.associate()
        assert association.is_established
        association.release()


def test_a_message_that_stalls_is_ended(start: Start) -> None:
    """Half an instance is not waited for longer than a PDU may take."""
    node = start(pdu_seconds=0.3)
    with RawPeer(node.port).associate() as peer:
        assert peer.send(p_data(pdv(command(), 3))).pdu()[0] == ABORT
    with RawPeer(node.port).associate() as peer:
        assert peer.send(HUGE[:3]).pdu()[0] == ABORT
    assert not node.files("spool")


def test_one_association_too_many_is_asked_to_come_back(start: Start) -> None:
    """The limit is a passing matter, and a place that becomes free is given away again."""
    node = start(associations=2)
    first = RawPeer(node.port).associate()
    second = RawPeer(node.port).associate()
    with RawPeer(node.port) as third:
        assert third.send(request()).pdu() == (3, bytes((0, 2, 3, 2)))
    first.release()
    with RawPeer(node.port) as fourth:
        fourth.associate().release()
    second.release()
    first.sock.close()
    second.sock.close()
