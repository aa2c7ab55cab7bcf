"""Who may open an association: the AE title and, where it is configured, the address."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from dicom_ai_node.domain.uids import AETitle

ANYONE = AETitle("*")
"""As the AE title of an entry: whatever the peer calls itself. Never a default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedPeer:
    """One entry of `receive.accept_from`.

    An AE title is no secret, so an entry without `network` is hygiene and not a lock.
    """

    ae_title: AETitle
    network: IPv4Network | IPv6Network | None = None

    def covers(self, calling_ae_title: str, address: IPv4Address | IPv6Address) -> bool:
        """Return whether a peer of this name at this address is meant."""
        is_named = self.ae_title in (ANYONE, calling_ae_title)
        return is_named and (self.network is None or address in self.network)


def is_allowed(peers: Sequence[AllowedPeer], calling_ae_title: str, address: str) -> bool:
    """Return whether any entry covers the peer; nobody is covered by an empty list."""
    # A socket that listens on IPv6 reports IPv4 peers as ::ffff:192.0.2.1, with a zone at times.
    numeric = ip_address(address.partition("%")[0])
    if isinstance(numeric, IPv6Address) and numeric.ipv4_mapped:
        numeric = numeric.ipv4_mapped
    return bool(calling_ae_title) and any(peer.covers(calling_ae_title, numeric) for peer in peers)
