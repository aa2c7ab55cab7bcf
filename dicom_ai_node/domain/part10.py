"""The beginning of a Part 10 file, PS3.10 7.1: the preamble and the file meta information."""

from mmap import mmap
from struct import Struct

from dicom_ai_node.domain.errors import NotUnderstood
from dicom_ai_node.domain.uids import is_uid

PREAMBLE = bytes(128) + b"DICM"

SOP_CLASS_UID, SOP_INSTANCE_UID, TRANSFER_SYNTAX_UID = 0x0002, 0x0003, 0x0010
"""Elements of group 0002: Media Storage SOP Class UID and SOP Instance UID, Transfer Syntax UID."""
_GROUP = 0x0002
_LONG, _UID = frozenset((b"OB", b"UN")), b"UI"
_HEADER, _LENGTH = Struct("<HH2sH"), Struct("<L")


def data_set_in(data: mmap | bytes) -> tuple[str, int]:
    """Return the transfer syntax of a file with these bytes, and where its data set begins.

    Raises
    ------
    NotUnderstood
        If the bytes do not begin with file meta information that names a transfer syntax.
    """
    names, at = names_in(data)
    return names[TRANSFER_SYNTAX_UID], at


def names_in(data: mmap | bytes) -> tuple[dict[int, str], int]:
    """Return the UIDs in the file meta information by element, and where the data set begins.

    Raises
    ------
    NotUnderstood
        As `data_set_in`.
    """
    at = len(PREAMBLE)
    if data[128:at] != PREAMBLE[128:]:
        raise NotUnderstood("the file has no DICM after a preamble")
    names = {}
    while at + 12 <= len(data):
        group, element, vr, length = _HEADER.unpack_from(data, at)
        if group != _GROUP:
            break
        at += 8
        if vr in _LONG:
            (length,) = _LENGTH.unpack_from(data, at)
            at += 4
        if vr == _UID:
            names[element] = data[at : at + length].decode("ascii", "replace").strip("\0 ")
        at += length
    if not is_uid(names.get(TRANSFER_SYNTAX_UID, "")) or at > len(data):
        raise NotUnderstood("the file meta information names no transfer syntax")
    return names, at
