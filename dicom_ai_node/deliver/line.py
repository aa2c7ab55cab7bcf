"""An association that stores, PS3.4 Annex B, in the thread of whoever sends.

pynetdicom's threads, which take turns by sleeping, are not there: an object goes out, and its
answer is waited for on the socket.
"""

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from dicom_ai_node.deliver.parcel import Parcel
from dicom_ai_node.dimse.commands import C_STORE_RSP, Command, command_of, store_request
from dicom_ai_node.dimse.wire import (
    INVALID_PARAMETER,
    PDU_HEADER_BYTES,
    UNEXPECTED_PDU,
    Breach,
    PeerGone,
    Wire,
)
from dicom_ai_node.domain.errors import PeerUnavailable
from dicom_ai_node.domain.part10 import data_set_in
from dicom_ai_node.domain.query_retrieve import Originator

LONGEST_PDU_BYTES = 1 << 17
"""Of what we write, however much the peer takes, and of what we read."""
_P_DATA = 4
_RELEASE_RQ = struct.pack(">BxLL", 5, 4, 0)
_P_DATA_HEADER = struct.Struct(">BxLLBB")
_IN_PDU_BYTES, _IN_VALUE_BYTES = 6, 2
"""How much of a fragment's headers counts as a part of its PDU, and of its value."""
_COMMAND, _LAST = 0x01, 0x02
_MOST_MESSAGES = 0xFFFF
_FILE_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Taken:
    """What the peer takes: the context of each SOP class and transfer syntax, and how much."""

    contexts: Mapping[tuple[str, str], int]
    pdu_bytes: int


class StoreLine:
    """An association that was accepted. It is over when it has failed once."""

    def __init__(self, wire: Wire, name: str, taken: Taken) -> None:
        self.accepted = taken.contexts
        self._wire = wire
        self._name = name
        self._fragment_bytes = (taken.pdu_bytes - _IN_PDU_BYTES) & ~1
        self._buffer = memoryview(bytearray(_P_DATA_HEADER.size + self._fragment_bytes))
        self._messages = 0
        self._is_over = False

    def store(
        self,
        parcel: Parcel,
        path: Path,
        context: int,
        answer_seconds: float,
        originator: Originator | None = None,
    ) -> int | None:
        """Send the data set in a Part 10 file as `parcel`; return the status of the answer.

        Returns `None` if the peer breaks off, or does not answer within `answer_seconds`.

        Raises
        ------
        PeerUnavailable
            If the association was over before.
        OSError, NotUnderstood
            If the file cannot be read.
        """
        if self._is_over:
            raise PeerUnavailable(f"{self._name} broke off before this object was sent")
        self._messages = self._messages % _MOST_MESSAGES + 1
        asked_by = None if originator is None else (originator.ae_title, originator.message_id)
        request = store_request(
            self._messages, parcel.sop_class_uid, parcel.sop_instance_uid, asked_by
        )
        with path.open("rb", buffering=0) as file:
            left = file.seek(0, os.SEEK_END)
            file.seek(0)
            _, at = data_set_in(file.read(_FILE_HEAD_BYTES))
            left -= file.seek(at)
            try:
                self._send(file, left, context, request)
                self._wire.within(answer_seconds)
                return self._status()
            except PeerGone:
                self._is_over = True
            except Breach as breach:
                self._abort(breach.reason)
            except OSError:
                self._abort()  # half an object is on its way
                raise
        return None

    def end(self, seconds: float) -> None:
        """Release the association, if it is not over; the peer has `seconds` to agree."""
        if self._is_over:
            return
        self._is_over = True
        with suppress(PeerGone, Breach):
            self._wire.send(_RELEASE_RQ)
            self._wire.within(seconds)
            while next_pdu(self._wire)[0] == _P_DATA:
                pass

    def _abort(self, reason: int = 0) -> None:
        self._is_over = True
        self._wire.abort(reason)

    def _send(self, file: FileIO, left: int, context: int, request: bytes) -> None:
        """Send a command and the `left` bytes that follow in a file, fragment by fragment."""
        # The command goes along with the first fragment: a packet less for each object.
        command = _fragments(context, request, self._fragment_bytes)
        while True:
            count = min(left, self._fragment_bytes)
            left -= count
            filled = self._buffer[: _P_DATA_HEADER.size + count]
            filled[: _P_DATA_HEADER.size] = _header(context, 0 if left else _LAST, count)
            _fill(file, filled[_P_DATA_HEADER.size :])
            self._wire.send(b"".join((command, filled)) if command else filled)
            if not left:
                return
            command = b""

    def _status(self) -> int:
        """Return the status of the next message, which has to be the answer.

        Raises
        ------
        Breach
            If it is something else, or too late.
        PeerGone
            If the peer has ended the association.
        """
        answer = self._answer()
        if answer.field != C_STORE_RSP or answer.responded_to != self._messages:
            raise Breach("it answers what was not asked")
        if answer.status is None:
            raise Breach("it answers without a status")
        return answer.status

    def _answer(self) -> Command:
        encoded = b""
        while True:
            kind, body = next_pdu(self._wire)
            if kind != _P_DATA:
                raise PeerGone("the peer has ended the association")
            for control, value in _values(body):
                if not control & _COMMAND:
                    raise Breach("it answers with a data set", UNEXPECTED_PDU)
                encoded += value
                if len(encoded) > LONGEST_PDU_BYTES:
                    raise Breach("a command set is too long", INVALID_PARAMETER)
                if control & _LAST:
                    return command_of(encoded)


def next_pdu(wire: Wire) -> tuple[int, bytes]:
    """Return the type of the next PDU, and what follows its length."""
    kind, length = struct.unpack(">BxL", wire.take(PDU_HEADER_BYTES))
    if length > LONGEST_PDU_BYTES:
        raise Breach("a PDU is too long", INVALID_PARAMETER)
    return kind, bytes(wire.take(length)) if length else b""


def _values(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the message control header of each fragment in a P-DATA-TF, and the fragment."""
    at = 0
    while at + 6 <= len(body):
        length, control = struct.unpack_from(">LxB", body, at)
        end = at + 4 + length
        if length < _IN_VALUE_BYTES or end > len(body):
            break
        yield control, body[at + 6 : end]
        at = end
    if at != len(body):
        raise Breach("a fragment ends behind its PDU", INVALID_PARAMETER)


def _fragments(context: int, request: bytes, most_bytes: int) -> bytes:
    """Return a command in as many fragments as it takes, ready to be sent."""
    return b"".join(
        _header(context, _COMMAND | (0 if request[at + most_bytes :] else _LAST), len(part)) + part
        for at in range(0, len(request), most_bytes)
        for part in [request[at : at + most_bytes]]
    )


def _header(context: int, control: int, count: int) -> bytes:
    """Return what goes before `count` bytes of a message, PS3.8 9.3.5."""
    return _P_DATA_HEADER.pack(
        _P_DATA, count + _IN_PDU_BYTES, count + _IN_VALUE_BYTES, context, control
    )


def _fill(file: FileIO, values: memoryview) -> None:
    while values:
        read = file.readinto(values)
        if not read:
            raise OSError("the file has become shorter")
        values = values[read:]
