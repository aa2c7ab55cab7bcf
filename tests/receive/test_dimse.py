"""A real service user sends, and hears what became of it."""

import socket
import ssl
import struct
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from threading import Thread

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE

from dicom_ai_node import log
from dicom_ai_node.domain.errors import NeedsAttention, NotStorable, OutOfResources
from dicom_ai_node.domain.study import Received
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.dimse import DimseListener, Inbox
from dicom_ai_node.receive.server import Entrance, listening_socket
from dicom_ai_node.store.blobs import FolderBlobs
from tests import phantoms
from tests.receive.conftest import OWN_DEVICE_UID, PEERS, Diary, Node, Start
from tests.receive.rawpeer import RawPeer, command, encoded, p_data, pdv, request, smallest


def test_a_series_arrives_byte_for_byte(node: Node) -> None:
    """Every instance that was answered with success lies in the store as it was sent."""
    slices = phantoms.ct(slices=3)
    association = node.associate(slices[0])
    statuses = [node.send(association, image) for image in slices]
    association.release()
    assert statuses == [0x0000] * 3
    for image, arrival in zip(slices, node.diary.arrivals, strict=True):
        stored = dcmread(node.blobs.path(arrival.instance.sha256))
        assert stored == image
        assert stored.file_meta.SourceApplicationEntityTitle == "CT1"
        assert stored.file_meta.TransferSyntaxUID == image.file_meta.TransferSyntaxUID
        assert arrival.instance.sop_instance_uid == image.SOPInstanceUID
        assert arrival.instance.attributes["Modality"] == "CT"
    assert not node.files("spool")


@pytest.mark.parametrize(
    ("device_uid", "is_ours"),
    [
        pytest.param(OWN_DEVICE_UID, True, id="what a model of ours has made"),
        pytest.param("1.2.826.0.1.78", False, id="what somebody else has made"),
    ],
)
def test_our_own_work_is_recognised(node: Node, device_uid: str, is_ours: bool) -> None:
    """It may come from another node of ours, or from before the ledger was lost."""
    image = phantoms.ct(slices=1)[0]
    equipment = Dataset()
    equipment.DeviceUID = device_uid
    image.ContributingEquipmentSequence = [equipment]
    association = node.associate(image)
    assert node.send(association, image) == 0x0000
    association.release()
    assert [arrival.is_ours for arrival in node.diary.arrivals] == [is_ours]


def test_a_release_names_the_series_that_came(node: Node) -> None:
    """The end of an association in good order is evidence that a series is complete."""
    image = phantoms.ct(slices=1)[0]
    association = node.associate(image)
    node.send(association, image)
    association.release()
    assert node.sees(lambda: node.diary.released == [(image.SeriesInstanceUID,)])


def test_an_abort_is_no_evidence(node: Node) -> None:
    """A sender that breaks off has perhaps not sent everything."""
    image = phantoms.ct(slices=1)[0]
    association = node.associate(image)
    node.send(association, image)
    association.abort()
    time.sleep(0.2)
    assert len(node.diary.arrivals) == 1
    assert not node.diary.released


def test_a_release_that_cannot_be_noted_does_no_harm(node: Node) -> None:
    """The series settles by the clock, and the next association is served."""
    node.diary.bad_release = OutOfResources("the ledger is busy")
    image = phantoms.ct(slices=1)[0]
    for _ in range(2):
        association = node.associate(image)
        assert node.send(association, image) == 0x0000
        association.release()


