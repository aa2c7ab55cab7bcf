"""The Part 10 wrapping of received bytes, PS3.10 7.1: written by us, the data set untouched."""

import re
import struct
from dataclasses import dataclass

from dicom_ai_node.domain.part10 import PREAMBLE
from dicom_ai_node.domain.uids import derive_uid

IMPLEMENTATION_CLASS_UID = derive_uid("dicom_ai_node", "implementation")
IMPLEMENTATION_VERSION_NAME = "DICOM_AI_NODE"
"""Without a version number on purpose: an instance that is sent again after an upgrade must give
the same file, or it would count as a conflict."""


_NO_AE_TITLE = re.compile(r"[^ -\[\]-~]")
_LONGEST_AE_TITLE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What a sender says of an instance before its data set comes: anything at all."""

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    transfer_syntax_uid: str = ""
    study_instance_uid: str = ""  # by STOW-RS only, and there not always


def file_head(announced: Announced, source: str) -> bytes:
    """Return preamble and file meta information, ready to be followed by the data set.

    `source` becomes the Source Application Entity Title, as far as it can be one.
    """
    ae_title = _NO_AE_TITLE.sub("", source)[:_LONGEST_AE_TITLE]
    body = (
        _element(0x0001, b"OB", b"\0\1")
        + _element(0x0002, b"UI", _padded(announced.sop_class_uid, b"\0"))
        + _element(0x0003, b"UI", _padded(announced.sop_instance_uid, b"\0"))
        + _element(0x0010, b"UI", _padded(announced.transfer_syntax_uid, b"\0"))
        + _element(0x0012, b"UI", _padded(IMPLEMENTATION_CLASS_UID, b"\0"))
        + _element(0x0013, b"SH", _padded(IMPLEMENTATION_VERSION_NAME, b" "))
        + _element(0x0016, b"AE", _padded(ae_title, b" "))
    )
    return PREAMBLE + _element(0x0000, b"UL", struct.pack("<L", len(body))) + body


def _padded(text: str, padding: bytes) -> bytes:
    value = text.encode("ascii")
    return value + padding * (len(value) % 2)


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    if vr == b"OB":
        return struct.pack("<HH2sHL", 2, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value
