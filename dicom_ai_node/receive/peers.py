"""Who may open an association: the AE title and, where configured, address and certificate."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.tls.shown import Shown

ANYONE = AETitle("*")
"""As the AE title of an entry: whatever the peer calls itself. Never a default."""


class May(StrEnum):
    """What an entry allows; the value is that of the configuration."""

    STORE = "store"
    QUERY = "query"


STORE_ONLY = frozenset({May.STORE})
"""A scanner has to send, and has no reason to read what others have sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedPeer:
    """One entry of `receive.accept_from`.

    An AE title is no secret, so an entry with nothing else is hygiene and not a lock.

    Attributes
    ----------
    certificate
        What the peer has to show: the sha256 of a certificate, or a name in it.
    """

    ae_title: AETitle
    network: IPv4Network | IPv6Network | None = None
    certificate: str | None = None
    may: frozenset[May] = STORE_ONLY

    def covers(self, address: IPv4Address | IPv6Address, shown: Shown | None) -> bool:
        """Return whether this address, with what was shown, is what is meant."""
        is_at_home = self.network is None or address in self.network
        return is_at_home and (
            self.certificate is None or (shown is not None and shown.is_meant_by(self.certificate))
        )


def granted(
    peers: Sequence[AllowedPeer], calling_ae_title: str, address: str, shown: Shown | None = None
) -> frozenset[May]:
    """Return what the entries that cover a peer allow it together; empty if none covers it."""
    # A socket that listens on IPv6 reports IPv4 peers as ::ffff:192.0.2.1, with a zone at times.
    numeric = ip_address(address.partition("%")[0])
    if isinstance(numeric, IPv6Address) and numeric.ipv4_mapped:
        numeric = numeric.ipv4_mapped
    entries = _entries(peers, calling_ae_title)
    return frozenset().union(*(peer.may for peer in entries if peer.covers(numeric, shown)))


def needs_certificate(peers: Sequence[AllowedPeer], calling_ae_title: str) -> bool:
    """Return whether whoever calls itself so has to show a certificate of its own."""
    return any(peer.certificate is not None and peer.ae_title == calling_ae_title for peer in peers)


def _entries(peers: Sequence[AllowedPeer], calling_ae_title: str) -> Sequence[AllowedPeer]:
    """Return the entries for a name: where some want a certificate, no other lets it in."""
    if not calling_ae_title:
        return ()
    if needs_certificate(peers, calling_ae_title):
        return [
            peer
            for peer in peers
            if peer.ae_title == calling_ae_title and peer.certificate is not None
        ]
    return [peer for peer in peers if peer.ae_title in (ANYONE, calling_ae_title)]
