"""The header of a stored file in the DICOM JSON model, PS3.18 Annex F, without its long values.

Text becomes UTF-8. What cannot be read as its VR is left out: a header with one odd element is
still a header. Values of more than `LONGEST_BYTES`, and the pixel data, are named by a
`BulkDataURI` below `/studies/` instead, one in a sequence as `.../bulkdata/TAG/ITEM/TAG`, items
counted from 1.
"""

import json
from collections.abc import Sequence
from contextlib import closing, suppress
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from struct import error as StructError  # noqa: N812 - it is a class
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_sequence
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_ai_node.domain.part10 import data_set_in
from dicom_ai_node.domain.quick_header import quick_header_in
from dicom_ai_node.store.element_json import BINARY, element_json, known_json, listed_vr

LONGEST_BYTES = 1024
"""A longer binary value is bulk data."""

_DEFERRED_BYTES = 1 << 20
"""What is longer than this is not read unless it has to be."""
_LONGEST_KNOWN_UN = 0xFFFF
_LONGEST_KNOWN_BYTES = 64
_CHARACTER_SET = 0x00080005
_GROUP_LENGTH = 0x0000FFFF
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_PADDING = 0xFFFCFFFC
_LOOKUP = frozenset({0x00281101, 0x00281102, 0x00281103, 0x00283002})
"""Descriptors of lookup tables, whose VR depends on other elements."""
_NATIVE = frozenset({
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
})  # fmt: skip
_UTF_8 = {"vr": "CS", "Value": ["ISO_IR 192"]}


def header_json(path: Path) -> dict[str, Any]:
    """Return the header of a Part 10 file; the file is trusted to have the UIDs of its row.

    Raises
    ------
    Exception
        Whatever pydicom raises for bytes that are no data set.
    """
    with path.open("rb") as file:
        if quick := quick_header_in(file):
            dataset, _ = quick
            return _header(dataset, file, dataset.file_meta.TransferSyntaxUID, has_pixels=True)
        with closing(mmap(file.fileno(), 0, access=ACCESS_READ)) as data:
            syntax, at = data_set_in(data)
        if syntax == DeflatedExplicitVRLittleEndian:
            # Its pixel data is in a copy that is gone when it has been read.
            file.seek(0)
            dataset = dcmread(file)
            has_pixels = any(tag in dataset for tag in _PIXELS)
        else:
            file.seek(at)
            dataset = read_dataset(
                file,
                is_implicit_VR=syntax == ImplicitVRLittleEndian,
                is_little_endian=syntax != ExplicitVRBigEndian,
                stop_when=_is_pixel_data,
                defer_size=_DEFERRED_BYTES,
            )
            has_pixels = bool(file.read(1))
        return _header(dataset, file, syntax, has_pixels=has_pixels)


def _is_pixel_data(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in _PIXELS


def _header(dataset: Dataset, file: BinaryIO, syntax: str, *, has_pixels: bool) -> dict[str, Any]:
    place = (
        f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}/bulkdata"
    )
    header = _as_json(dataset, place, file)
    if has_pixels:
        tag, vr = _pixel_data(dataset, is_native=syntax in _NATIVE)
        header[tag] = {"vr": vr, "BulkDataURI": f"{place}/{tag}"}
    header["00080005"] = _UTF_8
    return header


def _pixel_data(dataset: Dataset, *, is_native: bool) -> tuple[str, str]:
    """Return which of the three pixel data elements comes where reading has stopped."""
    if "BitsAllocated" not in dataset or int(dataset.BitsAllocated) <= 16:  # noqa: PLR2004
        return "7FE00010", "OW" if is_native else "OB"
    if int(dataset.BitsAllocated) == 64:  # noqa: PLR2004
        return "7FE00009", "OD"
    return ("7FE00008", "OF") if "PixelRepresentation" not in dataset else ("7FE00010", "OW")


