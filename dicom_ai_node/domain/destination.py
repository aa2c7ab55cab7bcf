"""Where results go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from dicom_ai_node.domain.proof import Proof
from dicom_ai_node.domain.uids import AETitle


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTls:
    """How TLS is spoken with an application entity, PS3.15 Annex B.

    Attributes
    ----------
    place
        Where the configuration says so.
    name
        Of the host, as its certificate has to say it.
    trusted
        CAs that may have signed the certificate of the peer; without them it is known by its
        fingerprint alone.
    revoked
        Lists of certificates that these CAs have taken back.
    fingerprint
        The sha256 of the certificate of the peer, 64 digits; then its name does not matter.
    certificate, key
        What we show if we are asked.
    """

    place: str
    name: str
    trusted: Path | None = None
    revoked: Path | None = None
    fingerprint: str | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DimsePeer:
    """An application entity that takes C-STORE, PS3.4 Annex B; without `tls` in clear text.

    `proof_seconds` is how long it may take to say whether it keeps what it was sent.
    """

    ae_title: AETitle
    host: str
    port: int
    calling_ae_title: AETitle
    tls: PeerTls | None = None
    proof: Proof = Proof.NONE
    proof_seconds: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPeer:
    """A DICOMweb service that takes STOW-RS, PS3.18 10.5; `url` ends before `/studies`."""

    url: str
    token: str | None = field(default=None, repr=False)
    proof: Proof = Proof.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderPeer:
    """A folder on this machine that takes files: `STUDY/SERIES/INSTANCE.dcm` of result UIDs."""

    folder: Path


Destination: TypeAlias = DimsePeer | WebPeer | FolderPeer


def proving(destinations: Mapping[str, Destination]) -> Mapping[str, DimsePeer | WebPeer]:
    """Return the destinations that have to show that they keep what they were sent."""
    return {
        name: one
        for name, one in destinations.items()
        if isinstance(one, DimsePeer | WebPeer) and one.proof is not Proof.NONE
    }
