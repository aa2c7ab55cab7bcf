"""Delivery to Orthanc: what a real archive does with results, and on its bad days."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, RLELossless

from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.domain.destination import DimsePeer, WebPeer
from dicom_ai_node.domain.errors import PeerRejected, PeerUnavailable
from dicom_ai_node.domain.uids import AETitle, derive_uid
from tests.peers.orthanc import Orthanc
from tests.peers.proxy import Proxy
from tests.phantoms import ct, write

pytestmark = pytest.mark.peer

LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Run one Orthanc for the module; it takes no compressed transfer syntax."""
    folder = tmp_path_factory.mktemp("archive")
    with Orthanc(
        folder, AcceptedTransferSyntaxes=["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]
    ) as running:
        yield running


@pytest.fixture
def files(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """Return four CT slices that no other test sends."""
    series = derive_uid("deliver", request.node.name)
    return write(ct(slices=4, SeriesInstanceUID=series), tmp_path / "files")


def sender(port: int, ae_title: str = "ORTHANC") -> DimseSender:
    """Return a sender to a port of loopback."""
    peer = DimsePeer(
        ae_title=AETitle(ae_title), host="127.0.0.1", port=port, calling_ae_title=AETitle("AI_NODE")
    )
    return DimseSender(peer, connect_seconds=5, dimse_seconds=20)


def uids_of(files: list[Path]) -> set[str]:
    """Return the SOP Instance UIDs."""
    return {str(dcmread(file).SOPInstanceUID) for file in files}


def test_a_compressed_object_arrives_uncompressed_with_the_same_pixels(
    orthanc: Orthanc, tmp_path: Path
) -> None:
    """An archive that takes no RLE gets the same object without."""
    [image] = ct(slices=1, SeriesInstanceUID=derive_uid("deliver", "rle"))
    before = image.pixel_array.copy()
    image.compress(RLELossless, generate_instance_uid=False)
    [note] = sender(orthanc.dicom_port).send(write(image, tmp_path))
    assert isinstance(note, str)
    assert "Explicit VR Little Endian" in note
    assert (orthanc.dataset(image.SOPInstanceUID).pixel_array == before).all()


def test_a_class_of_tomorrow_goes_by_web_where_dimse_refuses_it(
    orthanc: Orthanc, tmp_path: Path
) -> None:
    """Orthanc 1.10 knows no label map segmentation on DIMSE, and stores what STOW-RS brings."""
    by_dimse, by_web = sender(orthanc.dicom_port), WebSender(WebPeer(url=orthanc.dicomweb_url))
    series = derive_uid("deliver", "labelmap")
    files = write(ct(slices=1, SOPClassUID=LABELMAP, SeriesInstanceUID=series), tmp_path)
    assert by_dimse.accepts(CTImageStorage)
    assert not by_dimse.accepts(LABELMAP)
    [refused] = by_dimse.send(files)
    assert isinstance(refused, PeerRejected)
    assert by_web.send(files) == [""]
    assert uids_of(files) <= orthanc.instances().keys()


def test_one_object_that_orthanc_refuses_condemns_no_other(
    orthanc: Orthanc, files: list[Path]
) -> None:
    """A request with one file that is DICOM only in its first bytes: Orthanc answers 400."""
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:400])  # the file meta information is in order, the rest is gone
    first, second, third, fourth = WebSender(WebPeer(url=orthanc.dicomweb_url)).send(files)
    assert (first, third, fourth) == ("", "", "")
    assert isinstance(second, PeerRejected)
    files[1].write_bytes(whole)
    assert uids_of([files[0], *files[2:]]) <= orthanc.instances().keys()


def test_an_archive_that_is_called_something_else_says_so(
    orthanc: Orthanc, files: list[Path]
) -> None:
    """The operator reads which line of the configuration to correct."""
    entries = sender(orthanc.dicom_port, "PACS").send(files)
    if any(isinstance(entry, PeerUnavailable) for entry in entries):
        # A rejection that is followed by the end of the connection may be lost: then, as a node
        # does, once more.
        entries = sender(orthanc.dicom_port, "PACS").send(files)
    assert [type(entry) for entry in entries] == [PeerRejected] * len(files)
    assert "`ae_title` of the destination" in str(entries[0])


def test_a_web_address_that_is_not_dicomweb_is_for_the_operator(
    orthanc: Orthanc, files: list[Path]
) -> None:
    """Orthanc is there, STOW-RS is not at this address."""
    entries = WebSender(WebPeer(url=f"{orthanc.url}/nowhere")).send(files)
    assert all(isinstance(entry, PeerRejected) for entry in entries)


@pytest.mark.parametrize(
    "cut_answers_after", [pytest.param(400, id="the answer of the first object is lost")]
)
def test_what_is_cut_off_arrives_once(
    orthanc: Orthanc, files: list[Path], cut_answers_after: int
) -> None:
    """Sent again under the same UIDs: the archive has each object once."""
    before = len(orthanc.instances())
    with Proxy(orthanc.dicom_port, cut_answers_after=cut_answers_after) as proxy:
        entries = sender(proxy.port).send(files)
    assert isinstance(entries[-1], PeerUnavailable)
    assert all(isinstance(entry, str) for entry in sender(orthanc.dicom_port).send(files))
    assert len(orthanc.instances()) == before + 4


def test_an_archive_that_was_away_gets_its_results_when_it_is_back(
    files: list[Path], tmp_path: Path
) -> None:
    """Stopped, asked in vain, started again on the same ports: everything is there."""
    archive = Orthanc(tmp_path)
    ways = [sender(archive.dicom_port), WebSender(WebPeer(url=archive.dicomweb_url))]
    with archive:
        assert ways[0].send(files[:1]) == [""]
    for way in ways:
        assert all(isinstance(entry, PeerUnavailable) for entry in way.send(files))
    with archive:
        for way in ways:
            assert all(isinstance(entry, str) for entry in way.send(files))
        assert archive.instances().keys() == uids_of(files)
