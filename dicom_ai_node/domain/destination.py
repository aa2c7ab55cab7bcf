"""Where results go."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from dicom_ai_node.domain.uids import AETitle


@dataclass(frozen=True, slots=True, kw_only=True)
class DimsePeer:
    """An application entity that takes C-STORE, PS3.4 Annex B."""

    ae_title: AETitle
    host: str
    port: int
    calling_ae_title: AETitle


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPeer:
    """A DICOMweb service that takes STOW-RS, PS3.18 10.5; `url` ends before `/studies`."""

    url: str
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderPeer:
    """A folder on this machine that takes files: `STUDY/SERIES/INSTANCE.dcm` of result UIDs."""

    folder: Path


Destination: TypeAlias = DimsePeer | WebPeer | FolderPeer
