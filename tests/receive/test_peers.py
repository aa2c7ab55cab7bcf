"""Who may open an association."""

from ipaddress import ip_network

import pytest

from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.peers import ANYONE, AllowedPeer, granted
from tests.receive.conftest import Start
from tests.receive.rawpeer import RawPeer, request

CT1 = AllowedPeer(ae_title=AETitle("CT1"), network=ip_network("192.0.2.0/24"))
PACS = AllowedPeer(ae_title=AETitle("PACS"))


@pytest.mark.parametrize(
    ("peers", "calling", "address", "allowed"),
    [
        pytest.param([], "CT1", "192.0.2.1", False, id="an empty list allows nobody"),
        pytest.param([CT1], "CT1", "192.0.2.1", True, id="name and network fit"),
        pytest.param([CT1], "CT1", "198.51.100.1", False, id="right name from elsewhere"),
        pytest.param([CT1], "ct1", "192.0.2.1", False, id="an AE title has its case"),
        pytest.param([CT1], "CT1", "::ffff:192.0.2.1", True, id="IPv4 on a socket for IPv6"),
        pytest.param([CT1], "CT1", "2001:db8::1", False, id="IPv6 is in no IPv4 network"),
        pytest.param([PACS], "PACS", "fe80::1%eth0", True, id="an address with a zone"),
        pytest.param([CT1, PACS], "PACS", "198.51.100.1", True, id="any entry is enough"),
        pytest.param([AllowedPeer(ae_title=ANYONE)], "X", "192.0.2.1", True, id="anyone, if told"),
        pytest.param([AllowedPeer(ae_title=ANYONE)], "", "192.0.2.1", False, id="never nobody"),
    ],
)
def test_a_peer_is_known_by_name_and_address(
    peers: list[AllowedPeer], calling: str, address: str, allowed: bool
) -> None:
    """An entry covers a name, and where it has a network only that."""
    assert bool(granted(peers, calling, address)) is allowed


@pytest.mark.parametrize(
    ("calling", "called", "reason"),
    [
        pytest.param(b"STRANGER", b"AI_NODE", 3, id="a stranger"),
        pytest.param(b"CT1", b"OTHER", 7, id="another called AE title"),
        pytest.param(b"STRANGER", b"OTHER", 3, id="a stranger learns nothing about our name"),
        pytest.param(b"", b"AI_NODE", 3, id="no calling AE title"),
        pytest.param(b"CT2", b"AI_NODE", 3, id="a known name at the wrong address"),
        pytest.param(b"\xff\xfe", b"AI_NODE", 3, id="a name that is no text"),
    ],
)
def test_a_wrong_peer_is_rejected_for_good(
    start: Start, calling: bytes, called: bytes, reason: int
) -> None:
    """The reason says whether the calling or the called AE title is wrong."""
    elsewhere = AllowedPeer(ae_title=AETitle("CT2"), network=ip_network("192.0.2.0/24"))
    node = start(peers=[AllowedPeer(ae_title=AETitle("CT1")), elsewhere])
    with RawPeer(node.port) as peer:
        assert peer.send(request(called=called, calling=calling)).pdu() == (
            3,
            bytes((0, 1, 1, reason)),
        )
        assert peer.pdu() == (0, b"")


def test_a_stranger_is_rejected_before_the_rest_of_the_request_is_read(start: Start) -> None:
    """Names come first: what a stranger goes on to say is not waited for."""
    node = start()
    with RawPeer(node.port) as peer:
        assert peer.send(request(calling=b"STRANGER")[:74]).pdu()[0] == 3
