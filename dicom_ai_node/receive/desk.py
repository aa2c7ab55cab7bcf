"""What happens to one instance between its last byte and the answer to its sender."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from dicom_ai_node.dimse.commands import Command, Status
from dicom_ai_node.domain.errors import NodeError, NotUnderstood
from dicom_ai_node.domain.ports import Blobs
from dicom_ai_node.domain.study import Arrival, Received
from dicom_ai_node.domain.uids import AETitle, SeriesInstanceUID, is_uid
from dicom_ai_node.receive.header import header_in, header_of
from dicom_ai_node.receive.incoming import Incoming
from dicom_ai_node.receive.negotiation import Accepted
from dicom_ai_node.receive.part10 import Announced, file_head
from dicom_ai_node.receive.peers import May

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """Where instances go. All of these are called from many threads at once.

    Attributes
    ----------
    room
        Raises `OutOfResources` if the node should take nothing now; asked when an association
        is requested and before each data set.
    arrive
        Called when the bytes of an instance are durable. Success is answered when it has
        returned; what it raises is answered with its `dimse_status`.
    released
        Called after an association ended in good order, with the series that it brought.
    refused
        Called with a spooled file that cannot be understood, the reason, and the AE title of
        the sender. It may keep the file; what is left afterwards is removed.
    own_device_uids
        Device UIDs of our models: what one of them has contributed to is ours.
    turned_away
        Called with the address of a peer whose association was refused, and the reason.
    """

    room: Callable[[], None]
    arrive: Callable[[Arrival], Received]
    released: Callable[[Sequence[SeriesInstanceUID]], None]
    refused: Callable[[Path, str, str], None]
    own_device_uids: frozenset[str] = frozenset()
    turned_away: Callable[[str, str], None] = lambda _address, _why: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Where the instances of one sender are taken in, by whatever way they come.

    Attributes
    ----------
    sender
        The calling AE title, or the name of whoever sends by HTTP.
    called
        The name under which the sender reached us.
    """

    blobs: Blobs
    inbox: Inbox
    sender: AETitle
    called: AETitle
    address: str

    def open(self, incoming: Incoming, announced: Announced) -> None:
        """Open a file for a data set that is about to come; without room, refuse it."""
        try:
            self.inbox.room()
            incoming.begin(self.blobs.spool, file_head(announced, self.sender))
        except NodeError as error:
            incoming.refuse(error.dimse_status, str(error))

    def arrival(self, incoming: Incoming, announced: Announced) -> Arrival:
        """Make an instance durable that has come in full; nothing is recorded yet.

        Raises
        ------
        NotUnderstood, NotStorable
            As `landed`.
        OutOfResources
            If there is no room for it.
        """
        landed = self.landed(incoming, announced)
        self.blobs.keep(incoming.path, landed.instance.sha256)
        incoming.let_go()
        return landed

    def landed(self, incoming: Incoming, announced: Announced) -> Arrival:
        """Look at an instance that has come in full; its file is as spooled as it was.

        Raises
        ------
        NotUnderstood
            If the data set cannot be read. Its bytes are kept for a person.
        NotStorable
            If it is not what was announced.
        """
        try:
            at, syntax = incoming.data_set_at, announced.transfer_syntax_uid
            data = incoming.in_memory
            header = header_in(data, at, syntax) if data else header_of(incoming.path, at, syntax)
        except NotUnderstood as error:
            self.inbox.refused(incoming.path, str(error), self.sender)
            raise
        header.check(announced)
        return Arrival(
            instance=header.instance(incoming.sha256, incoming.data_set_sha256),
            calling_ae_title=self.sender,
            called_ae_title=self.called,
            address=self.address,
            is_ours=not self.inbox.own_device_uids.isdisjoint(header.device_uids),
        )


@dataclass(slots=True, kw_only=True)
class Desk:
    """Takes in the instances of one association; `series` is what they belong to."""

    blobs: Blobs
    inbox: Inbox
    accepted: Accepted
    address: str
    longest_bytes: int
    series: dict[SeriesInstanceUID, None] = field(default_factory=dict)

    def begin(self, command: Command, context: int) -> Incoming:
        """Return where the data set goes that follows a C-STORE command in this context."""
        sop_class_uid, transfer_syntax_uid = self.accepted.contexts[context]
        incoming = Incoming(self.longest_bytes)
        if May.STORE not in self.accepted.may:
            incoming.refuse(Status.NOT_AUTHORIZED, "this AE title may not store here")
        elif command.sop_class_uid != sop_class_uid:
            incoming.refuse(Status.SOP_CLASS_NOT_SUPPORTED, "not the SOP class agreed upon")
        elif not is_uid(command.sop_instance_uid):
            incoming.refuse(Status.INVALID_OBJECT_INSTANCE, "SOP Instance UID is not a UID")
        else:
            self._counter.open(incoming, _announced(command, transfer_syntax_uid))
        return incoming

    def finish(self, incoming: Incoming, command: Command, context: int) -> tuple[int, str]:
        """Return status and comment for a data set that has arrived in full."""
        try:
            incoming.close()
            if incoming.refusal is not None:
                status, comment = incoming.refusal
            else:
                status, comment = self._take_in(incoming, command, context), ""
        except NodeError as error:
            status, comment = error.dimse_status, str(error)
        except Exception:
            # The peer gets an answer whatever is wrong with us.
            log.exception("instance_failed")
            status, comment = Status.PROCESSING_FAILURE, ""
        finally:
            incoming.discard()
        if status != Status.SUCCESS:
            peer = self.accepted.calling_ae_title
            log.warning("instance_not_taken", peer=peer, status=f"0x{status:04X}")
        return status, comment

    @property
    def _counter(self) -> Counter:
        return Counter(
            blobs=self.blobs,
            inbox=self.inbox,
            sender=self.accepted.calling_ae_title,
            called=self.accepted.called_ae_title,
            address=self.address,
        )

    def _take_in(self, incoming: Incoming, command: Command, context: int) -> Status:
        _, transfer_syntax_uid = self.accepted.contexts[context]
        arrival = self._counter.arrival(incoming, _announced(command, transfer_syntax_uid))
        received = self.inbox.arrive(arrival)
        self.series[arrival.instance.series_instance_uid] = None
        return Status.COERCION if received is Received.CONFLICT else Status.SUCCESS


def _announced(command: Command, transfer_syntax_uid: str) -> Announced:
    return Announced(
        sop_class_uid=command.sop_class_uid,
        sop_instance_uid=command.sop_instance_uid,
        transfer_syntax_uid=transfer_syntax_uid,
    )
