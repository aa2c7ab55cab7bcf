"""Who may open an association: the AE title and, where it is configured, the address."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from dicom_ai_node.domain.uids import AETitle

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

    An AE title is no secret, so an entry without `network` is hygiene and not a lock.
    """

    ae_title: AETitle
    network: IPv4Network | IPv6Network | None = None
    may: frozenset[May] = STORE_ONLY

    def covers(self, calling_ae_title: str, address: IPv4Address | IPv6Address) -> bool:
        """Return whether a peer of this name at this address is meant."""
        is_named = self.ae_title in (ANYONE, calling_ae_title)
        return is_named and (self.network is None or address in self.network)


def granted(peers: Sequence[AllowedPeer], calling_ae_title: str, address: str) -> frozenset[May]:
    """Return what the entries that cover a peer allow it together; empty if none covers it."""
    # A socket that listens on IPv6 reports IPv4 peers as ::ffff:192.0.2.1, with a zone at times.
    numeric = ip_address(address.partition("%")[0])
    if isinstance(numeric, IPv6Address) and numeric.ipv4_mapped:
        numeric = numeric.ipv4_mapped
    if not calling_ae_title:
        return frozenset()
    return frozenset().union(
        *(peer.may for peer in peers if peer.covers(calling_ae_title, numeric))
    )
