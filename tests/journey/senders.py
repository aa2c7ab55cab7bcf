"""Senders, good and bad: what a scanner says to the node, byte by byte, and what it hears."""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from tests.receive.rawpeer import (
    CONTEXTS,
    VERIFICATION,
    Context,
    RawPeer,
    command,
    encoded,
    p_data,
    pdv,
    request,
)

REJECTED, ACCEPTED = 3, 2
_NO_DATA_SET, _C_ECHO = 0x0101, 0x30


@dataclass(frozen=True)
class Sender:
    """An application entity that opens an association per call."""

    port: int
    calling: bytes = b"SENDER"
    called: bytes = b"AI_NODE"

    def knock(self, contexts: Sequence[Context] = CONTEXTS) -> tuple[int, bytes]:
        """Ask for an association and return type and body of the answer."""
        with RawPeer(self.port) as peer:
            return peer.send(request(contexts, self.called, self.calling)).pdu()

    def enter(self, peer: RawPeer, contexts: Sequence[Context] = CONTEXTS) -> RawPeer:
        """Open an association on a connection."""
        kind, _ = peer.send(request(contexts, self.called, self.calling)).pdu()
        assert kind == ACCEPTED
        return peer

    def echo(self) -> int:
        """Return the status of a C-ECHO."""
        question = command(_C_ECHO, VERIFICATION.encode() + b"\0", data=_NO_DATA_SET)
        with self.enter(RawPeer(self.port)) as peer:
            status = peer.send(p_data(pdv(question, 3, 1))).status()
            peer.release()
        return status

    def send(self, datasets: Sequence[Dataset]) -> list[int]:
        """Send instances of one kind over one association and return their statuses."""
        return self.send_bytes([encoded(one) for one in datasets], datasets)

    def send_bytes(self, contents: Sequence[bytes], announced: Sequence[Dataset]) -> list[int]:
        """Send bytes as the data sets of the instances `announced`."""
        first = announced[0]
        syntax = str(first.file_meta.TransferSyntaxUID)
        contexts = [(3, str(first.SOPClassUID), (syntax,))]
        with self.enter(RawPeer(self.port), contexts) as peer:
            statuses = [
                peer.store(content, _even(one.SOPInstanceUID), _even(one.SOPClassUID))
                for content, one in zip(contents, announced, strict=True)
            ]
            peer.release()
        return statuses

    def break_off(self, dataset: Dataset) -> None:
        """Begin to send an instance and be gone in the middle of it."""
        content = encoded(dataset)
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        uids = _even(dataset.SOPClassUID), _even(dataset.SOPInstanceUID)
        with self.enter(RawPeer(self.port), [(3, str(dataset.SOPClassUID), (syntax,))]) as peer:
            peer.send(p_data(pdv(command(sop_class=uids[0], instance=uids[1]), 3)))
            peer.send(p_data(pdv(content[: len(content) // 2], 0)))
            at_once = struct.pack("ii", 1, 0)  # a reset, not an orderly end
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)


def _even(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)
