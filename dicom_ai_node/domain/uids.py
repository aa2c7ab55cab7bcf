"""The identifiers of the DICOM information model, one type each, so that they cannot be swapped."""

import re
from typing import NewType
from uuid import UUID, uuid5

StudyInstanceUID = NewType("StudyInstanceUID", str)
SeriesInstanceUID = NewType("SeriesInstanceUID", str)
SOPInstanceUID = NewType("SOPInstanceUID", str)
SOPClassUID = NewType("SOPClassUID", str)
AETitle = NewType("AETitle", str)
Sha256 = NewType("Sha256", str)
"""64 lower-case hexadecimal digits; the name of a blob."""
JobKey = NewType("JobKey", str)
"""What was asked of what: sha256 over route, model, options and the exact input bytes."""

_OURS = UUID("6f0c6f5e-6a3b-4a5e-9b0e-3d1f8f9b2c11")
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_LONGEST_UID = 64


def derive_uid(*parts: str) -> str:
    """Return a UID that depends on nothing but `parts`.

    A leg of the journey that is repeated after a crash writes the same object again instead of
    a second one, and the archive sees a duplicate, not a new result. The form is that of a
    UUID-derived UID, PS3.5 B.2.
    """
    return f"2.25.{uuid5(_OURS, '/'.join(parts)).int}"


def is_uid(text: str) -> bool:
    """Return whether `text` is a UID: digits and dots, no leading zeros, at most 64, PS3.5 9.1."""
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None