def test_an_echo_is_answered(node: Node) -> None:
    """A C-ECHO succeeds and leaves nothing behind."""
    association = node.associate()
    assert association.send_c_echo().Status == 0x0000
    association.release()
    assert not node.diary.released


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        pytest.param(Received.NEW, 0x0000, id="new"),
        pytest.param(Received.DUPLICATE, 0x0000, id="the same again is fine"),
        pytest.param(Received.OURS, 0x0000, id="our own result coming home"),
        pytest.param(Received.CONFLICT, 0xB000, id="same UID and other bytes is a warning"),
        pytest.param(OutOfResources("the ledger is full"), 0xA700, id="the ledger is full"),
        pytest.param(NotStorable("it does not fit"), 0xA900, id="it does not fit"),
        pytest.param(NeedsAttention("ask someone"), 0x0110, id="a person must look"),
        pytest.param(RuntimeError("ZZCANARY^PHI"), 0x0110, id="a mistake of ours"),
    ],
)
def test_the_peer_hears_what_became_of_its_instance(
    node: Node, answer: Received | Exception, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Success is answered only when the arrival has been recorded; each error has its status."""
    log.configure(debug=True)  # onto what is captured here
    node.diary.answer = answer
    image = phantoms.ct(slices=1)[0]
    association = node.associate(image)
    assert node.send(association, image) == status
    node.diary.answer = Received.NEW
    assert node.send(association, image) == 0x0000
    association.release()
    logged = "".join(capfd.readouterr())
    assert ("instance_not_taken" in logged) is (status != 0x0000)
    assert "ZZCANARY" not in logged


def test_a_full_disk_turns_senders_away_for_now(node: Node) -> None:
    """An association is rejected as a passing matter before the disk is full."""
    node.diary.full = OutOfResources("little room")
    with RawPeer(node.port) as peer:
        kind, body = peer.send(request()).pdu()
    assert (kind, body[1:]) == (3, bytes((2, 3, 1)))


def test_a_disk_that_fills_up_within_an_association_stops_the_next_instance(node: Node) -> None:
    """A700 says: try again later; afterwards the same association goes on."""
    with RawPeer(node.port).associate() as peer:
        node.diary.full = OutOfResources("little room")
        assert peer.store(encoded(smallest())) == 0xA700
        node.diary.full = None
        assert peer.store(encoded(smallest())) == 0x0000
        peer.release()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"SOPInstanceUID": "1.2.3.99"}, 0xA900, id="another instance than announced"),
        pytest.param({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, 0xA900, id="another class"),
        pytest.param({"StudyInstanceUID": "1.2.03"}, 0xA900, id="a study UID with a leading zero"),
        pytest.param({"SeriesInstanceUID": "../../etc/x"}, 0xA900, id="a path for a series UID"),
        pytest.param({"SeriesInstanceUID": ""}, 0xC000, id="no series UID"),
        pytest.param({"StudyInstanceUID": ""}, 0xC000, id="no study UID"),
        pytest.param({"SOPInstanceUID": ""}, 0xC000, id="no instance UID"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_an_instance_that_contradicts_itself_is_refused(
    node: Node, changes: dict[str, str], status: int
) -> None:
    """Refused bytes are not in the store; only what cannot be understood is kept for a person."""
    data = encoded(smallest(**changes))
    with RawPeer(node.port).associate() as peer:
        assert peer.store(data) == status
        assert peer.store(encoded(smallest())) == 0x0000
        peer.release()
    assert len(node.files("blobs")) == 1
    assert not node.files("spool")
    assert [entry[0].endswith(data) for entry in node.diary.refused] == [True] * (status == 0xC000)


def test_the_peer_reads_why_it_was_refused(node: Node) -> None:
    """The error comment names the attribute, so that the sender can be repaired."""
    with RawPeer(node.port).associate() as peer:
        data = encoded(smallest(SeriesInstanceUID=""))
        response = peer.send(p_data(pdv(command(), 3), pdv(data, 2))).response()
    assert response[0x902].strip() == b"SeriesInstanceUID is absent"
    assert node.diary.refused[0][1:] == ("SeriesInstanceUID is absent", "CT1")


def test_an_instance_larger_than_allowed_is_read_to_its_end_and_refused(start: Start) -> None:
    """The peer gets A700 instead of a broken connection, and the disk stays empty."""
    node = start(instance_bytes=100_000)
    with RawPeer(node.port).associate() as peer:
        assert peer.store(bytes(1_000_000)) == 0xA700
        assert not node.files("spool")
        assert peer.store(encoded(smallest())) == 0x0000
        peer.release()


def test_a_broken_off_instance_leaves_nothing(node: Node) -> None:
    """A connection that ends in the middle of an instance leaves no file and no arrival."""
    with RawPeer(node.port).associate() as peer:
        peer.send(p_data(pdv(command(), 3), pdv(bytes(5000), 0)))
        assert node.sees(lambda: bool(node.files("spool")))
        linger = struct.pack("ii", 1, 0)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert node.sees(lambda: not node.files("spool"))
    assert not node.diary.arrivals
    assert not node.diary.released


def test_a_peer_can_speak_implicit_only(node: Node) -> None:
    """The default transfer syntax of DICOM is always understood."""
    image = phantoms.ct(slices=1)[0]
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    association = node.associate(image)
    assert node.send(association, _as_implicit(image)) == 0x0000
    association.release()
    (arrival,) = node.diary.arrivals
    assert arrival.instance.transfer_syntax_uid == ImplicitVRLittleEndian
    assert arrival.instance.attributes["SeriesDescription"] == image.SeriesDescription


def _as_implicit(image: Dataset) -> Dataset:
    data = BytesIO()
    image.save_as(data, implicit_vr=True, little_endian=True)
    data.seek(0)
    return dcmread(data)


def test_closing_lets_a_busy_association_finish_and_ends_an_idle_one(start: Start) -> None:
    """A restart of the node costs no sender its study."""
    node = start()
    with RawPeer(node.port).associate() as idle, RawPeer(node.port).associate() as busy:
        busy.store(encoded(smallest()))
        node.listener.close(grace_seconds=10)
        for _ in range(4):
            time.sleep(0.3)
            assert busy.store(encoded(smallest())) == 0x0000
        assert idle.pdu()[0] == 7
        busy.release()
    assert node.sees(lambda: len(node.diary.released) == 1)


def test_two_listeners_share_one_socket_and_closing_one_leaves_the_other(tmp_path: Path) -> None:
    """Receivers can be restarted one by one without a gap on the port."""
    listening = listening_socket("127.0.0.1", 0)
    pair = [(listener, Thread(target=listener.serve, args=([Entrance(listening)],))) for listener in (
        _deaf(tmp_path), _deaf(tmp_path))]  # fmt: skip
    for _, thread in pair:
        thread.start()
    for listener, thread in pair:
        for _ in range(10):
            with RawPeer(listening.getsockname()[1]).associate() as peer:
                peer.release()
        listener.close(0)
        thread.join(5)
        assert not thread.is_alive()
    listening.close()


def _deaf(folder: Path) -> DimseListener:
    diary = Diary()
    return DimseListener(
        ae_title=AETitle("AI_NODE"),
        accept_from=PEERS,
        blobs=FolderBlobs(folder),
        inbox=Inbox(
            room=diary.room, arrive=diary.arrive, released=diary.release, refused=diary.refuse
        ),
    )


def test_closing_before_serving_is_fine(tmp_path: Path) -> None:
    """A node that is stopped while it starts does not hang."""
    listener = _deaf(tmp_path)
    listener.close(0)
    with listening_socket("127.0.0.1", 0) as listening:
        listener.serve([Entrance(listening)])


def test_the_socket_listens_on_every_address_if_none_is_named() -> None:
    """An empty host means the whole machine."""
    with listening_socket("", 0) as listening:
        assert listening.getsockname()[0].strip("0.:") == ""
        assert listening.gettimeout() == 0


def test_a_port_in_use_is_said_at_once(node: Node) -> None:
    """The second node on one port does not start."""
    with pytest.raises(OSError, match="in use"):
        listening_socket("127.0.0.1", node.port)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a key and its certificate in one file."""
    path = tmp_path / "both.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=node",
         "-keyout", path, "-out", tmp_path / "c.pem"], capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    path.write_bytes(path.read_bytes() + (tmp_path / "c.pem").read_bytes())
    return path


