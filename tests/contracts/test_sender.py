"""What every way to a destination promises, on real ones: folder, storescp, Orthanc twice."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.folder import FolderSender
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.domain.destination import DimsePeer, FolderPeer, WebPeer
from dicom_ai_node.domain.errors import NeedsAttention, PeerUnavailable
from dicom_ai_node.domain.ports import Sender
from dicom_ai_node.domain.uids import AETitle, derive_uid
from tests.peers.orthanc import Orthanc
from tests.peers.tools import find, free_port, listens, wait_for
from tests.phantoms import ct, write


@dataclass
class Place:
    """One destination: the way there, what lies there, and the same way when nobody is there."""

    sender: Sender
    fetch: Callable[[str], bytes]
    to_nobody: Sender


def dimse(port: int, ae_title: str = "PACS") -> DimseSender:
    """Return a sender to a port of loopback."""
    peer = DimsePeer(
        ae_title=AETitle(ae_title), host="127.0.0.1", port=port, calling_ae_title=AETitle("AI_NODE")
    )
    return DimseSender(peer, connect_seconds=5, dimse_seconds=10)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Run one Orthanc for the module."""
    with Orthanc(tmp_path_factory.mktemp("archive")) as running:
        yield running


@pytest.fixture(scope="module")
def storescp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Run one storescp for the module: its port and its folder."""
    folder = tmp_path_factory.mktemp("storescp")
    port, log = free_port(), folder / "log"
    received = folder / "received"
    received.mkdir()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [find("storescp"), "-aet", "PACS", "-od", str(received), "-pm", "+xa", str(port)],
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        wait_for(lambda: listens(port), process, log)
        yield port, received
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(
    params=[
        "a folder",
        pytest.param("storescp by C-STORE", marks=pytest.mark.peer),
        pytest.param("Orthanc by C-STORE", marks=pytest.mark.peer),
        pytest.param("Orthanc by STOW-RS", marks=pytest.mark.peer),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return each destination in turn."""
    match request.param:
        case "a folder":
            folder = tmp_path / "results"
            folder.mkdir()
            return Place(
                FolderSender(FolderPeer(folder=folder)),
                lambda uid: next(folder.rglob(f"{uid}.dcm")).read_bytes(),
                FolderSender(FolderPeer(folder=tmp_path / "not mounted")),
            )
        case "storescp by C-STORE":
            port, received = request.getfixturevalue("storescp")
            return Place(
                dimse(port),
                lambda uid: next(received.glob(f"*{uid}*")).read_bytes(),
                dimse(free_port()),
            )
        case "Orthanc by C-STORE":
            orthanc: Orthanc = request.getfixturevalue("orthanc")
            return Place(
                dimse(orthanc.dicom_port, "ORTHANC"),
                lambda uid: orthanc.file(orthanc.instances()[uid]),
                dimse(free_port()),
            )
        case _:
            orthanc = request.getfixturevalue("orthanc")
            return Place(
                WebSender(WebPeer(url=orthanc.dicomweb_url)),
                lambda uid: orthanc.file(orthanc.instances()[uid]),
                WebSender(WebPeer(url=f"http://127.0.0.1:{free_port()}/dicom-web")),
            )


@pytest.fixture
def files(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """Return three CT slices that no other test sends."""
    series = derive_uid("sender", request.node.name)
    return write(ct(slices=3, SeriesInstanceUID=series), tmp_path / "files")


def data_set(content: bytes) -> bytes:
    """Return what follows the file meta information: the object itself."""
    length = int.from_bytes(content[140:144], "little")  # (0002,0000), PS3.10 7.1
    return content[144 + length :]


def test_what_was_sent_lies_there_byte_for_byte(place: Place, files: list[Path]) -> None:
    """One empty note per object, and the data set at the destination is the one that was made."""
    assert place.sender.send(files) == ["", "", ""]
    for file in files:
        arrived = place.fetch(dcmread(file).SOPInstanceUID)
        assert data_set(arrived) == data_set(file.read_bytes())


def test_sending_again_is_a_success_and_changes_nothing(place: Place, files: list[Path]) -> None:
    """A node that died before it noted the answer repeats itself without harm."""
    place.sender.send(files)
    uid = dcmread(files[0]).SOPInstanceUID
    before = data_set(place.fetch(uid))
    assert all(isinstance(entry, str) for entry in place.sender.send(files))
    assert data_set(place.fetch(uid)) == before


def test_one_file_that_is_gone_stops_no_other(place: Place, files: list[Path]) -> None:
    """The entry of each object stands where the object stood."""
    files[1].unlink()
    first, second, third = place.sender.send(files)
    assert (first, third) == ("", "")
    assert isinstance(second, NeedsAttention)
    assert "ZZCANARY" not in str(second)


def test_a_file_that_is_no_dicom_is_for_a_person(place: Place, files: list[Path]) -> None:
    """Sending it again would not make it DICOM."""
    files[0].write_bytes(b"nonsense" * 100)
    first, second, third = place.sender.send(files)
    assert isinstance(first, NeedsAttention)
    assert (second, third) == ("", "")


def test_nothing_to_send_is_no_errand(place: Place) -> None:
    """No object, no entry."""
    assert place.to_nobody.send([]) == []


def test_nobody_there_means_later(place: Place, files: list[Path]) -> None:
    """An archive that is away costs no result: each object is to be sent again."""
    entries = place.to_nobody.send(files)
    assert len(entries) == 3
    assert all(isinstance(entry, PeerUnavailable) for entry in entries)


def test_it_says_whether_a_sop_class_is_welcome(place: Place) -> None:
    """A CT is welcome everywhere, and nobody is there to welcome anything."""
    assert place.sender.accepts(CTImageStorage)
    assert not place.to_nobody.accepts(CTImageStorage)
