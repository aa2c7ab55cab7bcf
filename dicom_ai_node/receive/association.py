"""One accepted association: takes messages off the wire, puts data sets straight onto the disk.

One thread reads, writes and answers. The two threads, the queues and the object for every PDU of
pynetdicom's own association cost several times what the disk does.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from dicom_ai_node.dimse.commands import (
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_STORE_RQ,
    C_STORE_RSP,
    N_EVENT_REPORT_RSP,
    Command,
    Status,
    command_of,
    response_to,
    store_request,
)
from dicom_ai_node.dimse.wire import (
    INVALID_PARAMETER,
    PDU_HEADER_BYTES,
    UNEXPECTED_PDU,
    UNRECOGNIZED_PDU,
    Breach,
    PeerGone,
    Wire,
)
from dicom_ai_node.domain.archive import Held
from dicom_ai_node.receive.contexts import VERIFICATION
from dicom_ai_node.receive.desk import Desk
from dicom_ai_node.receive.enquiries import Reply
from dicom_ai_node.receive.incoming import Identifier, Incoming
from dicom_ai_node.receive.outgoing import FRAGMENT_HEADER, IS_COMMAND, IS_LAST, P_DATA, pdus
from dicom_ai_node.receive.server import Doorway, Guest
from dicom_ai_node.receive.services import COMMITMENTS, QUERIES, Services

_RELEASE_RQ, _ABORT = 5, 7
_RELEASE_RP = struct.pack(">BBLL", 6, 0, 4, 0)
_SLACK_BYTES = 12
"""Some peers count the header of the PDU in, or leave out that of its first fragment."""

_LONGEST_CONTROL_PDU = 64
_LONGEST_COMMAND_BYTES = 16 << 10
_NEWS_AFTER_SECONDS = 0.4
"""Of silence: a peer that means to leave after its request has begun to by then."""


@dataclass(slots=True, kw_only=True)
class _Work:
    """A query that is being answered. `awaited` is the C-STORE whose response is due."""

    command: Command
    context: int
    identifier: bytes | None
    is_cancelled: bool = False
    stores: int = 0
    awaited: int | None = None
    stored: int | None = None


class Association:
    """The messages of one association; a `Line` to those who answer queries."""

    def __init__(
        self, wire: Wire, guest: Guest, desk: Desk, doorway: Doorway, services: Services
    ) -> None:
        self._wire = wire
        self._guest = guest
        self._accepted = desk.accepted
        self._contexts = desk.accepted.contexts
        self._doorway = doorway
        self._limits = doorway.limits
        self._desk = desk
        self._services, self._committing = services, services.committing
        self._command_bytes = bytearray()
        self._context = 0
        self._message: tuple[Command, Incoming | Identifier] | None = None
        self._work: _Work | None = None

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
                # Only here: what a PDU holds is gone when the next one is taken.
                work, enquiries = self._work, self._services.enquiries
                if work is not None and enquiries is not None:
                    enquiries.answer(work.command, work.context, work.identifier, self)
                    self._work = None
        finally:
            if self._message is not None:
                self._message[1].discard()
            if self._committing is not None:
                self._committing.close()

    def is_cancelled(self) -> bool:
        """Return whether a C-CANCEL has come for the query that is being answered."""
        while self._wire.has_more():
            self._take_while_at_work()
        return self._working.is_cancelled

    def reply(self, reply: Reply) -> None:
        """Answer the query, for now or for good."""
        work = self._working
        message = response_to(
            work.command, reply.status, reply.comment, reply.counts, has_data_set=bool(reply.data)
        )
        self._send(work.context, message, [reply.data] if reply.data else ())

    def store(self, context: int, held: Held, data: Iterable[bytes]) -> int:
        """Send an object as a sub-operation, and return the status of its answer.

        Raises
        ------
        Breach
            If the answer does not come in time, or the object cannot be read to its end.
        """
        work = self._working
        work.stores += 1
        work.awaited, work.stored = work.stores & 0xFFFF, None
        request = store_request(work.awaited, held.sop_class_uid, held.sop_instance_uid)
        try:
            self._send(context, request, data)
        except OSError as error:
            raise Breach("a stored object cannot be read") from error
        return self._answer_to_store(work)

    def _answer_to_store(self, work: _Work) -> int:
        while work.stored is None:
            self._wire.wait(self._limits.idle_seconds, lambda: False)
            self._take_while_at_work()
        return work.stored

    @property
    def _working(self) -> _Work:
        assert self._work is not None  # noqa: S101 - `Enquiries` is called with it
        return self._work

    def _take_while_at_work(self) -> None:
        """Take a PDU that has begun to arrive: a C-CANCEL, the answer to a C-STORE, an abort."""
        self._wire.within(self._limits.pdu_seconds)
        self._take_pdu()
        while self._command_bytes:
            self._wire.wait(self._limits.pdu_seconds, lambda: False)
            self._wire.within(self._limits.pdu_seconds)
            self._take_pdu()

    def _next_pdu(self) -> bool:
        """Wait for a PDU and take it; return False after a release."""
        self._wait()
        return self._take_pdu()

    def _take_pdu(self) -> bool:
        kind, length = struct.unpack(">BxL", self._wire.take(PDU_HEADER_BYTES))
        if kind == P_DATA:
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
        return bool(self._command_bytes or self._message or self._work)

    def _wait(self) -> None:
        if self._is_within_a_message:
            goes_on = self._wire.wait(self._limits.pdu_seconds, lambda: False)
        else:
            self._tell_news()
            self._guest.idle_since = monotonic()
            goes_on = self._wire.wait(self._limits.idle_seconds, self._should_leave)
            self._guest.idle_since = None
        if not goes_on:
            raise Breach("the node is closing")
        self._wire.within(self._limits.pdu_seconds)

    def _tell_news(self) -> None:
        """Send a report that is ready, if the peer has paused."""
        if self._committing is None or not self._committing.has_news:
            return
        at = monotonic() + _NEWS_AFTER_SECONDS
        if self._wire.wait(self._limits.idle_seconds, lambda: monotonic() >= at):
            return  # it has more to say
        context, command, data = self._committing.news()
        self._send(context, command, [data])

    def _should_leave(self) -> bool:
        return self._doorway.should_leave(self._guest)

    def _take_fragments(self, pdu: memoryview) -> None:
        """Take the presentation data values of one P-DATA-TF PDU, PS3.8 9.3.5 and Annex E."""
        at = 0
        while at < len(pdu):
            if at + FRAGMENT_HEADER.size > len(pdu):
                raise Breach("a fragment has no header", INVALID_PARAMETER)
            length, context, control = FRAGMENT_HEADER.unpack_from(pdu, at)
            end = at + 4 + length
            at += FRAGMENT_HEADER.size
            if not at <= end <= len(pdu):
                raise Breach("a fragment is longer than its PDU", INVALID_PARAMETER)
            if context not in self._contexts:
                raise Breach("a fragment belongs to no context", INVALID_PARAMETER)
            take = self._take_command if control & IS_COMMAND else self._take_data
            take(context, pdu[at:end], is_last=bool(control & IS_LAST))
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
        if command.field == C_CANCEL_RQ:
            # It has no answer of its own, and may come when all has been answered.
            if (work := self._work) and command.responded_to == work.command.message_id:
                work.is_cancelled = True
        elif self._work is not None:
            self._take_answer(command, self._work)
        elif command.field == N_EVENT_REPORT_RSP:
            if self._committing is None or not self._committing.told(command):
                raise Breach("nobody has sent such a report", UNEXPECTED_PDU)
            self._message = (command, Identifier()) if command.has_data_set else None
        else:
            self._take_request(command)

    def _take_request(self, command: Command) -> None:
        sop_class_uid, _ = self._contexts[self._context]
        if command.field == C_ECHO_RQ and not command.has_data_set:
            fits = command.sop_class_uid == sop_class_uid == VERIFICATION
            self._answer(command, Status.SUCCESS if fits else Status.SOP_CLASS_NOT_SUPPORTED)
        elif command.field != C_STORE_RQ and command.field not in self._services.take_data:
            raise Breach("nobody agreed on such a command", UNEXPECTED_PDU)
        elif not command.has_data_set:
            self._answer(command, Status.CANNOT_UNDERSTAND, "there is no data set")
        elif command.field == C_STORE_RQ:
            self._message = command, self._desk.begin(command, self._context)
        else:
            self._message = command, Identifier()

    def _take_answer(self, command: Command, work: _Work) -> None:
        """Take the response to a C-STORE of ours; nothing else can be said meanwhile."""
        is_awaited = command.field == C_STORE_RSP and command.responded_to == work.awaited
        if not is_awaited or work.awaited is None or command.has_data_set:
            raise Breach("a command comes while another one is carried out", UNEXPECTED_PDU)
        work.awaited = None
        work.stored = Status.PROCESSING_FAILURE if command.status is None else command.status

    def _take_data(self, context: int, fragment: memoryview, *, is_last: bool) -> None:
        if self._message is None or context != self._context:
            raise Breach("a data set comes without its command", UNEXPECTED_PDU)
        command, incoming = self._message
        incoming.write(fragment)
        if not is_last:
            return
        self._message = None  # from here on `finish` answers for the spooled file
        if isinstance(incoming, Incoming):
            self._answer(command, *self._desk.finish(incoming, command, context))
        elif command.field in COMMITMENTS and self._committing is not None:
            self._answer(command, *self._committing.answer(command, context, incoming.encoded))
        elif command.field in QUERIES:
            self._work = _Work(command=command, context=context, identifier=incoming.encoded)

    def _answer(self, command: Command, status: int, comment: str = "") -> None:
        self._send(self._context, response_to(command, status, comment))

    def _send(self, context: int, command: bytes, data: Iterable[bytes] = ()) -> None:
        for pdu in pdus(context, command, data, self._accepted.user.longest_pdu_bytes):
            self._wire.send(pdu)
