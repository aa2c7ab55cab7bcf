"""DICOM over TLS: what the ports speak, and what an operator should know of the certificates."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from dicom_ai_node import config as configuration
from dicom_ai_node.compose.ground import now
from dicom_ai_node.compose.proofs import commitment_advice
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.destination import DimsePeer, PeerTls
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.tls.client import client_tls, own_pair
from dicom_ai_node.tls.files import Pair, revocation_lists
from dicom_ai_node.tls.server import DicomTls, KeptTls, Profile

WARN_BEFORE = timedelta(days=30)
"""How long before a certificate expires the operator hears of it."""


def reception_tls(config: NodeConfig) -> KeptTls | None:
    """Return what the port for DICOM over TLS speaks; `None` if there is none.

    Raises
    ------
    ConfigError
        If a file cannot be used.
    """
    tls, pair = config.receive.tls, _own_pair(config)
    if tls is None or pair is None:
        return None
    said = DicomTls(
        pair=pair, trusted=tls.trusted, revoked=tls.revoked, profile=Profile(tls.profile)
    )
    return KeptTls(said)


def tls_to_itself(config: NodeConfig) -> PeerTls | None:
    """Return how the node reaches its own port: with its own certificate, which it knows.

    `None` where that port takes clear text.
    """
    pair = _own_pair(config)
    if pair is None or config.receive.port is not None:
        return None
    return PeerTls(
        place=pair.place,
        name=config.receive.host,
        fingerprint=pair.fingerprint(),
        certificate=pair.certificate,
        key=pair.key,
    )


def check_dicom_tls(config: NodeConfig) -> None:
    """Look at every file of DICOM over TLS.

    Raises
    ------
    ConfigError
        If one cannot be used.
    """
    reception_tls(config)
    for name, peer in _peers(config).items():
        if peer.tls is not None:
            client_tls(peer.tls, name)


def dicom_expiry(config: NodeConfig) -> Mapping[str, datetime]:
    """Return until when the certificates hold that are shown for DICOM, by place.

    One that cannot be read is left out: whoever needs it says so.
    """
    return ends(dicom_pairs(config))


def ends(pairs: Iterable[Pair]) -> Mapping[str, datetime]:
    """Return until when certificates hold, by place; one that cannot be read is left out."""
    found = {}
    for pair in pairs:
        with suppress(ConfigError):
            found[pair.place] = pair.expires_at()
    return found


def dicom_advice(config: NodeConfig) -> list[str]:
    """Return what an operator should do about DICOM; nothing of it is wrong."""
    return [
        *_reception_advice(config),
        *commitment_advice(config),
        *expiry_advice(dicom_expiry(config)),
        *_revocation_advice(config),
    ]


def expiry_advice(ends: Mapping[str, datetime]) -> Iterator[str]:
    """Yield a sentence for each certificate that expires soon."""
    for place, end in ends.items():
        if end - now() < WARN_BEFORE:
            past = "has expired" if end < now() else "expires"
            yield f"{place}: the certificate {past} on {end:%Y-%m-%d}; put a new one in its place"


def _reception_advice(config: NodeConfig) -> Iterator[str]:
    receive = config.receive
    if receive.tls is None:
        return
    if receive.port is not None:
        yield (
            f"receive.port: {receive.port} is open for clear text beside TLS; when every peer has"
            " moved, close it with `port: null`"
        )
    if receive.tls.trusted is None:
        yield (
            "receive.tls.trusted: whoever reaches the port can call itself by a known AE title;"
            " name the CA of the peers, so that they have to show certificates"
        )


def _revocation_advice(config: NodeConfig) -> Iterator[str]:
    said = {"receive.tls": None if config.receive.tls is None else config.receive.tls.revoked}
    for peer in _peers(config).values():
        if peer.tls is not None:
            said[peer.tls.place] = peer.tls.revoked
    for place, path in said.items():
        if path is None:
            continue
        for one in revocation_lists(place, path):
            end = one.next_update_utc
            if end is not None and end < now():
                yield (
                    f"{place}.revoked: a list should have been renewed on {end:%Y-%m-%d}; until"
                    " there is a new one, nobody of its CA is let in"
                )


def _own_pair(config: NodeConfig) -> Pair | None:
    tls = config.receive.tls
    if tls is None:
        return None
    return Pair(place="receive.tls", certificate=tls.certificate, key=tls.key)


def dicom_pairs(config: NodeConfig) -> Iterator[Pair]:
    """Yield the certificates that are shown for DICOM, with their keys."""
    if (own := _own_pair(config)) is not None:
        yield own
    for peer in _peers(config).values():
        if peer.tls is not None and (pair := own_pair(peer.tls)) is not None:
            yield pair


def _peers(config: NodeConfig) -> Mapping[str, DimsePeer]:
    found = configuration.destinations(config)
    return {name: peer for name, peer in found.items() if isinstance(peer, DimsePeer)}
