"""One accepted association: takes messages off the wire, puts data sets straight onto the disk.

One thread reads, writes and answers. The two threads, the queues and the object for every PDU of
pynetdicom's own association cost several times what the disk does.
"""

import struct
from time import monotonic

from dicom_ai_node.receive.commands import (
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_STORE_RQ,
    Command,
    Status,
    command_of,
    response_to,
)
from dicom_ai_node.receive.contexts import VERIFICATION
from dicom_ai_node.receive.desk import Desk
from dicom_ai_node.receive.incoming import Incoming  # noqa: TC001 - one way to import
from dicom_ai_node.receive.server import Doorway, Guest
from dicom_ai_node.receive.wire import (
    INVALID_PARAMETER,
    PDU_HEADER_BYTES,
    UNEXPECTED_PDU,
    UNRECOGNIZED_PDU,
    Breach,
    PeerGone,
    Wire,
)

_P_DATA, _RELEASE_RQ, _ABORT = 4, 5, 7
_RELEASE_RP = struct.pack(">BBLL", 6, 0, 4, 0)
_SLACK_BYTES = 12
"""Some peers count the header of the PDU in, or leave out that of its first fragment."""

_LONGEST_CONTROL_PDU = 64
_LONGEST_COMMAND_BYTES = 16 << 10
_IS_COMMAND, _IS_LAST = 1, 2
_FRAGMENT_HEADER = struct.Struct(">LBB")


class Association:
    """The messages of one association."""

    def __init__(self, wire: Wire, guest: Guest, desk: Desk, doorway: Doorway) -> None:
        self._wire = wire
        self._guest = guest
        self._contexts = desk.accepted.contexts
        self._doorway = doorway
        self._limits = doorway.limits
        self._desk = desk
        self._command_bytes = bytearray()
        self._context = 0
        self._message: tuple[Command, Incoming] | None = None

    def serve(self) -> None:
        """Answer messages until the peer releases the association.

        Raises
        ------
        PeerGone
            If it ended in any other way.
        Breach
            If the peer broke the protocol.
        """
        self._wire.reserve(2 * (self._limits.pdu_bytes + _SLACK_BYTES + PDU_HEADER_BYTES))
        try:
            while self._next_pdu():
                pass
        finally:
            if self._message is not None:
                self._message[1].discard()

    def _next_pdu(self) -> bool:
        """Take one PDU; return False after a release."""
        self._wait()
        kind, length = struct.unpack(">BxL", self._wire.take(PDU_HEADER_BYTES))
        if kind == _P_DATA:
            if length > self._limits.pdu_bytes + _SLACK_BYTES:
                raise Breach("a PDU is longer than agreed", INVALID_PARAMETER)
            self._take_fragments(self._wire.take(length))
            return True
        if kind not in range(1, 8):
            raise Breach("there is no such PDU", UNRECOGNIZED_PDU)
        if length > _LONGEST_CONTROL_PDU:
            raise Breach("no such PDU is so long", INVALID_PARAMETER)
        if kind == _ABORT:
            raise PeerGone("the peer has aborted")
        if kind != _RELEASE_RQ or self._is_within_a_message:
            raise Breach("this PDU is not expected now", UNEXPECTED_PDU)
        self._wire.take(length)
        self._wire.send(_RELEASE_RP)
        return False

    @property
    def _is_within_a_message(self) -> bool:
        return bool(self._command_bytes) or self._message is not None

    def _wait(self) -> None:
        if self._is_within_a_message:
            goes_on = self._wire.wait(self._limits.pdu_seconds, lambda: False)
        else:
            self._guest.idle_since = monotonic()
            goes_on = self._wire.wait(self._limits.idle_seconds, self._should_leave)
            self._guest.idle_since = None
        if not goes_on:
            raise Breach("the node is closing")
        self._wire.within(self._limits.pdu_seconds)

    def _should_leave(self) -> bool:
        return self._doorway.should_leave(self._guest)

    def _take_fragments(self, pdu: memoryview) -> None:
        """Take the presentation data values of one P-DATA-TF PDU, PS3.8 9.3.5 and Annex E."""
        at = 0
        while at < len(pdu):
            if at + _FRAGMENT_HEADER.size > len(pdu):
                raise Breach("a fragment has no header", INVALID_PARAMETER)
            length, context, control = _FRAGMENT_HEADER.unpack_from(pdu, at)
            end = at + 4 + length
            at += _FRAGMENT_HEADER.size
            if not at <= end <= len(pdu):
                raise Breach("a fragment is longer than its PDU", INVALID_PARAMETER)
            if context not in self._contexts:
                raise Breach("a fragment belongs to no context", INVALID_PARAMETER)
            take = self._take_command if control & _IS_COMMAND else self._take_data
            take(context, pdu[at:end], is_last=bool(control & _IS_LAST))
            at = end

    def _take_command(self, context: int, fragment: memoryview, *, is_last: bool) -> None:
        if self._message is not None or (self._command_bytes and context != self._context):
            raise Breach("a command comes within a message", UNEXPECTED_PDU)
        self._context = context
        self._command_bytes += fragment
        if len(self._command_bytes) > _LONGEST_COMMAND_BYTES:
            raise Breach("no command is so long", INVALID_PARAMETER)
        if is_last:
            command = command_of(bytes(self._command_bytes))
            self._command_bytes.clear()
            self._begin(command)

    def _begin(self, command: Command) -> None:
        sop_class_uid, _ = self._contexts[self._context]
        if command.field == C_CANCEL_RQ:
            return  # nothing here can be cancelled, and a C-CANCEL has no answer
        if command.field == C_ECHO_RQ and not command.has_data_set:
            fits = command.sop_class_uid == sop_class_uid == VERIFICATION
            self._answer(command, Status.SUCCESS if fits else Status.SOP_CLASS_NOT_SUPPORTED)
        elif command.field == C_STORE_RQ and command.has_data_set:
            self._message = command, self._desk.begin(command, self._context)
        elif command.field == C_STORE_RQ:
            self._answer(command, Status.CANNOT_UNDERSTAND, "there is no data set")
        else:
            raise Breach("nobody agreed on such a command", UNEXPECTED_PDU)

    def _take_data(self, context: int, fragment: memoryview, *, is_last: bool) -> None:
        if self._message is None or context != self._context:
            raise Breach("a data set comes without its command", UNEXPECTED_PDU)
        command, incoming = self._message
        incoming.write(fragment)
        if is_last:
            self._message = None  # from here on `finish` answers for the spooled file
            self._answer(command, *self._desk.finish(incoming, command, context))

    def _answer(self, command: Command, status: int, comment: str = "") -> None:
        message = response_to(command, status, comment)
        self._wire.send(
            struct.pack(">BxL", _P_DATA, len(message) + _FRAGMENT_HEADER.size)
            + _FRAGMENT_HEADER.pack(len(message) + 2, self._context, _IS_COMMAND | _IS_LAST)
            + message
        )
