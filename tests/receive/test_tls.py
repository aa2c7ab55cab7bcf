"""Who comes in over TLS: with which certificate, under which name, and what keeps nobody out."""

import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from dicom_ai_node import log
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.peers import ANYONE, AllowedPeer
from dicom_ai_node.tls.files import Pair as Files
from dicom_ai_node.tls.server import DicomTls, KeptTls
from tests.certificates import Authority, Pair
from tests.receive.conftest import Node, Start
from tests.receive.rawpeer import RawPeer, encoded, item, request, smallest

REJECTED = (3, bytes((0, 1, 1, 3)))
"""A-ASSOCIATE-RJ: permanent, calling AE title not recognised, PS3.8 Table 9-21."""
ACCEPTED = 2


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the CA of the hospital."""
    return Authority(tmp_path_factory.mktemp("hospital"))


@pytest.fixture(scope="module")
def scanner(authority: Authority) -> Pair:
    """Return what CT1 shows: its common name is not one of its names."""
    return authority.issue("person.example", "ct1.example.org")


@pytest.fixture(scope="module")
def old_scanner(authority: Authority) -> Pair:
    """Return the certificate of a device that knows common names only."""
    return authority.issue("CT2")


@pytest.fixture(scope="module")
def tls(authority: Authority) -> KeptTls:
    """Return what the port speaks."""
    own = authority.issue("node", "node.example.org")
    pair = Files(place="receive.tls", certificate=own.certificate, key=own.key)
    return KeptTls(DicomTls(pair=pair, trusted=authority.certificate))


def client(authority: Authority, shows: Pair | None = None) -> ssl.SSLContext:
    """Return the context of a peer."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if shows is not None:
        context.load_cert_chain(shows.certificate, shows.key)
    return context


def secured(node: Node, context: ssl.SSLContext) -> RawPeer:
    """Return a peer that has shaken hands."""
    peer = RawPeer(node.port)
    peer.sock = context.wrap_socket(peer.sock, server_hostname="127.0.0.1")
    return peer


def comes_in(node: Node, context: ssl.SSLContext) -> bool:
    """Return whether a peer gets an association; in TLS 1.3 it may only hear that it is hung up."""
    try:
        with secured(node, context) as peer:
            return peer.send(request()).pdu()[0] == ACCEPTED
    except (ssl.SSLError, ConnectionError):
        return False


def peer_of(title: str, certificate: str | None = None) -> AllowedPeer:
    """Return an entry of `accept_from`."""
    return AllowedPeer(ae_title=AETitle(title), certificate=certificate)


BY_NAME = lambda pair: "ct1.example.org"  # noqa: E731
BY_FINGERPRINT = lambda pair: pair.fingerprint  # noqa: E731


@pytest.mark.parametrize(
    ("said", "comes_in"),
    [
        pytest.param(BY_NAME, True, id="a name in it"),
        pytest.param(BY_FINGERPRINT, True, id="its fingerprint"),
        pytest.param(lambda _: "person.example", False, id="its common name beside names"),
        pytest.param(lambda _: "ct3.example.org", False, id="another name"),
        pytest.param(lambda _: "0" * 64, False, id="another fingerprint"),
    ],
)
def test_an_ae_title_comes_in_with_its_certificate_only(
    start: Start, authority: Authority, tls: KeptTls, scanner: Pair,
    said: Callable[[Pair], str], comes_in: bool,
) -> None:  # fmt: skip
    """By a name or by the fingerprint; whoever may call itself anything is no way around it."""
    node = start(peers=[peer_of("CT1", said(scanner)), peer_of("*")], ssl_context=tls())
    with secured(node, client(authority, scanner)) as peer:
        answer = peer.send(request()).pdu()
    assert (answer[0] == ACCEPTED) is comes_in
    assert comes_in or answer == REJECTED


def test_a_certificate_that_was_taken_back_lets_nobody_in(
    start: Start, authority: Authority, scanner: Pair, old_scanner: Pair
) -> None:
    """From the next connection on after its list has come; others come in as before."""
    own = authority.issue("own", "node.example.org")
    pair = Files(place="receive.tls", certificate=own.certificate, key=own.key)
    revoked = authority.revoke()
    kept = KeptTls(DicomTls(pair=pair, trusted=authority.certificate, revoked=revoked))
    node = start(peers=[peer_of("CT1")], tls=kept)
    assert comes_in(node, client(authority, scanner))
    authority.revoke(scanner)
    kept.renewal.look()
    assert comes_in(node, client(authority, old_scanner))
    assert not comes_in(node, client(authority, scanner))
    assert node.sees(lambda: bool(node.diary.turned_away))
    assert node.diary.turned_away == [("127.0.0.1", "no TLS: certificate revoked")]


