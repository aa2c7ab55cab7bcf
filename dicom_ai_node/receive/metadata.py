"""Instances as metadata and bulk data, PS3.18 10.5.1.2: first headers, then a part per value.

The headers are one part of DICOM JSON, or a part of XML for each instance.
They become Part 10 files as a sender would have written them, in Explicit VR Little Endian or in
the transfer syntax of their pixel data, and go the same way as all others from there.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import RawIOBase
from typing import Any

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate_buffer
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset
from pydicom.valuerep import BUFFERABLE_VRS

from dicom_ai_node.domain.errors import NodeError, NotStorable, NotUnderstood
from dicom_ai_node.domain.native_model_read import header_of
from dicom_ai_node.receive.bulk import (
    LONGEST_VALUE_BYTES,
    PIXEL_DATA,
    Bulk,
    transfer_syntax_of,
    value_of,
)
from dicom_ai_node.receive.contexts import EXPLICIT_LITTLE
from dicom_ai_node.receive.depot import Takings
from dicom_ai_node.receive.incoming import Incoming
from dicom_ai_node.receive.media import DICOM_JSON, DICOM_XML, JSON, media_type
from dicom_ai_node.receive.multipart import TooMuch
from dicom_ai_node.receive.part10 import Announced
from dicom_ai_node.receive.parts import WrongType, check_encoding

LONGEST_METADATA_BYTES = 8 << 20
"""Of all instances of a request: their headers, without what is in parts of its own."""

_UNREADABLE = (
    LookupError, ValueError, TypeError, AttributeError, ArithmeticError, NotImplementedError,
    RecursionError, Warning,
)  # fmt: skip
"""What pydicom raises when DICOM JSON is none."""

Item = Mapping[str, Any]


class MetadataParts:
    """Takes metadata, then bulk data, and makes instances of them when all parts are here."""

    def __init__(self, takings: Takings, *, is_xml: bool = False) -> None:
        self._takings = takings
        self._is_xml = is_xml
        self._metadata = [bytearray()]
        self._size_bytes = 0
        self._bulk: dict[str, Bulk] = {}
        self._writing: Incoming | None = None

    def begin(self, headers: Mapping[str, str]) -> None:
        """Begin a part."""
        check_encoding(headers)
        kind = media_type(headers.get("content-type", ""))
        if self._is_header(kind.name):
            return
        location = headers.get("content-location", "")
        if not location or location in self._bulk:
            raise NotUnderstood("each part with bulk data needs a Content-Location of its own")
        self._writing = Incoming(self._takings.longest_bytes)
        self._writing.begin(self._takings.spool, b"")
        self._bulk[location] = Bulk(self._writing, kind)

    def data(self, data: memoryview) -> None:
        """Take more of it."""
        if self._writing is not None:
            self._writing.write(data)
            return
        self._size_bytes += len(data)
        if self._size_bytes > LONGEST_METADATA_BYTES:
            raise TooMuch(
                "the metadata are too large; send values as bulk data, or fewer instances"
            )
        self._metadata[-1] += data

    def end(self) -> None:
        """Take the part as whole."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None
        else:
            self._metadata.append(bytearray())

    def finish(self) -> None:
        """Make an instance of each data set."""
        try:
            for metadata in self._metadata[:-1]:
                for item in _items(bytes(metadata), is_xml=self._is_xml):
                    self._store(item)
        finally:
            self.discard()

    def discard(self) -> None:
        """Throw away the parts."""
        self._metadata.clear()
        for bulk in self._bulk.values():
            bulk.file.discard()

    def _is_header(self, kind: str) -> bool:
        """Return whether a part of this type is no bulk data; the first part has to be none."""
        is_first = len(self._metadata) == 1
        known = (DICOM_XML,) if self._is_xml else (DICOM_JSON, JSON)
        if is_first and kind not in known:
            raise WrongType(f"the first part must be {known[0]}")
        return is_first or (self._is_xml and kind in known)

    def _store(self, item: Item) -> None:
        announced = _announced(item)
        try:
            with _built(item, self._bulk) as built:
                announced = built.announced
                incoming = self._takings.begin(announced)
                self._write(built.dataset, incoming)
        except NodeError as trouble:
            self._takings.fail(announced, trouble)
            return
        self._takings.end(incoming, announced)

    def _write(self, dataset: Dataset, incoming: Incoming) -> None:
        output = DicomIO(_Sink(incoming))
        output.is_implicit_VR, output.is_little_endian = False, True
        try:
            write_dataset(output, dataset)
        except _UNREADABLE as error:
            incoming.discard()
            raise NotUnderstood("a value in the metadata is not what its VR says") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built:
    dataset: Dataset
    announced: Announced


