"""C-STORE over TLS: only to the one that is meant, and with what we show as it is now."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.domain.destination import DimsePeer, PeerTls
from dicom_ai_node.domain.errors import PeerRejected, PeerUnavailable
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.tls.files import Pair as Files
from dicom_ai_node.tls.server import DicomTls
from tests.certificates import Authority, Pair
from tests.phantoms import ct, write
from tests.receive.conftest import Node, Start, quick_path, start  # noqa: F401 - fixtures


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the CA of the hospital."""
    return Authority(tmp_path_factory.mktemp("hospital"))


@pytest.fixture(scope="module")
def pacs(authority: Authority) -> Pair:
    """Return the certificate of the PACS; 127.0.0.1 is in it, too."""
    return authority.issue("pacs", "pacs.example.org")


@pytest.fixture(scope="module")
def own(authority: Authority) -> Pair:
    """Return what the node shows."""
    return authority.issue("node", "node.example.org")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Return a CT slice."""
    return write(ct(slices=1), tmp_path / "ct")


def speaks(pair: Pair, trusted: Path | None) -> ssl.SSLContext:
    """Return what the PACS speaks: it is a listener of ours, with another certificate."""
    shown = Files(place="pacs", certificate=pair.certificate, key=pair.key)
    return DicomTls(pair=shown, trusted=trusted).context()


def sender(node: Node, **tls: object) -> DimseSender:
    """Return a sender to it."""
    said = {"place": "destinations.pacs.tls", "name": "127.0.0.1", **tls}
    peer = DimsePeer(
        ae_title=AETitle("AI_NODE"),
        host="127.0.0.1",
        port=node.port,
        calling_ae_title=AETitle("CT1"),
        tls=PeerTls(**said),  # type: ignore[arg-type]
    )
    return DimseSender(peer, connect_seconds=20, dimse_seconds=20)


Said = Callable[[Authority, Pair, Authority], dict[str, object]]


@pytest.mark.parametrize(
    ("said", "objection"),
    [
        pytest.param(lambda ca, it, _: {"trusted": ca.certificate}, None, id="its address"),
        pytest.param(
            lambda ca, it, _: {"trusted": ca.certificate, "name": "pacs.example.org"}, None, id="its name"
        ),
        pytest.param(lambda ca, it, _: {"fingerprint": it.fingerprint}, None, id="its fingerprint"),
        pytest.param(
            lambda ca, it, _: {"fingerprint": it.fingerprint, "trusted": ca.certificate}, None, id="both"
        ),
        pytest.param(lambda ca, it, _: {"trusted": it.certificate}, None, id="that very certificate"),
        pytest.param(
            lambda ca, it, _: {"trusted": ca.certificate, "name": "else.example.org"},
            "Hostname mismatch", id="another name",
        ),
        pytest.param(
            lambda ca, it, other: {"trusted": other.certificate},
            "is not taken: ", id="another CA",
        ),
        pytest.param(
            lambda ca, it, _: {"fingerprint": "0" * 64}, "is another than", id="another fingerprint"
        ),
        pytest.param(
            lambda ca, it, other: {"fingerprint": it.fingerprint, "trusted": other.certificate},
            "is not taken: ", id="its fingerprint, of another CA",
        ),
    ],
)  # fmt: skip
def test_nothing_is_sent_to_anybody_else(  # noqa: PLR0917
    start: Start, authority: Authority, pacs: Pair, own: Pair, files: list[Path],  # noqa: F811
    tmp_path: Path, said: Said, objection: str | None,
) -> None:  # fmt: skip
    """By its name in a certificate of the CA, by its fingerprint, or by both."""
    node = start(ssl_context=speaks(pacs, authority.certificate))
    tls = said(authority, pacs, Authority(tmp_path / "other"))
    [entry] = sender(node, **tls, certificate=own.certificate, key=own.key).send(files)
    assert (len(node.diary.arrivals) == 1) is (objection is None), entry
    if objection is not None:
        assert isinstance(entry, PeerRejected)
        assert objection in str(entry)


def test_an_expired_certificate_is_not_taken_by_its_fingerprint_either(
    start: Start, authority: Authority, files: list[Path]  # noqa: F811
) -> None:  # fmt: skip
    """A fingerprint says who it is, not for how long."""
    late = authority.issue("late", "pacs.example.org", days=-1)
    node = start(ssl_context=speaks(late, None))
    for tls in ({"fingerprint": late.fingerprint}, {"trusted": authority.certificate}):
        [entry] = sender(node, **tls).send(files)
        assert isinstance(entry, PeerRejected)
        assert "has expired" in str(entry)


def test_a_pacs_that_does_not_take_our_certificate_is_for_a_person(
    start: Start, authority: Authority, pacs: Pair, files: list[Path]  # noqa: F811
) -> None:  # fmt: skip
    """It says so after the handshake, TLS 1.3; the sentence says who it was."""
    node = start(ssl_context=speaks(pacs, authority.certificate))
    [entry] = sender(node, trusted=authority.certificate).send(files)
    assert isinstance(entry, PeerRejected)
    assert "AI_NODE ends TLS and says" in str(entry)


def test_a_port_in_clear_text_is_for_a_person(
    start: Start, authority: Authority, files: list[Path]  # noqa: F811
) -> None:  # fmt: skip
    """Patients are not sent there instead."""
    node = start()
    [entry] = sender(node, trusted=authority.certificate).send(files)
    assert isinstance(entry, PeerRejected)
    assert "does not speak TLS" in str(entry)
    assert not node.diary.arrivals


def test_our_certificate_is_read_before_each_association(
    start: Start, authority: Authority, pacs: Pair, own: Pair, files: list[Path],  # noqa: F811
    tmp_path: Path,
) -> None:  # fmt: skip
    """Half of a renewal is waited for; the whole is used without a restart."""
    node = start(ssl_context=speaks(pacs, authority.certificate))
    shown = Pair(tmp_path / "node.crt", tmp_path / "node.key")
    shown.certificate.write_bytes(own.certificate.read_bytes())
    way = sender(node, trusted=authority.certificate, certificate=shown.certificate, key=shown.key)
    [entry] = way.send(files)
    assert isinstance(entry, PeerUnavailable)
    shown.key.write_bytes(own.key.read_bytes())
    [entry] = way.send(files)
    assert isinstance(entry, str)
