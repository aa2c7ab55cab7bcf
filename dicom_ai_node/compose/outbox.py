"""What the port of the node answers queries from: the archive, the blobs and the destinations."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pydicom.uid import UID

from dicom_ai_node import config as configuration
from dicom_ai_node.compose.ground import archive, blobs
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.deliver.convert import in_one_of
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.forward import forward
from dicom_ai_node.deliver.parcel import Parcel
from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import UnknownDestination
from dicom_ai_node.domain.query_retrieve import Originator
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.outbox import Outbox, Outcomes
from dicom_ai_node.serve.query_retrieve import QueryRetrieve


def outbox(config: NodeConfig) -> Outbox:
    """Return what queries and retrievals over DIMSE are answered from."""
    answers = QueryRetrieve(archive(config), AETitle(config.receive.ae_title))
    files = blobs(config)
    destinations: dict[AETitle, DimsePeer] = {}
    for peer in configuration.destinations(config).values():
        if isinstance(peer, DimsePeer):
            destinations.setdefault(peer.ae_title, peer)

    def parcel(held: Held) -> Parcel:
        return Parcel(
            path=files.path(held.sha256),
            sop_class_uid=UID(held.sop_class_uid),
            sop_instance_uid=UID(held.sop_instance_uid),
            transfer_syntax_uid=UID(held.transfer_syntax_uid),
            size_bytes=held.size_bytes,
        )

    def file(held: Held, transfer_syntax_uids: Collection[str]) -> AbstractContextManager[Path]:
        return in_one_of(parcel(held), transfer_syntax_uids)

    def move(ae_title: AETitle, held: Sequence[Held], originator: Originator) -> Outcomes:
        if ae_title not in destinations:
            raise UnknownDestination("the move destination is none of `destinations`")
        return forward(DimseSender(destinations[ae_title]), list(map(parcel, held)), originator)

    return Outbox(
        find=answers.find,
        named=answers.named,
        failed=answers.failed,
        file=file,
        move=move,
        most_answers=config.receive.max_answers,
    )
