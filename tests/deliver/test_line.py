"""Associations that store, with peers that keep to the protocol in their own way, or not at all."""

import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from dicom_ai_node.deliver.associate import store_line
from dicom_ai_node.deliver.line import LONGEST_PDU_BYTES
from dicom_ai_node.deliver.parcel import Parcel, pack
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import NodeError, NotUnderstood, PeerRejected, PeerUnavailable
from dicom_ai_node.domain.part10 import data_set_in
from dicom_ai_node.domain.uids import AETitle
from tests.deliver.test_dimse import data_set
from tests.peers.archive import archive
from tests.phantoms import ct, write

RELEASED = struct.pack(">BxLL", 6, 4, 0)
RELEASE = struct.pack(">BxLL", 5, 4, 0)
ABORT = struct.pack(">BxLL", 7, 4, 0)


def accepted(longest_bytes: int = 16384, result: int = 0) -> bytes:
    """Return the answer of a peer that takes CT as it is."""
    context = build_context(CTImageStorage, ExplicitVRLittleEndian)
    context.context_id, context.result = 1, result
    longest, uid = MaximumLengthNotification(), ImplementationClassUIDNotification()
    longest.maximum_length_received = longest_bytes
    uid.implementation_class_uid = "1.2.3"
    said = A_ASSOCIATE()
    said.application_context_name = "1.2.840.10008.3.1.1.1"
    said.calling_ae_title, said.called_ae_title = "AI_NODE", "PACS"
    said.result, said.result_source = 0, 1
    said.presentation_context_definition_results_list = [context]
    said.user_information = [longest, uid]
    answer = A_ASSOCIATE_AC()
    answer.from_primitive(said)
    return answer.encode()


def answered(message_id: int, status: int | None = 0, field: int = 0x8001) -> bytes:
    """Return the answer to a C-STORE."""
    body = struct.pack("<HHLH", 0, 0x0100, 2, field) + struct.pack(
        "<HHLH", 0, 0x0120, 2, message_id
    )
    body += struct.pack("<HHLH", 0, 0x0800, 2, 0x0101)
    if status is not None:
        body += struct.pack("<HHLH", 0, 0x0900, 2, status)
    return fragment(struct.pack("<HHLL", 0, 0, 4, len(body)) + body)


def fragment(value: bytes, control: int = 3) -> bytes:
    """Return one fragment in a PDU of its own."""
    return struct.pack(">BxLLBB", 4, len(value) + 6, len(value) + 2, 1, control) + value


@dataclass
class Peer:
    """Says what it is told to say: first to the request, then to each whole object."""

    answers: Sequence[bytes]
    port: int = 0
    data: list[bytes] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)
    pdus: list[int] = field(default_factory=list)

    def attend(self, listening: socket.socket) -> None:
        """Take one association."""
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as heard:
            left = iter(self.answers)
            message = {0: b"", 1: b""}
            while head := heard.read(6):
                kind, length = struct.unpack(">BxL", head)
                body = heard.read(length)
                self.pdus.append(length)
                if kind in {1, 5}:
                    connection.sendall(next(left, RELEASED) if kind == 1 else RELEASED)
                elif kind == 4:
                    control = body[5]
                    message[control & 1] += body[6:]
                    if control == 3:
                        self.commands.append(message[1])
                    if control == 2:
                        self.data.append(message[0])
                        message = {0: b"", 1: b""}
                        connection.sendall(next(left, b""))
                else:
                    return


