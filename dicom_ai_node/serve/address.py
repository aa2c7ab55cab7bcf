"""Addresses as texts; those who ask come again and again, so that each is read once."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address


@lru_cache(4096)
def address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text is, if it is one."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_loopback(text: str) -> bool:
    """Return whether a text is an address of this machine alone."""
    found = address(text)
    return found is not None and found.is_loopback