@contextmanager
def _built(item: Item, bulk: Mapping[str, Bulk]) -> Iterator[_Built]:
    """Yield the instance in `item`; its bulk data are read when it is written."""
    plain = {tag: element for tag, element in item.items() if tag[:4] not in ("0000", "0002")}
    large = {_uri(element) for element in plain.values()}
    with ExitStack() as open_files:

        def value(tag: str, vr: str, uri: str) -> Any:  # noqa: ANN401 - whatever the VR needs
            found = bulk.get(uri)
            if found is None:
                raise NotUnderstood("the bulk data that the metadata name are not in the request")
            path = found.path
            if uri in large and vr in BUFFERABLE_VRS:
                return open_files.enter_context(path.open("rb"))
            if path.stat().st_size > LONGEST_VALUE_BYTES:
                raise NotStorable("only pixel data may be so large")
            return value_of(tag, vr, path.read_bytes())

        try:
            dataset = Dataset.from_json(plain, bulk_data_uri_handler=value)
            dataset.SpecificCharacterSet = "ISO_IR 192"  # as JSON is
            pixels = bulk.get(_uri(item.get(PIXEL_DATA, {})))
            syntax = EXPLICIT_LITTLE if pixels is None else transfer_syntax_of(pixels.kind)
            if syntax != EXPLICIT_LITTLE:
                _encapsulate(dataset, syntax)
        except _UNREADABLE as error:
            raise NotUnderstood("the metadata are no data set") from error
        announced = _announced(item)
        yield _Built(
            dataset=dataset,
            announced=Announced(
                sop_class_uid=announced.sop_class_uid,
                sop_instance_uid=announced.sop_instance_uid,
                transfer_syntax_uid=syntax,
            ),
        )


def _encapsulate(dataset: Dataset, transfer_syntax_uid: str) -> None:
    """Wrap a codestream as one fragment, PS3.5 A.4."""
    is_video = transfer_syntax_uid.startswith("1.2.840.10008.1.2.4.10")
    if int(dataset.get("NumberOfFrames") or 1) > 1 and not is_video:
        raise NotStorable("compressed frames come one instance each, or in a Part 10 file")
    pixels = dataset["PixelData"]
    pixels.VR = "OB"
    pixels.value = encapsulate_buffer([pixels.value])
    pixels.is_undefined_length = True


def _items(metadata: bytes, *, is_xml: bool) -> list[Item]:
    if is_xml:
        return [header_of(metadata)]
    try:
        items = json.loads(metadata)
    except (ValueError, RecursionError) as error:
        raise NotUnderstood("the first part is not JSON") from error
    items = items if isinstance(items, list) else [items]
    if not all(isinstance(item, dict) for item in items):
        raise NotUnderstood("the first part holds no data sets")
    return items


def _announced(item: Item) -> Announced:
    return Announced(
        sop_class_uid=_uid(item.get("00080016")), sop_instance_uid=_uid(item.get("00080018"))
    )


def _uid(element: object) -> str:
    value = element.get("Value") if isinstance(element, dict) else None
    return value[0] if isinstance(value, list) and value and isinstance(value[0], str) else ""


def _uri(element: object) -> str:
    uri = element.get("BulkDataURI") if isinstance(element, dict) else None
    return uri if isinstance(uri, str) else ""


class _Sink(RawIOBase):
    """What pydicom takes for a file, in front of an instance on its way in."""

    def __init__(self, incoming: Incoming) -> None:
        super().__init__()
        self._incoming = incoming
        self._at = 0

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer, as RawIOBase has it
        """Append."""
        self._incoming.write(memoryview(data))
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how much has been written."""
        return self._at
