"""Reads the file meta information of a Part 10 file while the file is still coming, PS3.10 7.1."""

import struct

from dicom_ai_node.domain.errors import NotUnderstood
from dicom_ai_node.domain.part10 import PREAMBLE
from dicom_ai_node.receive.part10 import Announced

LONGEST_META_BYTES = 64 << 10

_GROUP = 0x0002
_GROUP_BYTES = b"\x02\x00"
_LONG = frozenset({b"OB", b"UN", b"OW", b"SQ", b"UC", b"UR", b"UT"})
_HEADER = 8
_WANTED = {0x0002: "sop_class_uid", 0x0003: "sop_instance_uid", 0x0010: "transfer_syntax_uid"}


class MetaReader:
    """Takes the beginning of a file, piece by piece, until its data set begins."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = len(PREAMBLE)
        self._found: dict[str, str] = {}

    def feed(self, piece: memoryview) -> tuple[Announced, bytes] | None:
        """Return what the file says of itself, and of its data set what has come by then.

        `None` as long as the data set has not begun.

        Raises
        ------
        NotUnderstood
            If this is no Part 10 file.
        """
        self._data += piece
        if len(self._data) < len(PREAMBLE):
            return None
        if self._data[128 : len(PREAMBLE)] != PREAMBLE[128:]:
            raise NotUnderstood("the file has no DICM after a preamble")
        while self._next():
            pass
        group = bytes(self._data[self._at : self._at + 2])
        if len(group) == len(_GROUP_BYTES) and group != _GROUP_BYTES:
            return self.announced, bytes(self._data[self._at :])
        if len(self._data) > LONGEST_META_BYTES:
            raise NotUnderstood("the file meta information is too long")
        return None

    @property
    def announced(self) -> Announced:
        """What has been read so far."""
        return Announced(**self._found)

    def _next(self) -> bool:
        """Read one element of the group; return False if there is none in full."""
        at = self._at
        if len(self._data) < at + _HEADER + 4:
            return False
        group, element, vr, length = struct.unpack_from("<HH2sH", self._data, at)
        if group != _GROUP:
            return False
        at += _HEADER
        if vr in _LONG:
            (length,) = struct.unpack_from("<L", self._data, at)
            at += 4
        if at + length > LONGEST_META_BYTES:
            raise NotUnderstood("the file meta information is too long")
        if at + length > len(self._data):
            return False
        if element in _WANTED:
            value = bytes(self._data[at : at + length])
            self._found[_WANTED[element]] = value.decode("ascii", "replace").strip("\0 ")
        self._at = at + length
        return True
