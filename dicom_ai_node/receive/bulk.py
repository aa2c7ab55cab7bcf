"""Bulk data: one value of an instance, in a part of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.values import convert_value

from dicom_ai_node.domain.errors import NotStorable, OutOfResources
from dicom_ai_node.receive.contexts import EXPLICIT_LITTLE
from dicom_ai_node.receive.incoming import TOO_LARGE, Incoming
from dicom_ai_node.receive.media import MediaType
from dicom_ai_node.receive.multipart import TooMuch

PIXEL_DATA = "7FE00010"
LONGEST_VALUE_BYTES = 16 << 20
"""Of what is read into memory: values in sequences, and those that are numbers or text."""

_SYNTAXES: Mapping[str, str] = MappingProxyType({
    "application/octet-stream": EXPLICIT_LITTLE,
    "image/jpeg": "1.2.840.10008.1.2.4.70",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/x-dicom-rle": "1.2.840.10008.1.2.5",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jphc": "1.2.840.10008.1.2.4.201",
    "image/jxl": "1.2.840.10008.1.2.4.112",
    "video/mpeg2": "1.2.840.10008.1.2.4.100",
    "video/mpeg": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
})  # fmt: skip
"""What a part is if it does not say, PS3.18 Tables 8.7.3-2 and 8.7.3-5."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """One part, and what it says it is."""

    file: Incoming
    kind: MediaType

    @property
    def path(self) -> Path:
        """Where it lies.

        Raises
        ------
        TooMuch, OutOfResources
            If it has not been taken.
        """
        if self.file.refusal is None:
            return self.file.path
        _, comment = self.file.refusal
        raise TooMuch(comment) if comment == TOO_LARGE else OutOfResources(comment)


def transfer_syntax_of(kind: MediaType) -> str:
    """Return the transfer syntax of an instance whose pixel data are in a part of this type.

    Raises
    ------
    NotStorable
        If the type is none of pixel data.
    """
    syntax = kind.parameters.get("transfer-syntax") or _SYNTAXES.get(kind.name, "")
    if not syntax:
        raise NotStorable("pixel data come as application/octet-stream, image/... or video/...")
    return syntax


def value_of(tag: str, vr: str, encoded: bytes) -> Any:  # noqa: ANN401 - whatever the VR needs
    """Return a value that was encoded in Little Endian, text in UTF-8."""
    raw = RawDataElement(Tag(tag), vr, len(encoded), encoded, 0, is_implicit_VR=False,
                         is_little_endian=True)  # fmt: skip
    return convert_value(vr, raw, ["utf8"])
