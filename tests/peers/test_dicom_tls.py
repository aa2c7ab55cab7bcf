"""DCMTK, OpenSSL and Orthanc speak DICOM over TLS with the node, or are turned away."""

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import httpx
import pytest

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.domain.destination import DimsePeer, PeerTls
from dicom_ai_node.domain.errors import PeerRejected
from dicom_ai_node.domain.uids import AETitle, derive_uid
from tests.certificates import Authority, Pair
from tests.peers.orthanc import PATIENCE_SECONDS, Orthanc
from tests.peers.tools import find, free_port
from tests.phantoms import ct, write

pytestmark = pytest.mark.peer


@dataclass(frozen=True)
class Hospital:
    """A CA, what it has issued, and a node that trusts it."""

    authority: Authority
    scanner: Pair
    config: NodeConfig
    folder: Path

    @property
    def open_port(self) -> int:
        """Where clear text is spoken."""
        assert self.config.receive.port is not None
        return self.config.receive.port

    @property
    def port(self) -> int:
        """Where TLS is spoken."""
        assert self.config.receive.tls is not None
        return self.config.receive.tls.port


@contextmanager
def hospital(folder: Path, profile: str = "rfc8996") -> Iterator[Hospital]:
    """Run a node with both ports."""
    authority = Authority(folder / "ca")
    own, scanner = authority.issue("node", "localhost"), authority.issue("ct1", "ct1.example.org")
    tls = {
        "port": free_port(), "certificate": str(own.certificate), "key": str(own.key),
        "trusted": str(authority.certificate), "profile": profile,
    }  # fmt: skip
    accept = ["PACS", "ORTHANC", {"ae_title": "CT1", "certificate": "ct1.example.org"}]
    receive = {
        "ae_title": "AI_NODE", "host": "127.0.0.1", "port": free_port(), "tls": tls,
        "accept_from": accept,
    }  # fmt: skip
    path = folder / "ae_config.yaml"
    path.write_text(f"""\
receive: {json.dumps(receive)}
store: {{folder: ./store, min_free_gb: 0.01}}
routes:
  - {{name: tissue, when: {{}}, run: segment, model: ct_tissue, write: segmentation, to: []}}
""")
    config = compose.settings(path)
    compose.prepare(config)
    listener, listening = compose.listener(config), compose.listening_sockets(config)
    doors = compose.entrances(config, listening, compose.reception_tls(config))
    thread = Thread(target=listener.serve, args=(doors,))
    thread.start()
    try:
        yield Hospital(authority, scanner, config, folder)
    finally:
        listener.close(0)
        thread.join(10)
        for one in listening:
            one.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """Run one node for the module."""
    with hospital(tmp_path_factory.mktemp("hospital")) as running:
        yield running


