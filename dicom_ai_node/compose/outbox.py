"""What the port of the node answers queries from: the archive, the blobs and the destinations."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import structlog
from pydicom.uid import UID

from dicom_ai_node import config as configuration
from dicom_ai_node.compose.auditing import trail
from dicom_ai_node.compose.ground import archive, blobs, darkroom
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.deliver.convert import PLAIN
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.forward import forward
from dicom_ai_node.deliver.parcel import Parcel
from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.audit import Happening
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import NodeError, PeerRejected, UnknownDestination
from dicom_ai_node.domain.query_retrieve import Originator
from dicom_ai_node.domain.showing import Darkroom, Uncompressed
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.outbox import Outbox, Outcomes
from dicom_ai_node.serve.query_retrieve import QueryRetrieve
from dicom_ai_node.store.blobs import FolderBlobs

log = structlog.get_logger()


class _Files:
    """What the archive holds, as files in the transfer syntax that somebody takes."""

    def __init__(self, kept: FolderBlobs, darkroom: Darkroom) -> None:
        self._kept = kept
        self._darkroom = darkroom

    def parcel(self, held: Held) -> Parcel:
        """Return what a sender must know of an object."""
        return Parcel(
            path=self._kept.path(held.sha256),
            sop_class_uid=UID(held.sop_class_uid),
            sop_instance_uid=UID(held.sop_instance_uid),
            transfer_syntax_uid=UID(held.transfer_syntax_uid),
            size_bytes=held.size_bytes,
        )

    @contextmanager
    def given_in(self, asked: Parcel, transfer_syntax_uid: UID) -> Iterator[Path]:
        """Give the file as it lies, or uncompressed by a process that may die of it."""
        if transfer_syntax_uid == asked.transfer_syntax_uid:
            yield asked.path
            return
        order = Uncompressed(is_implicit=transfer_syntax_uid.is_implicit_VR)
        with asked.path.open("rb") as stored, self._darkroom.make(order, stored).file as made:
            # A file without a name; whoever opens this gets a place in it of his own.
            yield Path(f"/proc/self/fd/{made.fileno()}")

    def file(
        self, held: Held, transfer_syntax_uids: Collection[str]
    ) -> AbstractContextManager[Path]:
        """Give an object as it lies where that is taken, or else uncompressed."""
        wanted = (held.transfer_syntax_uid, *PLAIN)
        syntax = next((uid for uid in wanted if uid in transfer_syntax_uids), None)
        if syntax is None:
            raise PeerRejected("it is taken in no transfer syntax in which it can be given")
        return self.given_in(self.parcel(held), UID(syntax))


def outbox(config: NodeConfig) -> Outbox:
    """Return what queries and retrievals over DIMSE are answered from."""
    answers = QueryRetrieve(archive(config), AETitle(config.receive.ae_title))
    # Whoever waits for a decoder is one of these: nobody is turned away for the others.
    decoder = darkroom(config, waiting=config.receive.max_associations)
    files, destinations = _Files(blobs(config), decoder), application_entities(config)

    def move(ae_title: AETitle, held: Sequence[Held], originator: Originator) -> Outcomes:
        if ae_title not in destinations:
            raise UnknownDestination("the move destination is none of `destinations`")
        sender = DimseSender(destinations[ae_title], given_in=files.given_in)
        return forward(sender, list(map(files.parcel, held)), originator)

    notes = trail(config)

    def told(happening: Happening) -> None:
        try:
            notes.note(happening)
        except NodeError:
            log.exception("audit_not_noted")  # and yet a doctor gets the images

    return Outbox(
        find=answers.find,
        named=answers.named,
        failed=answers.failed,
        file=files.file,
        move=move,
        told=told,
        most_answers=config.receive.max_answers,
    )


def application_entities(config: NodeConfig) -> Mapping[AETitle, DimsePeer]:
    """Return where something may be moved to; of two with one AE title, the first."""
    peers = configuration.destinations(config).values()
    found = [peer for peer in peers if isinstance(peer, DimsePeer)]
    return {peer.ae_title: peer for peer in reversed(found)}
