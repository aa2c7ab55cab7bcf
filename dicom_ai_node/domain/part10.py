"""The beginning of a Part 10 file, PS3.10 7.1: the preamble and the file meta information."""

from mmap import mmap
from struct import Struct

from dicom_ai_node.domain.errors import NotUnderstood
from dicom_ai_node.domain.uids import is_uid

PREAMBLE = bytes(128) + b"DICM"

_GROUP, _TRANSFER_SYNTAX_UID = 0x0002, 0x0010
_LONG = frozenset((b"OB", b"UN"))
_HEADER, _LENGTH = Struct("<HH2sH"), Struct("<L")


def data_set_in(data: mmap | bytes) -> tuple[str, int]:
    """Return the transfer syntax of a file with these bytes, and where its data set begins.

    Raises
    ------
    NotUnderstood
        If the bytes do not begin with file meta information that names a transfer syntax.
    """
    at = len(PREAMBLE)
    if data[128:at] != PREAMBLE[128:]:
        raise NotUnderstood("the file has no DICM after a preamble")
    transfer_syntax_uid = ""
    while at + 12 <= len(data):
        group, element, vr, length = _HEADER.unpack_from(data, at)
        if group != _GROUP:
            break
        at += 8
        if vr in _LONG:
            (length,) = _LENGTH.unpack_from(data, at)
            at += 4
        if element == _TRANSFER_SYNTAX_UID:
            transfer_syntax_uid = data[at : at + length].decode("ascii", "replace").strip("\0 ")
        at += length
    if not is_uid(transfer_syntax_uid) or at > len(data):
        raise NotUnderstood("the file meta information names no transfer syntax")
    return transfer_syntax_uid, at
