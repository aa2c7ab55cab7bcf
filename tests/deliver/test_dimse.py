"""C-STORE to application entities that answer in every way that PS3.4 and networks know."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
)
from pynetdicom import _config

from dicom_ai_node.deliver.dimse import MOST_CONTEXTS, DimseSender, batches, contexts_for
from dicom_ai_node.deliver.parcel import Parcel
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import NodeError, OutOfResources, PeerRejected, PeerUnavailable
from dicom_ai_node.domain.uids import AETitle
from tests.peers.archive import archive
from tests.peers.proxy import Proxy
from tests.phantoms import ct, ct_values, mr, write

PLAIN = [(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Return four CT slices."""
    return write(ct(slices=4), tmp_path / "ct")


def sender(port: int, *, seconds: float = 5.0, ae_title: str = "PACS") -> DimseSender:
    """Return a sender to a port of loopback."""
    peer = DimsePeer(
        ae_title=AETitle(ae_title), host="127.0.0.1", port=port, calling_ae_title=AETitle("AI_NODE")
    )
    return DimseSender(peer, connect_seconds=2, dimse_seconds=seconds)


def data_set(file: Path) -> bytes:
    """Return what follows the file meta information."""
    content = file.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(0xA700, OutOfResources, id="full"),
        pytest.param(0xA900, PeerRejected, id="does not match its SOP class"),
        pytest.param(0xC000, PeerRejected, id="cannot understand"),
        pytest.param(0x0122, PeerRejected, id="SOP class not supported"),
        pytest.param(0x0124, PeerRejected, id="not authorized"),
    ],
)
def test_one_refusal_stops_no_other_object(
    files: list[Path], status: int, error: type[NodeError]
) -> None:
    """Each object has its own entry, in order, and the association goes on."""
    with archive(PLAIN, lambda number: status if number == 1 else 0) as pacs:
        first, second, third, fourth = sender(pacs.port).send(files)
    assert (first, third, fourth) == ("", "", "")
    assert type(second) is error
    assert f"{status:04X}" in str(second)


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0x0111])
def test_a_warning_is_noted_and_the_object_is_there(files: list[Path], status: int) -> None:
    """The note tells that the copy may differ from ours."""
    with archive(PLAIN, lambda _: status) as pacs:
        entries = sender(pacs.port).send(files)
    assert all(isinstance(entry, str) and f"{status:04X}" in entry for entry in entries)


def test_the_bytes_of_the_file_are_sent(files: list[Path]) -> None:
    """No data set is read and written again on the way, and no other sender is disturbed."""
    with archive(PLAIN) as pacs:
        assert sender(pacs.port).send(files) == [""] * 4
    assert pacs.data == [data_set(file) for file in files]
    assert not _config.STORE_SEND_CHUNKED_DATASET


def test_only_what_is_sent_is_proposed(files: list[Path], tmp_path: Path) -> None:
    """One context per SOP class and transfer syntax, so that the peer says yes or no to each."""
    image = dcmread(files[0])
    image.compress(RLELossless)
    image.save_as(files[0])
    with archive(
        [(CTImageStorage, [RLELossless]), (MRImageStorage, [ImplicitVRLittleEndian])]
    ) as pacs:
        sender(pacs.port).send([files[0], *write(mr(slices=1), tmp_path / "mr")])
    [proposed] = pacs.proposed
    assert sorted(proposed) == sorted(
        [
            (CTImageStorage, (RLELossless,)),
            (CTImageStorage, (ExplicitVRLittleEndian,)),
            (CTImageStorage, (ImplicitVRLittleEndian,)),
            (MRImageStorage, (ExplicitVRLittleEndian,)),
            (MRImageStorage, (ImplicitVRLittleEndian,)),
        ]
    )
    assert pacs.syntaxes == [RLELossless, ImplicitVRLittleEndian]