def _as_json(dataset: Dataset, place: str, file: BinaryIO) -> dict[str, Any]:
    read: str | Sequence[str] = dataset.original_character_set
    encodings = (read,) if isinstance(read, str) else tuple(read)
    found: dict[str, Any] = {}
    for tag in sorted(dataset.keys(), key=int):
        if not tag & _GROUP_LENGTH or tag in _PIXELS or tag == _PADDING:
            continue
        name = f"{tag:08X}"
        # A private or unknown value may be anything; what does not fit its VR is left out.
        with suppress(Exception):
            found[name] = _element(dataset, tag, encodings, f"{place}/{name}", file)
    if "00080005" in found:
        found["00080005"] = _UTF_8
    return found


def _element(
    dataset: Dataset, tag: BaseTag, encodings: tuple[str, ...], place: str, file: BinaryIO
) -> dict[str, Any]:
    raw: Any = dataset.get_item(tag, keep_deferred=True)  # its type names the read element only
    if not isinstance(raw, RawDataElement) or tag in _LOOKUP:
        return _of_pydicom(_decoded(dataset, tag, file), place, file)
    vr = _vr(dataset, raw)
    if vr in BINARY and raw.length > LONGEST_BYTES:
        return {"vr": vr, "BulkDataURI": place}
    value = _value(raw, file)
    if vr == "SQ":
        items = read_sequence(
            BytesIO(value), raw.is_implicit_VR, raw.is_little_endian, len(value), list(encodings)
        )
        return _items(items, place, file)
    made = known_json if len(value) <= _LONGEST_KNOWN_BYTES else element_json
    try:
        return made(vr, value, encodings, "<" if raw.is_little_endian else ">")
    except (KeyError, StructError):
        # A VR that depends on others, or none at all, or a length that fits none.
        return _of_pydicom(_decoded(dataset, tag, file), place, file)


def _decoded(dataset: Dataset, tag: BaseTag, file: BinaryIO) -> DataElement:
    """Return an element as pydicom reads it, which does not know the file itself."""
    raw: Any = dataset.get_item(tag, keep_deferred=True)
    if isinstance(raw, RawDataElement) and raw.value is None:
        dataset[tag] = raw._replace(value=_value(raw, file))
    return dataset[tag]


def _value(raw: RawDataElement, file: BinaryIO) -> bytes:
    """Return the bytes of an element, also of one that was too long to be read at once."""
    if raw.value is not None or not raw.length:
        return raw.value or b""
    file.seek(raw.value_tell)
    return file.read(raw.length)


def _vr(dataset: Dataset, raw: RawDataElement) -> str:
    """Return the VR of an element; where the file does not know it, that of PS3.6."""
    if raw.VR is not None and (raw.VR != "UN" or raw.length >= _LONGEST_KNOWN_UN):
        return raw.VR
    if not raw.tag.is_private:
        return listed_vr(raw.tag, "")
    block = raw.tag.elem >> 8
    creator = dataset.get_item((raw.tag.group, block)) if block else None
    if creator is None or not creator.value:
        return listed_vr(raw.tag, "")
    said = creator.value
    known = said.decode("latin-1").strip(" \0") if isinstance(said, bytes) else str(said)
    return listed_vr(raw.tag, known)


def _items(items: Sequence[Dataset], place: str, file: BinaryIO) -> dict[str, Any]:
    values = [_as_json(item, f"{place}/{number}", file) for number, item in enumerate(items, 1)]
    return {"vr": "SQ", "Value": values} if values else {"vr": "SQ"}


def _of_pydicom(element: DataElement, place: str, file: BinaryIO) -> dict[str, Any]:
    if element.VR == "SQ":
        return _items(element.value, place, file)
    if element.VR in BINARY and len(element.value or b"") > LONGEST_BYTES:
        return {"vr": element.VR, "BulkDataURI": place}
    # Longer values have been dealt with, so nobody has to be asked where they are.
    made: dict[str, Any] = element.to_json_dict(None, LONGEST_BYTES * 1024)
    return made


def encoded(header: dict[str, Any]) -> bytes:
    """Return a header as it goes over the wire."""
    return json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
