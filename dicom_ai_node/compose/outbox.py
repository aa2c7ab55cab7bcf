"""What the port of the node answers queries from: the archive, the blobs and the destinations."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pydicom.uid import UID

from dicom_ai_node import config as configuration
from dicom_ai_node.compose.ground import archive, blobs, darkroom
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.deliver.convert import PLAIN
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.forward import forward
from dicom_ai_node.deliver.parcel import Parcel
from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import PeerRejected, UnknownDestination
from dicom_ai_node.domain.query_retrieve import Originator
from dicom_ai_node.domain.showing import Uncompressed
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.outbox import Outbox, Outcomes
from dicom_ai_node.serve.query_retrieve import QueryRetrieve


def outbox(config: NodeConfig) -> Outbox:
    """Return what queries and retrievals over DIMSE are answered from."""
    answers = QueryRetrieve(archive(config), AETitle(config.receive.ae_title))
    files, decoder, destinations = blobs(config), darkroom(config), _destinations(config)

    def parcel(held: Held) -> Parcel:
        return Parcel(
            path=files.path(held.sha256),
            sop_class_uid=UID(held.sop_class_uid),
            sop_instance_uid=UID(held.sop_instance_uid),
            transfer_syntax_uid=UID(held.transfer_syntax_uid),
            size_bytes=held.size_bytes,
        )

    @contextmanager
    def given_in(asked: Parcel, transfer_syntax_uid: UID) -> Iterator[Path]:
        if transfer_syntax_uid == asked.transfer_syntax_uid:
            yield asked.path
            return
        order = Uncompressed(is_implicit=transfer_syntax_uid.is_implicit_VR)
        with asked.path.open("rb") as stored, decoder.make(order, stored).file as made:
            # A file without a name; whoever opens this gets a place in it of his own.
            yield Path(f"/proc/self/fd/{made.fileno()}")

    def file(held: Held, transfer_syntax_uids: Collection[str]) -> AbstractContextManager[Path]:
        wanted = (held.transfer_syntax_uid, *PLAIN)
        syntax = next((uid for uid in wanted if uid in transfer_syntax_uids), None)
        if syntax is None:
            raise PeerRejected("it is taken in no transfer syntax in which it can be given")
        return given_in(parcel(held), UID(syntax))

    def move(ae_title: AETitle, held: Sequence[Held], originator: Originator) -> Outcomes:
        if ae_title not in destinations:
            raise UnknownDestination("the move destination is none of `destinations`")
        sender = DimseSender(destinations[ae_title], given_in=given_in)
        return forward(sender, list(map(parcel, held)), originator)

    return Outbox(
        find=answers.find,
        named=answers.named,
        failed=answers.failed,
        file=file,
        move=move,
        most_answers=config.receive.max_answers,
    )


def _destinations(config: NodeConfig) -> Mapping[AETitle, DimsePeer]:
    """Return where something may be moved to; of two with one AE title, the first."""
    peers = configuration.destinations(config).values()
    found = [peer for peer in peers if isinstance(peer, DimsePeer)]
    return {peer.ae_title: peer for peer in reversed(found)}
