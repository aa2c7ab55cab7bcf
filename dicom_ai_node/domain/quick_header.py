"""The header of a Part 10 file, read in one go.

Most files are Explicit VR Little Endian in tag order, with sequences whose length is known. Of
these pydicom need not look at every element: they are laid before it as they are, and it
understands each when it is asked for it, as always. Any other file is read by pydicom.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

from pydicom import dcmread
from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import (
    DataElement,
    RawDataElement,
    convert_raw_data_element,
    empty_value_for_VR,
)
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

from dicom_ai_node.domain.part10 import PREAMBLE

_AT_ONCE_BYTES: Final = 1 << 16
"""A header that is longer is read by pydicom."""
_SHORT, _LONG = Struct("<HH2sH"), Struct("<L")
_KINDS: Final = {vr.value.encode(): vr.value for vr in STANDARD_VR}
_LONG_KINDS: Final = frozenset(vr.value.encode() for vr in EXPLICIT_VR_LENGTH_32)
_META_GROUP, _SYNTAX, _CHARACTER_SET = 0x0002, BaseTag(0x00020010), BaseTag(0x00080005)
_PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_EXPLICIT_LITTLE: Final = (b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.5")
_ENCAPSULATED: Final = b"1.2.840.10008.1.2.4."
_UNDEFINED: Final = 0xFFFFFFFF

Elements = dict[BaseTag, DataElement | RawDataElement]


class Understood:
    """What the instances of a series have in common, understood once; nobody may change it.

    Parameters
    ----------
    keywords
        Of elements whose value depends on nothing else in the data set, no character set either.
    """

    def __init__(self, keywords: Iterable[str]) -> None:
        self._tags = [BaseTag(tag) for word in keywords if (tag := tag_for_keyword(word))]
        self._known: dict[tuple[BaseTag, str | None, bytes | None], DataElement] = {}

    def share(self, elements: Elements) -> None:
        """Put what is known in the place of its bytes; what makes no sense stays as it is."""
        for tag in self._tags:
            raw = elements.get(tag)
            if not isinstance(raw, RawDataElement):
                continue
            key = tag, raw.VR, raw.value
            if key not in self._known:
                try:
                    self._known[key] = convert_raw_data_element(raw)
                except Exception:  # noqa: BLE001, S112 - whoever asks for it will be told
                    continue
            elements[tag] = self._known[key]


def read_header(
    path: Path, *, force: bool = False, understood: Understood | None = None
) -> tuple[Dataset, int]:
    """Return everything of an instance before its pixel data, and where in the file that begins.

    Parameters
    ----------
    force
        Read also what has no preamble.
    understood
        What is known of other instances of its series.

    Raises
    ------
    Exception
        Whatever pydicom raises for bytes that are no data set.
    """
    with path.open("rb") as file:
        return header_in(file, os.fspath(path), force=force, understood=understood)


def header_in(
    file: BinaryIO,
    name: str | None = None,
    *,
    force: bool = False,
    understood: Understood | None = None,
) -> tuple[Dataset, int]:
    """Return the same of an open file, which stands at its beginning; as `read_header`."""
    quick = quick_header_in(file, name, understood)
    if quick is not None:
        return quick
    file.seek(0)
    ds = dcmread(file, stop_before_pixels=True, force=force)
    return ds, file.tell()


def quick_header_in(
    file: BinaryIO, name: str | None = None, understood: Understood | None = None
) -> tuple[Dataset, int] | None:
    """Return the same, or `None` for a file that is left to pydicom: of that anything was read."""
    read = _read(file.read(_AT_ONCE_BYTES))
    if read is None:
        return None
    meta, elements, at = read
    if understood is not None:
        understood.share(elements)
    header = FileDataset(
        name or file, Dataset(elements), PREAMBLE[:128], FileMetaDataset(meta),
        is_implicit_VR=False, is_little_endian=True,
    )  # fmt: skip
    header.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=_character_set(elements.get(_CHARACTER_SET)),
    )
    return header, at


def _read(data: bytes) -> tuple[Elements, Elements, int] | None:
    """Return file meta information, data set and where the pixels begin; `None` if unusual."""
    if data[128:132] != PREAMBLE[128:]:
        return None
    meta, at = _elements(data, len(PREAMBLE), in_meta=True)
    syntax = meta.get(_SYNTAX)
    uid = bytes(syntax.value or b"").rstrip(b"\0 ") if syntax is not None else b""
    if uid not in _EXPLICIT_LITTLE and not uid.startswith(_ENCAPSULATED):
        return None
    elements, at = _elements(data, at, in_meta=False)
    group, element = _SHORT.unpack_from(data, at)[:2] if at + 8 <= len(data) else (0, 0)
    return (meta, elements, at) if group << 16 | element in _PIXELS else None


def _elements(data: bytes, at: int, *, in_meta: bool) -> tuple[Elements, int]:
    """Return the elements from `at` on, and where they end or are no longer understood."""
    found: Elements = {}
    last, end = 0, len(data) - 12
    while at <= end:
        group, number, kind, length = _SHORT.unpack_from(data, at)
        tag, begins = group << 16 | number, at + 8
        if (group == _META_GROUP) != in_meta or tag <= last or tag in _PIXELS:
            break
        vr = _KINDS.get(kind)
        if kind in _LONG_KINDS:
            (length,) = _LONG.unpack_from(data, begins)
            begins += 4
        if vr is None or length == _UNDEFINED or begins + length > len(data):
            break
        value = data[begins : begins + length] if length else _nothing(vr)
        last = tag
        key = BaseTag(tag)
        found[key] = RawDataElement(key, vr, length, value, begins, False, True)  # noqa: FBT003
        at = begins + length
    return found, at


def _nothing(vr: str) -> bytes | None:
    """Return what stands for no value, as pydicom means it."""
    nothing = empty_value_for_VR(vr, raw=True)
    return nothing if isinstance(nothing, bytes) else None


def _character_set(said: DataElement | RawDataElement | None) -> str | list[str]:
    if not isinstance(said, RawDataElement):
        return default_encoding
    return convert_encodings(convert_raw_data_element(said).value)