def test_a_silent_client_does_not_hold_up_tls(start: Start, certificate: Path) -> None:
    """The handshake happens in the thread of the connection, not where others are accepted."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    node = start(ssl_context=server, request_seconds=1)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    ae = AE("CT1")
    image = phantoms.ct(slices=1)[0]
    ae.add_requested_context(image.SOPClassUID, image.file_meta.TransferSyntaxUID)
    with RawPeer(node.port) as silent:
        association = ae.associate(
            "127.0.0.1", node.port, ae_title="AI_NODE", tls_args=(client, None)
        )
        assert node.send(association, image) == 0x0000
        association.release()
        assert silent.pdu() == (0, b"")


def test_plain_text_on_the_tls_port_is_turned_away(start: Start, certificate: Path) -> None:
    """Nobody is answered in the clear where encryption was promised."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    node = start(ssl_context=server)
    with RawPeer(node.port) as peer:
        assert peer.send(request()).pdu()[0] != 2
    assert node.sees(lambda: bool(node.diary.turned_away))
    ((address, why),) = node.diary.turned_away
    assert (address, why.split(":")[0]) == ("127.0.0.1", "no TLS")


def test_no_log_line_names_the_patient(node: Node, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither what arrives, nor what is refused, nor what breaks off is quoted."""
    log.configure(debug=True)  # onto what is captured here
    image = phantoms.ct(slices=1)[0]
    data = encoded(image)
    context = [(3, image.SOPClassUID, (image.file_meta.TransferSyntaxUID,))]
    uids = image.SOPInstanceUID.encode(), image.SOPClassUID.encode()
    with RawPeer(node.port).associate(context) as peer:
        assert peer.store(data, *uids) == 0x0000
        assert peer.store(data[:-10], *uids) == 0xC000
        assert peer.store(data, b"1.2.3.9", uids[1]) == 0xA900
        peer.send(p_data(pdv(data, 2)))
        peer.pdu()
    logged = "".join(capfd.readouterr())
    assert "instance_not_taken" in logged
    assert phantoms.CANARY not in logged
    assert image.SOPInstanceUID not in logged
    assert "ZZCANARY" not in str(node.diary.arrivals)


def test_a_signal_handler_can_close_the_listener(tmp_path: Path) -> None:
    """SIGTERM reaches the thread that serves."""
    code = (
        "import signal, sys; from pathlib import Path;"
        "from tests.receive.test_dimse import _deaf; from dicom_ai_node.receive.server import *;"
        "node = _deaf(Path(sys.argv[1]));"
        "signal.signal(signal.SIGTERM, lambda *_: node.close(5));"
        "doors = [Entrance(listening_socket('127.0.0.1', 0))]; print('up', flush=True);"
        "node.serve(doors)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)
        process.terminate()
        assert process.wait(10) == 0
