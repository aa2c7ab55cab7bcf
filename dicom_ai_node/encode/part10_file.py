"""A result as the bytes of a Part 10 file: what its elements share with others is encoded once.

pydicom encodes every element of every instance. The instances of a series, and the items of a
report, say mostly the same, so that what has been encoded is kept here. Whatever is unusual is left
to pydicom; the bytes are those that it would write.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_sequence_item
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_ai_node.encode.copies import UTF_8, settle

_PREFIX = b"\0" * 128 + b"DICM"
_GROUP_LENGTH, _CHARACTER_SET, _PIXEL_DATA = 0x0002_0000, 0x0008_0005, 0x7FE0_0010
_AS_THEY_ARE = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
_UNDEFINED = 0xFFFF_FFFF
_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_DELIMITATION = b"\xfe\xff\xdd\xe0\0\0\0\0"
_IN_UTF_8 = "ISO_IR 192"
_MOST_KNOWN = 8192
"""Elements that are kept at most. What a series shares is in its first instances."""
_LARGE_BYTES = 4096
"""A value of so many bytes is neither kept nor copied."""


class Part10Writer:
    """Writes the objects of one job, Explicit VR Little Endian or encapsulated, text as UTF-8."""

    def __init__(self) -> None:
        # The value itself is kept with its bytes: as long as it lives its id is no other's.
        self._known: dict[tuple[int, str, object], tuple[object, bytes]] = {}

    def write(self, dataset: Dataset, file: BinaryIO) -> None:
        """Write a data set that this node has made, with its file meta information, PS3.10 7.1."""
        settle(dataset)
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        is_plain = syntax == ExplicitVRLittleEndian or syntax.is_encapsulated
        if not is_plain or dataset.get("SpecificCharacterSet") != _IN_UTF_8:
            dataset.save_as(file, enforce_file_format=True)
            return
        meta = b"".join(
            self._element(element)
            for element in dataset.file_meta.elements()
            if element.tag != _GROUP_LENGTH
        )
        small = [_PREFIX, struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(meta)), meta]
        for piece in self._pieces(dataset, is_encapsulated=syntax.is_encapsulated):
            if len(piece) < _LARGE_BYTES:
                small.append(piece)
            else:
                file.write(b"".join(small))
                file.write(piece)
                small = []
        file.write(b"".join(small))

    def _pieces(self, dataset: Dataset, *, is_encapsulated: bool) -> Iterator[bytes]:
        for element in dataset.elements():
            value, vr = element.value, str(element.VR)
            if vr not in _AS_THEY_ARE or not isinstance(value, bytes) or len(value) % 2:
                yield self._element(element)
            elif is_encapsulated and element.tag == _PIXEL_DATA:  # PS3.5 A.4
                yield _head(element.tag, "OB", _UNDEFINED)
                yield value
                yield _SEQUENCE_DELIMITATION
            else:
                yield _head(element.tag, vr, len(value))
                yield value

    def _element(self, element: DataElement | RawDataElement) -> bytes:
        if isinstance(element, RawDataElement) or element.is_undefined_length:
            return _by_pydicom(element)
        if element.VR == "SQ":
            items = b"".join(map(self._item, element.value))
            return _head(element.tag, "SQ", len(items)) + items
        value = element.value
        key = (element.tag, element.VR, value if isinstance(value, str) else id(value))
        known = self._known.get(key)
        if known is None:
            known = value, _by_pydicom(element)
            if len(self._known) < _MOST_KNOWN and len(known[1]) < _LARGE_BYTES:
                self._known[key] = known
        return known[1]

    def _item(self, item: Dataset) -> bytes:
        if _CHARACTER_SET in item or getattr(item, "is_undefined_length_sequence_item", False):
            stream = _stream()
            write_sequence_item(stream, item, UTF_8)
            return stream.getvalue()
        content = b"".join(map(self._element, item.elements()))
        return _ITEM + struct.pack("<L", len(content)) + content


def _head(tag: BaseTag, vr: str, length: int) -> bytes:
    """Return tag, VR and length of an element whose length has 32 bits, PS3.5 7.1.2."""
    return struct.pack("<HH2s2xL", tag.group, tag.element, vr.encode(), length)


def _by_pydicom(element: DataElement | RawDataElement) -> bytes:
    stream = _stream()
    write_data_element(stream, element, UTF_8)
    return stream.getvalue()


def _stream() -> DicomBytesIO:
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    return stream
