"""What the node holds and others may ask for: what it has received and what it has made.

The three levels are those of the Study Root model, PS3.4 C.6.2. A `Header` is a data set in the
DICOM JSON model, PS3.18 Annex F: by tag (eight hexadecimal digits) an object with `vr` and, where
there is a value, `Value`; text is UTF-8 whatever the file's character set was.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from dicom_ai_node.domain.audit import THE_NODE, Actor
from dicom_ai_node.domain.uids import (
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)

Header: TypeAlias = Mapping[str, Any]
"""A data set, or a part of one, in the DICOM JSON model."""


class Level(StrEnum):
    """What is asked for; the value is that of Query/Retrieve Level (0008,0052)."""

    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One matching key, PS3.4 C.2.2.2.

    Attributes
    ----------
    path
        Tags from the top level inward, each eight hexadecimal digits in upper case; more than one
        for a key in a sequence.
    value
        As the asker wrote it: with wildcards, a range with a hyphen, or several values joined by
        a backslash. Empty or `*` matches everything, `""` (two quotation marks) what is empty.
    """

    path: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for.

    Attributes
    ----------
    level
        One header per study, series or instance.
    keys
        All of them have to match. A key may be of any level: a study matches a key of a series
        if one of its series does, and keys of its instances if one instance matches all of them.
    is_fuzzy
        Whether names of persons also match by the beginnings of their parts.
    joins_date_and_time
        Whether a range of dates with a range of times is one span of time from the first day at
        the first time, PS3.4 C.2.2.2.5; otherwise each day has that range of times.
    limit, offset
        At most so many, after leaving out so many; in an order that stays the same.
    """

    level: Level
    keys: tuple[Key, ...] = ()
    is_fuzzy: bool = False
    joins_date_and_time: bool = True
    limit: int = 1000
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One object that is here; its bytes are a Part 10 file in the blob `sha256`."""

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    sop_instance_uid: SOPInstanceUID
    sop_class_uid: SOPClassUID
    transfer_syntax_uid: str
    sha256: Sha256
    size_bytes: int


class Archive(Protocol):
    """What is held, for those who look for it. Every method raises `OutOfResources` if the
    database cannot answer now; what was recorded before a method is called is found by it.
    """  # noqa: D205

    def search(self, query: Query) -> Sequence[Header]:
        """Return what matches, each with all that is known at its level and above it.

        That includes what is computed: ModalitiesInStudy, SOPClassesInStudy and the numbers of
        related series and instances. Never `BulkDataURI`s, never a whole header of an instance.

        Raises
        ------
        Refused
            If a key has a value that its VR cannot be compared with.
        """

    def held(
        self,
        study: StudyInstanceUID,
        series: SeriesInstanceUID | None = None,
        instance: SOPInstanceUID | None = None,
    ) -> Sequence[Held]:
        """Return a study, one of its series or one of its instances, by series and number.

        Empty if it is not here, or if the series or the instance is not part of the study.
        """

    def headers(self, held: Sequence[Held]) -> Iterator[bytes]:
        """Yield the whole header of each object as encoded DICOM JSON, one object at a time.

        Values of more than 1 KiB and pixel data are `BulkDataURI`s that begin with
        `/studies/` and end with `/bulkdata/` and the path of the element; PS3.18 F.2.2.
        """

    def instances(self, sop_instance_uids: Sequence[SOPInstanceUID]) -> Sequence[Held]:
        """Return those of these instances that are here, wherever they belong."""


class Deletion(Protocol):
    """Takes away what is held, because a person says so. What was ours stays known as ours."""

    def delete(
        self,
        study: StudyInstanceUID,
        series: SeriesInstanceUID | None = None,
        instance: SOPInstanceUID | None = None,
        *,
        by: Actor = THE_NODE,
    ) -> int:
        """Delete a study, one of its series or one of its instances; return how many objects.

        Of a study everything goes, its jobs and their results too. Results of other studies, and
        of other series of the study, stay. 0 if it is not here.

        Raises
        ------
        StillNeeded
            If it is arriving, or a job that needs it, or makes it, has not ended.
        OutOfResources
            If the database cannot answer now.
        """
