"""Received headers, made fit to be copied into a result.

What a modality sends is stored as it came. What goes into our objects passes through here once:
highdicom and the validators stop at a missing Type 2 attribute, a partial date, `PatientSex` 'U'
or a character set that is declared the way it usually is in China and Japan.
"""

import struct
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import config
from pydicom.datadict import dictionary_has_tag, dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from dicom_ai_node.domain.progress import along
from dicom_ai_node.domain.quick_header import read_header
from dicom_ai_node.encode.copies import twin
from dicom_ai_node.encode.values import repaired, repaired_name, repaired_sex

TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber", "SeriesNumber", "InstanceNumber",
    "Manufacturer",
)  # fmt: skip
"""May be empty and may not be absent: Patient, General Study, Series, Equipment, PS3.3 C.7."""

_IDENTITIES = frozenset({
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID",
    "ReferencedSOPInstanceUID", "ReferencedSOPClassUID",
})  # fmt: skip
"""Never repaired, however odd: a reference must name what the archive holds."""
_TEXT = frozenset({
    "AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR",
    "UT",
})  # fmt: skip
_DECODED_BY_CHARSET = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_IN_G1 = {"ISO 2022 IR 58": ["gb18030"], "ISO 2022 IR 149": ["euc_kr"]}
_JOINED = frozenset({"LO", "SH", "ST", "LT", "UT", "UC"})
_NUMBERS = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_UNREADABLE = (ValueError, TypeError, AttributeError, NotImplementedError, LookupError,
               OverflowError, OSError, EOFError, BytesLengthException, struct.error)  # fmt: skip
"""What pydicom raises when an element's bytes do not fit its VR."""
_LOSSY = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
}
"""Transfer syntaxes that may lose something, and their method of PS3.3 C.7.6.1.1.5.1."""
_FROM_AROUND = frozenset({"SQ", "UN"})
_SHORT_BYTES = 512
_META_GROUP = 0x0002
_PIXEL_GROUP = 0x7FE0
_REPEATING = frozenset({0x5000, 0x6000})


Known = dict[tuple[object, ...], DataElement | None]
"""What has become of elements, by everything on which that depends. In a series most are alike."""


def normalised(dataset: Dataset, known: Known | None = None) -> Dataset:
    """Return a copy of the header that may be written again, without pixel data.

    Text is decoded whatever the character set and will be written as UTF-8; dates, times, codes,
    UIDs and numbers that PS3.5 6.2 forbids are empty; Type 2 attributes are there; private
    attributes, overlays, curves and bulk data are gone. UIDs that name the source stay as they
    are. `dataset` itself is not changed. Not for several threads at once: pydicom's validation is
    switched off for the process meanwhile.

    What has the same `known` shares the values of elements that are alike: set another value, do
    not change one.
    """
    with unvalidated():
        header = _clean(dataset, _scope(dataset, {} if known is None else known))
    header.SpecificCharacterSet = "ISO_IR 192"
    if "PatientSex" in header:
        header.PatientSex = repaired_sex(str(_first(header, "PatientSex", dataset)))
    for keyword in TYPE_2:
        if keyword not in header:
            setattr(header, keyword, None)
    if header.get("FrameOfReferenceUID") and "PositionReferenceIndicator" not in header:
        header.PositionReferenceIndicator = None
    meta = getattr(dataset, "file_meta", None)
    header.file_meta = FileMetaDataset()
    if meta is not None and "TransferSyntaxUID" in meta:
        header.file_meta.TransferSyntaxUID = meta.TransferSyntaxUID
    return header


def read_sources(paths: Iterable[Path]) -> list[Dataset]:
    """Read Part 10 files up to their pixels and return their normalised headers in that order.

    A lossy source that does not say how much it lost gets the ratio of its size in memory to that
    of its file: whatever is made from it must tell, PS3.3 C.7.6.1.1.5.
    """
    headers, known = [], Known()
    for path in along(list(paths)):
        with unvalidated():
            header = normalised(read_header(path, force=True)[0], known)
        _tell_loss(header, path.stat().st_size)
        headers.append(header)
    return headers


@contextmanager
def unvalidated() -> Iterator[None]:
    """Let odd values pass: they are judged here and not by pydicom."""
    with config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _encoding(dataset: Dataset) -> list[str] | None:
    """Return the encoding of text where pydicom would not find it, or `None` to leave it to it.

    ASCII with Chinese or Korean in G1 is read as GB18030 or EUC-KR, which say the same: pydicom
    leaves the escape sequences in the text, and some systems leave them out. Without a character
    set, bytes that happen to be valid UTF-8 are UTF-8; nothing else can be told apart.
    """
    declared = dataset.get("SpecificCharacterSet")
    if not isinstance(declared, str) and declared:
        return _IN_G1.get(tuple(declared)[-1]) if not declared[0] else None
    if str(declared or "").strip():
        return None
    texts = [raw.value or b"" for tag in dataset.keys() if (raw := _raw_text(dataset, tag))]  # noqa: SIM118
    try:
        b" ".join(texts).decode()
    except UnicodeDecodeError:
        return None
    return ["utf8"]