def test_a_list_that_is_too_old_lets_nobody_in(
    start: Start, authority: Authority, scanner: Pair
) -> None:
    """It may be an older one that somebody has put back."""
    own = authority.issue("own", "node.example.org")
    pair = Files(place="receive.tls", certificate=own.certificate, key=own.key)
    revoked = authority.revoke(days=-1)
    kept = KeptTls(DicomTls(pair=pair, trusted=authority.certificate, revoked=revoked))
    node = start(peers=[peer_of("CT1")], tls=kept)
    assert not comes_in(node, client(authority, scanner))
    assert node.sees(lambda: node.diary.turned_away == [("127.0.0.1", "no TLS: crl has expired")])


def test_a_certificate_without_names_is_known_by_its_common_name(
    start: Start, authority: Authority, tls: KeptTls, old_scanner: Pair
) -> None:
    """Whatever its case, as names of hosts have none."""
    node = start(peers=[peer_of("CT1", "ct2")], ssl_context=tls())
    with secured(node, client(authority, old_scanner)) as peer:
        assert peer.send(request()).pdu()[0] == ACCEPTED


def test_a_name_with_a_certificate_is_refused_in_clear_text(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    """And the log says so, without naming anybody."""
    log.configure()
    node = start(peers=[peer_of("CT1", "ct1.example.org"), AllowedPeer(ae_title=ANYONE)])
    with RawPeer(node.port) as peer:
        assert peer.send(request()).pdu() == REJECTED
    with RawPeer(node.port) as peer:
        assert peer.send(request(calling=b"OTHER")).pdu()[0] == ACCEPTED
        peer.release()
    logged = capfd.readouterr().err
    assert "certificate_refused" in logged
    assert "the calling AE title has to show a certificate" in logged
    assert "ct1.example" not in logged


def test_a_certificate_of_another_is_told_in_the_log_but_not_whose(
    start: Start, authority: Authority, tls: KeptTls, scanner: Pair,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A certificate may be one of a person."""
    log.configure()
    node = start(peers=[peer_of("CT1", "ct9.example.org")], ssl_context=tls())
    with secured(node, client(authority, scanner)) as peer:
        assert peer.send(request()).pdu() == REJECTED
    logged = capfd.readouterr().err
    assert "certificate_refused" in logged
    assert "person.example" not in logged
    assert "ct1.example" not in logged


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_whoever_has_no_certificate_of_ours_hears_it(
    start: Start, authority: Authority, tls: KeptTls, tmp_path: Path, version: ssl.TLSVersion,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The alert reaches the peer, and the log has the reason."""
    log.configure()
    node = start(peers=[peer_of("CT1")], ssl_context=tls())
    strangers = {
        "PEER_DID_NOT_RETURN_A_CERTIFICATE": None,
        "unable to get local issuer certificate": Authority(tmp_path / "else").issue("CT1"),
        "certificate has expired": authority.issue("late", days=-1),
    }
    for why, shows in strangers.items():
        context = client(authority, shows)
        context.maximum_version = context.minimum_version = version
        with pytest.raises(ssl.SSLError, match="ALERT"):
            _asks(node, context)
        assert node.sees(partial(_is_logged, why, capfd)), why


def _asks(node: Node, context: ssl.SSLContext) -> None:
    with secured(node, context) as peer:
        peer.send(request())  # in TLS 1.3 the answer to this is where one hears of a refusal
        peer.sock.recv(1)


def _is_logged(what: str, capfd: pytest.CaptureFixture[str]) -> bool:
    return what in _more(capfd)


_LOGGED: dict[int, str] = {}


@pytest.fixture(autouse=True)
def _nothing_logged_yet() -> None:
    _LOGGED.clear()


def _more(capfd: pytest.CaptureFixture[str]) -> str:
    """Return all that was logged until now in a test."""
    _LOGGED[id(capfd)] = _LOGGED.get(id(capfd), "") + capfd.readouterr().err
    return _LOGGED[id(capfd)]


def test_a_single_certificate_can_be_trusted_for_itself(
    start: Start, authority: Authority, scanner: Pair, tmp_path: Path
) -> None:
    """A hospital without a CA collects the certificates of its devices in one file."""
    own = authority.issue("alone", "node.example.org")
    pair = Files(place="receive.tls", certificate=own.certificate, key=own.key)
    trusted = tmp_path / "devices.pem"
    trusted.write_bytes(scanner.certificate.read_bytes())
    node = start(peers=[peer_of("CT1")], ssl_context=DicomTls(pair=pair, trusted=trusted).context())
    with secured(node, client(authority, scanner)) as peer:
        assert peer.send(request()).pdu()[0] == ACCEPTED
    with pytest.raises(ssl.SSLError):
        _asks(node, client(authority, own))


def test_without_a_ca_nobody_has_to_show_anything(start: Start, authority: Authority) -> None:
    """Encrypted all the same."""
    own = authority.issue("open", "node.example.org")
    pair = Files(place="receive.tls", certificate=own.certificate, key=own.key)
    node = start(peers=[peer_of("CT1")], ssl_context=DicomTls(pair=pair).context())
    with secured(node, client(authority)) as peer:
        assert peer.send(request()).pdu()[0] == ACCEPTED


def test_clear_text_on_the_secured_port_ends_at_once(start: Start, tls: KeptTls) -> None:
    """Long before the time for a handshake is over."""
    node = start(ssl_context=tls(), request_seconds=120)
    with RawPeer(node.port) as peer:
        peer.sock.settimeout(60)
        peer.send(request())
        assert peer.sock.recv(1) in {b"", b"\x15"}, "nothing, or a TLS alert"


def test_tls_on_the_open_port_ends_at_once(start: Start, authority: Authority) -> None:
    """A client that expects TLS gets none and does not wait."""
    node = start(request_seconds=120)
    with (
        socket.create_connection(("127.0.0.1", node.port), timeout=60) as sock,
        pytest.raises(ssl.SSLError),
    ):
        client(authority).wrap_socket(sock, server_hostname="127.0.0.1")


def test_twenty_silent_clients_hold_up_nobody(
    start: Start, authority: Authority, tls: KeptTls, scanner: Pair
) -> None:
    """While they all still wait, others shake hands and are answered; then their time is over."""
    node = start(peers=[peer_of("CT1")], ssl_context=tls(), request_seconds=20)
    with ExitStack() as stack:
        silent = [stack.enter_context(RawPeer(node.port)) for _ in range(20)]
        with secured(node, client(authority, scanner)) as peer:
            peer.associate().release()
        for one in silent:
            one.sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                one.sock.recv(1)
        for one in silent:
            one.sock.settimeout(60)
            assert one.sock.recv(1) == b""


def test_one_silent_client_too_many_pushes_out_the_oldest_in_its_handshake(
    start: Start, tls: KeptTls
) -> None:
    """A connection that shakes hands can be hung up like any other."""
    node = start(ssl_context=tls(), pending=1, request_seconds=120)
    with RawPeer(node.port) as first:
        assert node.sees(lambda: any(
            isinstance(guest.sock, ssl.SSLSocket) for guest in node.listener._doorway._pending
        ))  # fmt: skip
        with RawPeer(node.port):
            first.sock.settimeout(60)
            assert first.sock.recv(1) == b""


def test_a_renewed_certificate_is_shown_to_the_next_and_disturbs_nobody(
    start: Start, authority: Authority, scanner: Pair, tmp_path: Path
) -> None:
    """An association goes on over the old one, files are replaced under it."""
    first, second = authority.issue("first", "a.example.org"), authority.issue("second", "b.org")
    files = Files(place="receive.tls", certificate=tmp_path / "n.crt", key=tmp_path / "n.key")
    _put(first, files)
    kept = KeptTls(DicomTls(pair=files, trusted=authority.certificate))
    node = start(peers=[peer_of("CT1")], tls=kept)
    with secured(node, client(authority, scanner)) as old:
        old.associate()
        assert old.store(encoded(smallest())) == 0x0000
        _put(second, files)
        kept.renewal.look()
        with secured(node, client(authority, scanner)) as new:
            assert isinstance(new.sock, ssl.SSLSocket)
            assert ("DNS", "b.org") in new.sock.getpeercert()["subjectAltName"]
            new.associate().release()
        assert old.store(encoded(smallest())) == 0x0000
        old.release()


def _put(pair: Pair, files: Files) -> None:
    files.key.write_bytes(pair.key.read_bytes())
    files.certificate.write_bytes(pair.certificate.read_bytes())


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        (1, "user name"),
        (2, "user name and passcode"),
        (3, "Kerberos ticket"),
        (4, "SAML assertion"),
        (5, "JSON web token"),
        (9, "of an unknown kind"),
    ],
)
def test_a_user_identity_is_no_error_and_stays_unread(
    node: Node, capfd: pytest.CaptureFixture[str], kind: int, known: str
) -> None:
    """Its kind is logged and never who it is, even if an answer is asked for, PS3.7 D.3.3.7."""
    log.configure(debug=True)
    name = b"DOE^JANE"
    identity = bytes((kind, 1)) + struct.pack(">H", len(name)) + name + struct.pack(">H", 0)
    with RawPeer(node.port) as peer:
        answer = peer.send(request(user=item(0x58, identity))).pdu()
        peer.release()
    assert answer[0] == ACCEPTED
    assert b"\x59\x00" not in answer[1], "no user identity response"
    assert node.sees(lambda: known in _more(capfd))
    assert "DOE" not in _more(capfd)


def test_half_a_user_identity_is_no_error(node: Node) -> None:
    """Nothing of it is read beyond its first byte."""
    with RawPeer(node.port) as peer:
        assert peer.send(request(user=item(0x58, b""))).pdu()[0] == ACCEPTED
        peer.release()
