"""Programs of others, and our own sender, store at our node by STOW-RS."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.domain.destination import WebPeer
from dicom_ai_node.domain.errors import PeerRejected
from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.web import WebServer
from tests.peers.orthanc import Orthanc
from tests.peers.tools import free_port
from tests.phantoms import STUDY_INSTANCE_UID, ct, write

JANE = {"PatientName": "Doe^Jane", "PatientID": "J", "AccessionNumber": "J1"}
"""Not who the phantoms are: the archive is an index of names, and nothing else may know theirs."""


@dataclass
class Window:
    """A node that answers HTTP."""

    settings: NodeConfig
    url: str

    def uids(self) -> list[str]:
        """Return what the archive holds of the study of the phantoms."""
        held = compose.archive(self.settings).held(StudyInstanceUID(STUDY_INSTANCE_UID))
        return [str(each.sop_instance_uid) for each in held]

    def stored(self) -> list[Dataset]:
        """Return the files of all that it holds."""
        held = compose.archive(self.settings).held(StudyInstanceUID(STUDY_INSTANCE_UID))
        return [dcmread(compose.blobs(self.settings).path(each.sha256)) for each in held]


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Window]:
    """Open a node to this machine."""
    port = free_port()
    path = tmp_path / "ae_config.yaml"
    path.write_text(
        dedent(f"""\
        receive: {{ae_title: AI_NODE, accept_from: [CT1]}}
        store: {{folder: ./node, min_free_gb: 0.01}}
        routes:
          - {{name: tissue, when: {{}}, run: segment, model: ct_tissue, write: segmentation, to: []}}
        serve: {{port: {port}, login: none}}
        """)
    )
    settings = compose.settings(path)
    compose.prepare(settings)
    server = WebServer(settings)
    server.start()
    yield Window(settings, f"http://127.0.0.1:{port}/dicom-web")
    server.close()


def test_the_python_client_stores_and_reads_the_answer(window: Window) -> None:
    """dicomweb-client, in one request."""
    images = ct(slices=5, rows=32, columns=32, **JANE)
    client = DICOMwebClient(window.url)
    answer = client.store_instances(images, study_instance_uid=STUDY_INSTANCE_UID)
    stored = [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence]
    assert stored == [image.SOPInstanceUID for image in images]
    assert window.uids() == stored
    assert window.stored() == images


def test_the_python_client_hears_what_failed(window: Window) -> None:
    """With the reason of the standard."""
    images = ct(slices=2, rows=32, columns=32, **JANE)
    images[0].SOPClassUID = images[0].file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    answer = DICOMwebClient(window.url).store_instances(images)
    assert [item.FailureReason for item in answer.FailedSOPSequence] == [0x0122]
    assert len(answer.ReferencedSOPSequence) == 1


def test_what_our_own_sender_sends_our_own_node_stores(window: Window, tmp_path: Path) -> None:
    """One note per object, and of a bad one the reason; both sides read the same standard."""
    files = write(ct(slices=6, rows=32, columns=32, **JANE), tmp_path / "files")
    sender = WebSender(WebPeer(url=window.url), most_bytes=5000)
    assert sender.accepts("1.2.840.10008.5.1.4.1.1.2")
    files[2].write_bytes(files[2].read_bytes()[:700])
    answers = sender.send(files)
    assert [answer == "" for answer in answers] == [True, True, False, True, True, True]
    assert isinstance(answers[2], PeerRejected)
    assert len(window.uids()) == 5


def test_orthanc_pushes_a_study_by_stow(window: Window, tmp_path: Path) -> None:
    """Its DICOMweb plugin as a client, compressed instances among them, byte for byte."""
    images = ct(slices=4, rows=32, columns=32, **JANE)
    images[3].compress(RLELossless, generate_instance_uid=False)
    servers = {"node": {"Url": window.url + "/", "HasDelete": False}}
    settings = {"Enable": True, "Root": "/dicom-web/", "Servers": servers}
    with Orthanc(tmp_path, DicomWeb=settings) as orthanc:
        assert (
            WebSender(WebPeer(url=orthanc.dicomweb_url)).send(write(images, tmp_path / "files"))
            == [""] * 4
        )
        resources = list(orthanc.instances().values())
        answer = httpx.post(
            f"{orthanc.url}/dicom-web/servers/node/stow",
            content=json.dumps({"Resources": resources, "Synchronous": True}),
            timeout=60, trust_env=False,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        assert sorted(window.uids()) == sorted(orthanc.instances())
    stored = {str(each.SOPInstanceUID): each for each in window.stored()}
    for image in images:
        assert stored[image.SOPInstanceUID].PixelData == image.PixelData


def test_many_clients_at_once_store_everything_once(window: Window) -> None:
    """Eight of them, each with all of it: one instance each, and no complaint."""
    images = ct(slices=20, rows=32, columns=32, **JANE)
    failures: list[Exception] = []

    def send() -> None:
        try:
            answer = DICOMwebClient(window.url).store_instances(images)
            assert len(answer.ReferencedSOPSequence) == 20
        except Exception as error:  # noqa: BLE001 - told in the main thread
            failures.append(error)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert len(window.uids()) == 20
    assert compose.ledger(window.settings).counts()["quarantine.open"] == 0