@contextmanager
def peer(*answers: bytes) -> Iterator[Peer]:
    """Let a peer listen on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = Peer(answers, listening.getsockname()[1])
        thread = threading.Thread(target=made.attend, args=(listening,), daemon=True)
        thread.start()
        yield made
        thread.join(10)


def at(port: int) -> DimsePeer:
    """Return a destination on loopback."""
    return DimsePeer(
        ae_title=AETitle("PACS"), host="127.0.0.1", port=port, calling_ae_title=AETitle("AI_NODE")
    )


def slices(folder: Path, count: int = 2) -> list[Parcel]:
    """Return slices of a CT."""
    packed = [pack(path) for path in write(ct(slices=count), folder)]
    return [one for one in packed if isinstance(one, Parcel)]


CONTEXTS = [build_context(CTImageStorage, ExplicitVRLittleEndian)]


def stored(port: int, parcels: Sequence[Parcel], seconds: float = 2.0) -> list[int | None]:
    """Store objects over one association and return the statuses."""
    with store_line(at(port), list(CONTEXTS), 2.0) as line:
        context = line.accepted[CTImageStorage, ExplicitVRLittleEndian]
        return [line.store(one, one.path, context, seconds) for one in parcels]


@pytest.mark.parametrize("longest", [128, 1000, 16384, LONGEST_PDU_BYTES, 1 << 20, 0])
def test_nothing_is_longer_than_the_peer_takes(longest: int, tmp_path: Path) -> None:
    """Commands and data sets come in as many parts as it takes; of a peer without limit we think."""
    parcels = slices(tmp_path)
    with peer(accepted(longest), answered(1), answered(2, 0xB000)) as pacs:
        assert stored(pacs.port, parcels) == [0, 0xB000]
    assert pacs.data == [data_set(one.path) for one in parcels]
    assert max(pacs.pdus[1:]) <= (longest or LONGEST_PDU_BYTES)


def test_an_object_of_no_bytes_but_its_meta_is_sent(tmp_path: Path) -> None:
    """The end is said all the same, so that the peer can answer."""
    (one,) = slices(tmp_path, 1)
    whole = one.path.read_bytes()
    one.path.write_bytes(whole[: len(whole) - len(data_set(one.path))])
    with peer(accepted(), answered(1, 0xC000)) as pacs:
        assert stored(pacs.port, [one]) == [0xC000]
    assert pacs.data == [b""]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(answered(7), id="to another message"),
        pytest.param(answered(1, None), id="without a status"),
        pytest.param(answered(1, 0, 0x8020), id="to another command"),
        pytest.param(fragment(b"12345678", 2), id="with a data set"),
        pytest.param(fragment(b"12345", 3), id="with a command that ends within an element"),
        pytest.param(struct.pack(">BxL", 4, 1 << 24), id="with a PDU that is too long"),
        pytest.param(
            struct.pack(">BxLL", 4, 4, 99), id="with a fragment that is longer than its PDU"
        ),
        pytest.param(b"\x63\0\0\0\0\0", id="with a PDU that nobody knows"),
        pytest.param(RELEASE, id="with the wish to part"),
        pytest.param(ABORT, id="with an abort"),
        pytest.param(b"", id="not at all"),
    ],
)
def test_whoever_answers_otherwise_has_not_answered(answer: bytes, tmp_path: Path) -> None:
    """And is not asked again on the same association."""
    first, second = slices(tmp_path)
    with peer(accepted(), answer) as pacs, store_line(at(pacs.port), list(CONTEXTS), 2.0) as line:
        context = line.accepted[CTImageStorage, ExplicitVRLittleEndian]
        assert line.store(first, first.path, context, 0.5) is None
        with pytest.raises(PeerUnavailable, match="broke off"):
            line.store(second, second.path, context, 0.5)
    assert len(pacs.data) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(struct.pack(">BxLBBBB", 3, 4, 0, 1, 1, 7), PeerRejected, id="for good"),
        pytest.param(struct.pack(">BxLBBBB", 3, 4, 0, 2, 3, 2), PeerUnavailable, id="for now"),
        pytest.param(struct.pack(">BxLBB", 3, 2, 0, 1), PeerUnavailable, id="half a rejection"),
        pytest.param(accepted(result=3), PeerRejected, id="none of the contexts"),
        pytest.param(accepted(20), PeerUnavailable, id="twenty bytes at once"),
        pytest.param(accepted()[:100], PeerUnavailable, id="half an answer"),
        pytest.param(struct.pack(">BxL", 2, 3) + b"123", PeerUnavailable, id="nonsense"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", PeerUnavailable, id="another protocol"),
        pytest.param(ABORT, PeerUnavailable, id="an abort"),
    ],
)
def test_whoever_takes_no_association_says_why_or_does_not(
    answer: bytes, error: type[NodeError]
) -> None:
    """A rejection says who has to act; all else may be better the next time."""
    with (
        peer(answer) as pacs,
        pytest.raises(error),
        store_line(at(pacs.port), list(CONTEXTS), 0.5),
    ):
        pass


def test_what_was_not_proposed_is_not_taken_for_accepted() -> None:
    """A peer may name any context and any transfer syntax in its answer."""
    other = build_context(CTImageStorage, "1.2.840.10008.1.2")
    with (
        peer(accepted()) as pacs,
        pytest.raises(PeerRejected),
        store_line(at(pacs.port), [other], 2.0),
    ):
        pass


def test_a_file_that_ends_early_ends_the_association(tmp_path: Path) -> None:
    """Half of it is on its way: the peer must not take it for the whole."""
    first, second = slices(tmp_path)

    def cut(head: bytes) -> tuple[str, int]:
        os.truncate(first.path, first.size_bytes - 1000)
        return data_set_in(head)

    with peer(accepted(1000)) as pacs, store_line(at(pacs.port), list(CONTEXTS), 2.0) as line:
        context = line.accepted[CTImageStorage, ExplicitVRLittleEndian]
        with (
            patch("dicom_ai_node.deliver.line.data_set_in", cut),
            pytest.raises(OSError, match="shorter"),
        ):
            line.store(first, first.path, context, 2.0)
        with pytest.raises(PeerUnavailable):
            line.store(second, second.path, context, 2.0)
    assert pacs.data == []


def test_a_file_that_is_none_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    """The association goes on."""
    first, second = slices(tmp_path)
    first.path.write_bytes(b"no DICOM")
    with (
        peer(accepted(), answered(2)) as pacs,
        store_line(at(pacs.port), list(CONTEXTS), 2) as line,
    ):
        context = line.accepted[CTImageStorage, ExplicitVRLittleEndian]
        with pytest.raises(NotUnderstood):
            line.store(first, first.path, context, 2.0)
        assert line.store(second, second.path, context, 2.0) == 0
    assert pacs.data == [data_set(second.path)]


def test_many_messages_have_different_numbers(tmp_path: Path) -> None:
    """And a real peer takes them all over one association."""
    parcels = slices(tmp_path, 3) * 40
    with archive([(CTImageStorage, [ExplicitVRLittleEndian])]) as pacs:
        assert stored(pacs.port, parcels) == [0] * 120
    assert pacs.data == [data_set(one.path) for one in parcels]
