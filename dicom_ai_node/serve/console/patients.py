"""Whose studies they are: what the archive's headers say, for lists of studies."""

from collections.abc import Mapping, Sequence

from dicom_ai_node.domain.archive import Archive, Header, Key, Level, Query
from dicom_ai_node.domain.uids import StudyInstanceUID

STUDY, SERIES = "0020000D", "0020000E"


def patients_of(archive: Archive, uids: Sequence[StudyInstanceUID]) -> Mapping[str, Header]:
    """Return the headers of those of these studies that are here."""
    if not uids:
        return {}
    keys = (Key(path=(STUDY,), value="\\".join(uids)),)
    found = archive.search(Query(level=Level.STUDY, keys=keys, limit=len(uids)))
    return {uid_in(one, STUDY): one for one in found}


def uid_in(header: Header, tag: str) -> str:
    """Return a UID that a header of the archive has."""
    values = header.get(tag, {}).get("Value") or [""]
    return str(values[0])
