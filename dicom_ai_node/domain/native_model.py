"""Data sets in the Native DICOM Model, PS3.19 A.1: XML that says what the DICOM JSON model says.

A private attribute has a tag without its block, and names its creator; where two blocks of a group
have the same creator, the later one keeps its number. What XML 1.0 cannot hold, such as an escape
character, becomes U+FFFD.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

from dicom_ai_node.domain.archive import Header

XML = "application/dicom+xml"
NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A parser makes a line feed of a carriage return that is not written as a number.
_AS_NUMBER = {"\r": "&#13;"}
_CREATOR = re.compile(r"[0-9A-F]{3}[13579BDF]00[1-9A-F][0-9A-F]")
_PRIVATE = re.compile(r"[0-9A-F]{3}[13579BDF](?!00)[0-9A-F]{4}")


def xml_of(header: Header) -> bytes:
    """Return a data set as an XML document."""
    root = f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
    text = "".join(_data_set(header))
    return f'<?xml version="1.0" encoding="UTF-8"?>{root}{text}</NativeDicomModel>'.encode()


def creator_in(element: object) -> str:
    """Return the creator that a private creator element names; empty if it names none."""
    found = element.get("Value") if isinstance(element, Mapping) else None
    return found[0].strip() if found and isinstance(found[0], str) else ""


def creators_of(header: Header) -> dict[str, str]:
    """Return the creators of private blocks by group and block, such as `000910`."""
    return {
        tag[:4] + tag[6:]: creator
        for tag, element in header.items()
        if _CREATOR.fullmatch(tag) and (creator := creator_in(element))
    }


def _data_set(header: Header) -> Iterator[str]:
    creators = creators_of(header)
    first = {(block[:4], name): block for block, name in sorted(creators.items(), reverse=True)}
    for tag, element in sorted(header.items()):
        shown = tag
        creator = creators.get(tag[:6], "") if _PRIVATE.fullmatch(tag) else ""
        said = f' vr="{element["vr"]}"'
        if creator:
            if first[tag[:4], creator] == tag[:6]:
                shown = f"{tag[:4]}00{tag[6:]}"
            said += f" privateCreator={_quoted(creator)}"
        elif keyword := keyword_for_tag(int(tag, 16)):
            said += f' keyword="{keyword}"'
        yield f'<DicomAttribute tag="{shown}"{said}>'
        yield from _content(element)
        yield "</DicomAttribute>"


def _content(element: Mapping[str, Any]) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f"<BulkData uri={_quoted(element['BulkDataURI'])}/>"
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{_plain(element['InlineBinary'])}</InlineBinary>"
    found: Sequence[Any] = element.get("Value", ())
    for number, value in enumerate(() if found == [None] else found, 1):
        match element["vr"]:
            case "SQ":
                yield f'<Item number="{number}">'
                yield from _data_set(value or {})
                yield "</Item>"
            case "PN":
                yield f'<PersonName number="{number}">'
                yield from _name(value or {})
                yield "</PersonName>"
            case _:
                text = "" if value is None else _plain(str(value))
                yield f'<Value number="{number}">{text}</Value>'


def _name(name: Mapping[str, str]) -> Iterator[str]:
    for group in GROUPS:
        if group in name:
            # What is more than five components is none by the standard, and stays as it is.
            parts = name[group].split("^", len(COMPONENTS) - 1)
            told = zip(COMPONENTS, parts, strict=False)
            inside = "".join(f"<{one}>{_plain(part)}</{one}>" for one, part in told)
            yield f"<{group}>{inside}</{group}>"


def _plain(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text), _AS_NUMBER)


def _quoted(text: str) -> str:
    return quoteattr(_NO_XML.sub("\ufffd", text))
