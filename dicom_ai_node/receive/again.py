"""Taking in again what was put aside: the bytes are here, and a person says that they may come."""

import hashlib
from pathlib import Path

from dicom_ai_node.domain.errors import NotUnderstood
from dicom_ai_node.domain.study import Arrival, Received
from dicom_ai_node.domain.uids import AETitle, Sha256
from dicom_ai_node.receive.desk import Inbox
from dicom_ai_node.receive.header import data_set_of, header_of

_HERE = "127.0.0.1"


def again(inbox: Inbox, blob: Path, calling: AETitle, called: AETitle) -> Received:
    """Let a blob in as an arrival from the one who once sent it; its name is its digest.

    Raises
    ------
    NotUnderstood, NotStorable
        If it still cannot be let in.
    OutOfResources
        If there is no room, or the ledger cannot answer.
    """
    inbox.room()
    try:
        transfer_syntax_uid, data_set_at = data_set_of(blob)
        header = header_of(blob, data_set_at, transfer_syntax_uid)
        with blob.open("rb") as file:
            file.seek(data_set_at)
            data_set_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as gone:
        raise NotUnderstood("its bytes are gone") from gone
    arrival = Arrival(
        instance=header.instance(Sha256(blob.name), data_set_sha256=data_set_sha256),
        calling_ae_title=calling,
        called_ae_title=called,
        address=_HERE,
        is_ours=not inbox.own_device_uids.isdisjoint(header.device_uids),
    )
    return inbox.arrive(arrival)
