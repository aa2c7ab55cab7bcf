"""Study, Series, Instance: the three levels of the DICOM information model, PS3.3 A.1.2."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dicom_ai_node.domain.uids import (
    AETitle,
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One stored SOP Instance.

    `attributes` maps a PS3.6 keyword to its value as text, several values joined by a backslash:
    every top-level standard element that is short and that does not name a patient. Routes look
    at these; the bytes lie in the blob `sha256`. `data_set_sha256` is the digest of the data set
    alone, without the file meta information, which names the sender: the same data set from two
    senders is one instance.
    """

    sop_instance_uid: SOPInstanceUID
    sop_class_uid: SOPClassUID
    series_instance_uid: SeriesInstanceUID
    study_instance_uid: StudyInstanceUID
    transfer_syntax_uid: str
    sha256: Sha256
    size_bytes: int
    attributes: Mapping[str, str]
    data_set_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One instance that has just been made durable, and who brought it.

    `is_ours` says that the data set itself names us as its maker (our Device UID in Contributing
    Equipment), so that a result is known even to a ledger that has never heard of it.
    """

    instance: Instance
    calling_ae_title: AETitle
    called_ae_title: AETitle
    address: str
    is_ours: bool = False


class Received(StrEnum):
    """What an arrival turned out to be."""

    NEW = "new"
    DUPLICATE = "duplicate"  # same UID, same bytes: nothing new
    CONFLICT = "conflict"  # same UID, other bytes: quarantined, the first one stays
    OURS = "ours"  # we made it: stored, never routed


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series as far as it has arrived.

    `attributes` holds what is equal in all instances; an attribute that differs is left out,
    because no rule could rely on it. `revision` grows with every new instance.
    """

    series_instance_uid: SeriesInstanceUID
    study_instance_uid: StudyInstanceUID
    calling_ae_title: AETitle
    attributes: Mapping[str, str]
    instances: tuple[Instance, ...]
    first_received: datetime
    last_received: datetime
    revision: int
    is_complete: bool = False
    is_released: bool = False  # every association that brought it has been released in good order
    complete_because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study as far as it has arrived."""

    study_instance_uid: StudyInstanceUID
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """Bytes that were taken but not let in, and why."""

    number: int
    at: datetime
    reason: str
    sha256: Sha256
    sender: str
    is_open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What retention has removed from the ledger; `blobs` have no reader left."""

    studies: int
    instances: int
    blobs: tuple[Sha256, ...]