def dcmtk(
    tool: str, place: Hospital, *options: object, shows: Pair | None = None, port: int = 0,
    title: str = "CT1", trusts: Path | None = None, files: tuple[Path, ...] = (),
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run a tool of DCMTK, by default with the certificate of the scanner."""
    pair = shows or place.scanner
    trusted = trusts or place.authority.certificate
    return subprocess.run(
        [find(tool), "-v", "+tls", pair.key, pair.certificate, "+cf", trusted, *map(str, options),
         "-aet", title, "-aec", "AI_NODE", "127.0.0.1", str(port or place.port), *files],
        capture_output=True, text=True, timeout=120, check=False, errors="replace",
    )  # fmt: skip


@pytest.mark.parametrize("profile", ["", "+py", "+px", "+pz"])
def test_dcmtk_stores_over_tls_in_every_profile(
    place: Hospital, tmp_path: Path, profile: str
) -> None:
    """Non-downgrading by default, BCP 195, and extended BCP 195."""
    options = profile.split()
    assert dcmtk("echoscu", place, *options).returncode == 0
    files = write(ct(slices=2, SeriesInstanceUID=derive_uid("tls", profile)), tmp_path / "series")
    before = compose.ledger(place.config).counts()["instances"]
    said = dcmtk("storescu", place, *options, files=tuple(files))
    assert said.returncode == 0, said.stderr
    assert compose.ledger(place.config).counts()["instances"] == before + 2


def test_dcmtk_is_turned_away_without_the_right_certificate(
    place: Hospital, tmp_path: Path
) -> None:
    """Of another CA, expired, or of somebody else; and with the right one under another name."""
    other = Authority(tmp_path / "other")
    for shows in (other.issue("ct1", "ct1.example.org"), place.authority.issue("late", days=-1)):
        said = dcmtk("echoscu", place, shows=shows)
        assert said.returncode, said.stdout
        assert "Association Rejected" not in said.stdout + said.stderr, "TLS ends it before"
    someone = place.authority.issue("mr1", "mr1.example.org")
    said = dcmtk("echoscu", place, shows=someone)
    assert "Calling AE Title Not Recognized" in said.stdout + said.stderr
    assert dcmtk("echoscu", place, shows=someone, title="PACS").returncode == 0
    said = dcmtk("echoscu", place, title="STRANGER")
    assert "Calling AE Title Not Recognized" in said.stdout + said.stderr


def test_dcmtk_without_tls_and_with_tls_on_the_wrong_port_is_told_at_once(place: Hospital) -> None:
    """Neither side waits for the other to say something that it understands."""
    plain = [find("echoscu"), "-v", "-to", "60", "-ta", "60", "-aec", "AI_NODE"]
    for title, port in (("PACS", place.port), ("CT1", place.open_port)):
        said = subprocess.run(
            [*plain, "-aet", title, "127.0.0.1", str(port)],
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
        assert said.returncode, "clear text to the secured port, and for a name with a certificate"
    said = dcmtk("echoscu", place, "-to", 60, port=place.open_port)
    assert said.returncode


def test_dcmtk_anonymous_tls_is_refused(place: Hospital) -> None:
    """Encrypted, but by nobody."""
    said = subprocess.run(
        [find("echoscu"), "+tla", "+cf", place.authority.certificate, "-aet", "CT1", "-aec",
         "AI_NODE", "127.0.0.1", str(place.port)],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert said.returncode


VERSIONS = ("-ssl3", "-tls1", "-tls1_1", "-tls1_2", "-tls1_3")


def _openssl(place: Hospital, *options: str) -> str:
    """Return the protocol and the cipher that OpenSSL agrees on, an empty text for nothing."""
    said = subprocess.run(
        [find("openssl"), "s_client", "-connect", f"127.0.0.1:{place.port}", "-brief",
         "-cert", place.scanner.certificate, "-key", place.scanner.key,
         "-CAfile", place.authority.certificate, *options],
        input="", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    words = dict(
        line.split(": ", 1) for line in (said.stdout + said.stderr).splitlines() if ": " in line
    )
    if said.returncode or "Ciphersuite" not in words:
        return ""
    return f"{words['Protocol version']} {words['Ciphersuite']}"


def _suites(place: Hospital) -> list[str]:
    """Return the suites of TLS 1.2 that the port takes: each is offered alone, even the null one."""
    known = subprocess.run(
        [find("openssl"), "ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"],
        capture_output=True, text=True, check=True,
    ).stdout.strip().split(":")  # fmt: skip
    context = ssl.create_default_context(cafile=str(place.authority.certificate))
    context.load_cert_chain(place.scanner.certificate, place.scanner.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return [name for name in known if _agrees(place.port, context, name)]


def _agrees(port: int, context: ssl.SSLContext, suite: str) -> bool:
    try:
        context.set_ciphers(f"{suite}:@SECLEVEL=0")
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
        ):
            return sock.cipher() is not None
    except OSError:
        return False


@pytest.mark.parametrize("profile", ["rfc8996", "rfc8996-modified"])
def test_what_the_port_speaks(tmp_path: Path, profile: str) -> None:
    """A list as testssl makes it: nothing before TLS 1.2, nothing without secrecy, no CBC."""
    with hospital(tmp_path, profile) as place:
        spoken = {
            version: _openssl(place, version, "-cipher", "ALL:@SECLEVEL=0") for version in VERSIONS
        }
        suites = _suites(place)
    lines = [f"{version[1:]:8} {agreed or 'refused'}" for version, agreed in spoken.items()]
    print("", *lines, f"TLS 1.2 takes {' '.join(suites)}", sep="\n")  # noqa: T201 - it is to be read
    assert {version for version, agreed in spoken.items() if agreed} == {"-tls1_2", "-tls1_3"}
    expected = {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"}
    if profile == "rfc8996-modified":
        expected.add("ECDHE-RSA-CHACHA20-POLY1305")
    assert set(suites) == expected


@pytest.fixture(scope="module")
def orthanc(place: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Run an Orthanc that takes DICOM over TLS only, and knows the node."""
    own = place.authority.issue("orthanc", "localhost")
    node = {"AET": "AI_NODE", "Host": "127.0.0.1", "Port": place.port, "UseDicomTls": True}
    with Orthanc(
        tmp_path_factory.mktemp("archive"),
        DicomTlsEnabled=True,
        DicomTlsCertificate=str(own.certificate),
        DicomTlsPrivateKey=str(own.key),
        DicomTlsTrustedCertificates=str(place.authority.certificate),
        DicomModalities={"node": node},
    ) as running:
        yield running


def _to(orthanc: Orthanc, place: Hospital, **tls: object) -> DimseSender:
    shown = {"certificate": place.scanner.certificate, "key": place.scanner.key}
    said = {"trusted": place.authority.certificate, **shown, **tls}
    return DimseSender(
        DimsePeer(
            ae_title=AETitle("ORTHANC"),
            host="127.0.0.1",
            port=orthanc.dicom_port,
            calling_ae_title=AETitle("AI_NODE"),
            tls=PeerTls(place="destinations.orthanc.tls", name="localhost", **said),  # type: ignore[arg-type]
        )
    )


def test_orthanc_and_the_node_send_to_each_other_over_tls(
    place: Hospital, orthanc: Orthanc, tmp_path: Path
) -> None:
    """What we deliver comes back to us, both ways encrypted."""
    files = write(ct(slices=3, SeriesInstanceUID=derive_uid("tls", "orthanc")), tmp_path / "ct")
    assert all(isinstance(one, str) for one in _to(orthanc, place).send(files))
    there = orthanc.instances()
    assert len(there) == 3
    before = compose.ledger(place.config).counts()["instances"]
    answer = httpx.post(
        f"{orthanc.url}/modalities/node/store", json=list(there.values()), trust_env=False,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert compose.ledger(place.config).counts()["instances"] == before + 3


def test_orthanc_with_another_certificate_gets_nothing(
    place: Hospital, orthanc: Orthanc, tmp_path: Path
) -> None:
    """Neither under another name, nor with another fingerprint, nor from another CA."""
    files = write(ct(slices=1), tmp_path / "ct")
    other = Authority(tmp_path / "other")
    for tls, why in (
        ({"trusted": other.certificate}, "is not taken"),
        ({"fingerprint": "0" * 64}, "is another than"),
    ):
        [entry] = _to(orthanc, place, **tls).send(files)
        assert isinstance(entry, PeerRejected)
        assert why in str(entry)
