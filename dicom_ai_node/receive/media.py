"""Media types as requests name them, RFC 9110 8.3.1 and 12.5.1."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
JSON = "application/json"
MULTIPART = "multipart/related"

_LONGEST = 1000
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - a token of RFC 9110
_TYPE = re.compile(rf"\s*({_TOKEN}/{_TOKEN})\s*")
# Some clients leave the quotes out although there is a slash or a colon in the value.
_PARAMETER = re.compile(rf';\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;",]*))\s*')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type in lower case; `parameters` by their names in lower case."""

    name: str
    parameters: Mapping[str, str]


def media_type(text: str) -> MediaType:
    """Return the media type that a header names; its name is empty if it names none."""
    return _media_type(text[:_LONGEST])


@lru_cache(256)  # a sender says the same of all that it sends
def _media_type(text: str) -> MediaType:
    begin = _TYPE.match(text)
    if begin is None:
        return MediaType("", {})
    parameters: dict[str, str] = {}
    at = begin.end()
    while found := _PARAMETER.match(text, at):
        quoted, plain = found[2], found[3]
        value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
        parameters.setdefault(found[1].lower(), value)
        at = found.end()
    return MediaType(begin[1].lower(), MappingProxyType(parameters))


def answer_type(accept: str) -> str:
    """Return the media type in which to answer, empty if none that is accepted is ours."""
    named = [media_type(each) for each in accept.split(",")[:50]]
    wanted = {each.name for each in named if each.parameters.get("q", "1").strip("0.") != ""}
    if not accept.strip() or wanted & {DICOM_JSON, "*/*", "application/*"}:
        return DICOM_JSON
    return next((one for one in (JSON, DICOM_XML) if one in wanted), "")