@dataclass(frozen=True, slots=True)
class _Scope:
    """How the text of a data set is decoded, and what is known already.

    `encoding` where pydicom would not find it, else what is declared.
    """

    encoding: list[str] | None
    declared: str
    known: Known


def _scope(dataset: Dataset, known: Known) -> _Scope:
    return _Scope(_encoding(dataset), str(dataset.get("SpecificCharacterSet")), known)


def _clean(dataset: Dataset, scope: _Scope) -> Dataset:
    clean: dict[BaseTag, DataElement | RawDataElement] = {}
    encoding = None if scope.encoding is None else scope.encoding[0]
    for tag in list(dataset.keys()):
        raw: object = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and _says_all(raw):
            key = (*raw[:4], raw.is_implicit_VR, raw.is_little_endian, encoding, scope.declared)
            if key not in scope.known:
                scope.known[key] = _cleaned(dataset, tag, scope)
            found = scope.known[key]
            element = None if found is None else twin(found)
        else:
            element = _cleaned(dataset, tag, scope)
        if element is not None:
            clean[tag] = element
    return Dataset(clean)


def _says_all(raw: RawDataElement) -> bool:
    """Return whether it can be understood without the elements around it, and is short."""
    return raw.VR is not None and raw.VR not in _FROM_AROUND and raw.length <= _SHORT_BYTES


def _cleaned(dataset: Dataset, tag: BaseTag, scope: _Scope) -> DataElement | None:
    """Return the element as it may be written again, or `None` if it may not."""
    if not _is_kept(tag):
        return None
    element = _element(dataset, tag, scope.encoding)
    if element is None or not element.keyword:
        return None
    if element.VR == "SQ":
        items = [
            _clean(item, _scope(item, scope.known) if "SpecificCharacterSet" in item else scope)
            for item in element.value or ()
        ]
        return DataElement(tag, "SQ", [item for item in items if len(item)])
    if element.VR in _TEXT:
        return DataElement(tag, element.VR, _text(element))
    if element.VR in _NUMBERS:
        return DataElement(tag, element.VR, element.value)
    return None


def _is_kept(tag: BaseTag) -> bool:
    is_repeating = tag.group & 0xFF00 in _REPEATING
    return not (
        tag.is_private or is_repeating or tag.group <= _META_GROUP or tag.group >= _PIXEL_GROUP
    )


def _element(dataset: Dataset, tag: BaseTag, encoding: list[str] | None) -> DataElement | None:
    """Return the element in its final form, or `None` if its bytes make no sense."""
    try:
        raw = _raw_text(dataset, tag)
        if encoding and raw is not None:
            return convert_raw_data_element(raw, encoding=encoding, ds=dataset)
        element = dataset[tag]
        if element.VR == "PN":
            str(element.value)  # names decode themselves only now
    except _UNREADABLE:
        return None
    return element


def _raw_text(dataset: Dataset, tag: BaseTag) -> RawDataElement | None:
    """Return an element whose bytes depend on the character set and are not decoded yet."""
    raw: object = dataset.get_item(tag)
    if not isinstance(raw, RawDataElement):
        return None
    vr = raw.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")  # implicit: no VR
    return raw if vr in _DECODED_BY_CHARSET else None


def _text(element: DataElement) -> str | list[str] | None:
    """Return the value or values of a text element, or `None` if nothing is left of them."""
    if element.value is None:
        return None
    many = isinstance(element.value, MultiValue | list | tuple)
    values = [str(value) for value in (element.value if many else [element.value])]
    if many and dictionary_VM(element.tag) == "1":
        values = ["/".join(values)] if element.VR in _JOINED else values[:1]
    if element.keyword in _IDENTITIES:
        kept = [value.strip(" \0") for value in values]
    elif element.VR == "PN":
        kept = [repaired_name(value) for value in values]
    else:
        kept = [repaired(element.VR, value) for value in values]
    if not any(kept):
        return None
    if element.VR != "CS" and element.VR in {"DS", "IS", "DA", "TM", "DT", "UI"} and not all(kept):
        return None  # half a position is no position
    return kept[0] if len(kept) == 1 else kept


def _first(header: Dataset, keyword: str, received: Dataset) -> str:
    """Return the value as received where the code was not even a code string."""
    try:
        return str(received.get(keyword) or "")
    except _UNREADABLE:
        return str(header.get(keyword) or "")


def _tell_loss(header: Dataset, size_bytes: int) -> None:
    method = _LOSSY.get(header.file_meta.get("TransferSyntaxUID"))
    if method is not None:
        header.LossyImageCompression = "01"
    if header.get("LossyImageCompression") != "01" or header.get("LossyImageCompressionRatio"):
        return
    shape = [int(header.get(keyword) or 1) for keyword in (
        "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated")]  # fmt: skip
    frames, rows, columns, samples, bits = shape
    raw_bytes = frames * rows * columns * samples * bits / 8
    header.LossyImageCompressionRatio = f"{max(raw_bytes / max(size_bytes, 1), 1):.3g}"
    header.LossyImageCompressionMethod = method or header.get("LossyImageCompressionMethod")
