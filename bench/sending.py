"""Sends files from a process that is warm: `python -m bench.sending NAME` waits for orders.

Each order is done by a child; what it takes from the first call to the last answer is measured.
Ours is done as the desk of the node does it: so many objects at once as it claims.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pynetdicom import AE

from bench import forking
from bench.contenders import AE_TITLE, SENDER
from dicom_ai_node import compose
from dicom_ai_node.domain.destination import DimsePeer, WebPeer
from dicom_ai_node.domain.limits import Limits
from dicom_ai_node.domain.ports import Sender
from dicom_ai_node.domain.uids import AETitle

_SUCCESS = 0
_ANSWER_SECONDS = 5


def ours_dimse(port: int, paths: Sequence[Path]) -> None:
    """Send by C-STORE as the node does."""
    peer = DimsePeer(
        ae_title=AETitle(AE_TITLE), host="127.0.0.1", port=port, calling_ae_title=AETitle(SENDER)
    )
    _ours(compose.sender(peer), paths)


def ours_web(port: int, paths: Sequence[Path]) -> None:
    """Send by STOW-RS as the node does."""
    _ours(compose.sender(WebPeer(url=f"http://127.0.0.1:{port}/dicom-web")), paths)


def _ours(sender: Sender, paths: Sequence[Path]) -> None:
    at_once = Limits().delivery_batch
    for start in range(0, len(paths), at_once):
        for entry in sender.send(paths[start : start + at_once]):
            if not isinstance(entry, str):
                raise entry


def pynetdicom_scu(port: int, paths: Sequence[Path]) -> None:
    """Send as pynetdicom's own examples do, over one association."""
    entity = AE(SENDER)
    entity.dimse_timeout = _ANSWER_SECONDS
    first = dcmread(paths[0], stop_before_pixels=True)
    entity.add_requested_context(first.SOPClassUID, first.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title=AE_TITLE)
    if not association.is_established:
        raise RuntimeError("no association")
    for path in paths:
        if association.send_c_store(dcmread(path)).get("Status") != _SUCCESS:
            raise RuntimeError("an object was not stored")
    association.release()


def dicomweb_client(port: int, paths: Sequence[Path]) -> None:
    """Send as dicomweb-client's documentation says, all in one request."""
    client = DICOMwebClient(f"http://127.0.0.1:{port}/dicom-web")
    client.store_instances([dcmread(path) for path in paths])


SENDERS: Mapping[str, Callable[[int, Sequence[Path]], None]] = {
    "dicom_ai_node": ours_dimse,
    "dicom_ai_node by STOW-RS": ours_web,
    "pynetdicom SCU": pynetdicom_scu,
    "dicomweb-client": dicomweb_client,
}


def measured(name: str, port: int, folder: Path) -> Mapping[str, float]:
    """Send all files of a folder and return what it took."""
    paths = sorted(folder.iterdir())
    began = time.perf_counter()
    SENDERS[name](port, paths)
    return {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    chosen = sys.argv[1]
    forking.serve(lambda said: measured(chosen, said["port"], Path(said["folder"])))