@pytest.mark.parametrize("made_as", [RLELossless, JPEGLSLossless, ExplicitVRLittleEndian])
@pytest.mark.parametrize("taken", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_the_peer_does_not_take_is_converted(tmp_path: Path, made_as: str, taken: str) -> None:
    """Same SOP Instance UID, same pixels, and a note unless nothing had to be done."""
    [image] = ct(slices=1)
    if made_as != ExplicitVRLittleEndian:
        image.compress(made_as, generate_instance_uid=False)
    with archive([(CTImageStorage, [taken])]) as pacs:
        [note] = sender(pacs.port).send(write(image, tmp_path))
    assert pacs.uids == [image.SOPInstanceUID]
    assert pacs.syntaxes == [taken]
    received = read_dataset(BytesIO(pacs.data[0]), taken == ImplicitVRLittleEndian, True)
    pixels = np.frombuffer(received.PixelData, np.uint16).reshape(64, 48)
    np.testing.assert_array_equal(pixels.astype(int) - 1024, ct_values(1, 64, 48)[0])
    assert isinstance(note, str)
    assert bool(note) is (made_as != taken)


def test_what_cannot_be_decoded_is_said(tmp_path: Path) -> None:
    """The peer takes no RLE and the RLE is broken: a person, not a crash."""
    [image] = ct(slices=1)
    image.compress(RLELossless, generate_instance_uid=False)
    image.PixelData = image.PixelData[:200] + b"\xff" * 20
    with archive(PLAIN) as pacs:
        [entry] = sender(pacs.port).send(write(image, tmp_path))
    assert isinstance(entry, PeerRejected)
    assert pacs.uids == []


def test_a_class_that_the_peer_does_not_take_stops_no_other(
    files: list[Path], tmp_path: Path
) -> None:
    """A PACS without MR takes the CT; the entry of the MR names the class."""
    [image] = write(mr(slices=1), tmp_path / "mr")
    with archive(PLAIN) as pacs:
        first, second, third = sender(pacs.port).send([files[0], image, files[1]])
    assert (first, third) == ("", "")
    assert isinstance(second, PeerRejected)
    assert "MR Image Storage" in str(second)


def test_a_peer_that_takes_none_of_it_says_no(tmp_path: Path) -> None:
    """No context accepted is a refusal, not silence."""
    with archive(PLAIN) as pacs:
        [entry] = sender(pacs.port).send(write(mr(slices=1), tmp_path))
    assert isinstance(entry, PeerRejected)
    assert "MR Image Storage" in str(entry)


def test_a_peer_that_does_not_know_us_is_for_its_operator(files: list[Path]) -> None:
    """Permanent, calling AE title not recognized."""
    with archive(PLAIN, require_calling=["CT1"]) as pacs:
        entries = sender(pacs.port).send(files)
    assert [type(entry) for entry in entries] == [PeerRejected] * 4
    assert "operator of the destination" in str(entries[0])


def test_a_peer_with_another_name_is_for_our_operator(files: list[Path]) -> None:
    """Permanent, called AE title not recognized."""
    with archive(PLAIN, require_called="ARCHIVE") as pacs:
        entries = sender(pacs.port).send(files)
    assert [type(entry) for entry in entries] == [PeerRejected] * 4
    assert "operator of this node" in str(entries[0])


def test_a_congested_peer_is_tried_again(files: list[Path]) -> None:
    """Transient, local limit exceeded."""
    with archive(PLAIN, rejects=(2, 3, 2)) as pacs:
        entries = sender(pacs.port).send(files)
    assert [type(entry) for entry in entries] == [PeerUnavailable] * 4


def test_a_peer_that_goes_away_keeps_what_it_has(files: list[Path]) -> None:
    """It aborts on the third of four: two are there, two are to be sent again."""
    with archive(PLAIN, lambda number: -1 if number == 2 else 0) as pacs:
        first, second, third, fourth = sender(pacs.port).send(files)
    assert (first, second) == ("", "")
    assert isinstance(third, PeerUnavailable)
    assert isinstance(fourth, PeerUnavailable)


def test_a_line_that_is_cut_keeps_what_is_there(files: list[Path]) -> None:
    """In the middle of the third object."""
    size = files[0].stat().st_size
    with archive(PLAIN) as pacs, Proxy(pacs.port, cut_after=int(2.7 * size)) as proxy:
        first, second, third, fourth = sender(proxy.port).send(files)
    assert (first, second) == ("", "")
    assert isinstance(third, PeerUnavailable)
    assert isinstance(fourth, PeerUnavailable)


def test_an_answer_that_is_lost_means_sending_again(files: list[Path]) -> None:
    """The object is there, the answer is not: the next attempt repeats the same UIDs."""
    with archive(PLAIN) as pacs:
        with Proxy(pacs.port, cut_answers_after=400) as proxy:
            broken = sender(proxy.port).send(files)
        assert any(isinstance(entry, PeerUnavailable) for entry in broken)
        assert sender(pacs.port).send(files) == [""] * 4
    assert set(pacs.uids) == {str(dcmread(file).SOPInstanceUID) for file in files}


@pytest.mark.parametrize(
    "swallow_after",
    [
        pytest.param(0, id="before the association"),
        pytest.param(2000, id="in the middle of an object"),
    ],
)
def test_a_peer_that_stalls_holds_nobody_up(files: list[Path], swallow_after: int) -> None:
    """The line stays open and nothing moves: each attempt ends at its limit."""
    with archive(PLAIN) as pacs, Proxy(pacs.port, swallow_after=swallow_after) as proxy:
        entries = sender(proxy.port, seconds=0.5).send(files)
    assert [type(entry) for entry in entries] == [PeerUnavailable] * 4


def test_a_peer_that_is_too_slow_to_answer_is_left(files: list[Path]) -> None:
    """It takes the object and thinks for too long."""
    with archive(PLAIN, seconds=1.5) as pacs:
        entries = sender(pacs.port, seconds=0.3).send(files[:2])
    assert [type(entry) for entry in entries] == [PeerUnavailable] * 2


def test_a_host_without_an_address_means_later(files: list[Path]) -> None:
    """The name server of the hospital is down."""
    peer = DimsePeer(
        ae_title=AETitle("PACS"), host="pacs.invalid", port=104, calling_ae_title=AETitle("AI_NODE")
    )
    entries = DimseSender(peer, connect_seconds=1).send(files)
    assert [type(entry) for entry in entries] == [PeerUnavailable] * 4


def parcel(number: int) -> Parcel:
    """Return a parcel of a SOP class of its own."""
    return Parcel(
        path=Path("none"), sop_class_uid=f"1.2.{number}", sop_instance_uid=f"1.3.{number}",
        transfer_syntax_uid=RLELossless, size_bytes=1,
    )  # fmt: skip


def test_no_association_proposes_more_contexts_than_there_are_numbers() -> None:
    """128 contexts; the objects keep their order."""
    parcels = [parcel(number) for number in range(100)]
    made = list(batches(parcels))
    assert [each for batch in made for each in batch] == parcels
    assert len(made) == 3
    assert all(len(contexts_for(batch)) <= MOST_CONTEXTS for batch in made)


def test_a_class_is_negotiated_once_in_ten_minutes() -> None:
    """A yes and a no are remembered, silence is not."""
    now = [0.0]
    with archive(PLAIN) as pacs:
        port = pacs.port
        peer = DimsePeer(
            ae_title=AETitle("PACS"),
            host="127.0.0.1",
            port=port,
            calling_ae_title=AETitle("AI_NODE"),
        )
        asking = DimseSender(peer, connect_seconds=1, clock=lambda: now[0])
        for _ in range(3):
            assert asking.accepts(CTImageStorage)
            assert not asking.accepts(MRImageStorage)
        assert len(pacs.proposed) == 2
    now[0] = 599.0
    assert asking.accepts(CTImageStorage)
    now[0] = 601.0
    assert not asking.accepts(CTImageStorage)
