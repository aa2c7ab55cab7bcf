"""The short attributes of an instance as text, for routes to look at. None names a patient."""

import re
import struct
from functools import cache, lru_cache

from pydicom._dicom_dict import DicomDictionary
from pydicom.charset import decode_bytes, python_encoding

LONGEST_TEXT = 256
"""Characters of an attribute that still counts as short."""

_LONGEST_VALUE_BYTES = 4 * LONGEST_TEXT
_ESCAPE = b"\x1b"
_DELIMITERS = {0x09, 0x0A, 0x0C, 0x0D, 0x5C}
_LATIN_1 = "iso8859"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBERS = {
    "US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
}  # fmt: skip
_ASCII_TEXTS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_FREE_TEXTS = frozenset({"LO", "SH", "ST", "UC"})

# LT and UT are left out: they are comments, and a comment may say anything about anyone. So is PN.
_SPEAKABLE = frozenset(_NUMBERS) | _ASCII_TEXTS | _FREE_TEXTS | {"AT", "US or SS"}
_OF_A_PATIENT = frozenset({"PatientSex", "PatientAge", "PatientSize", "PatientWeight"})
"""All of group 0010 that a route may look at."""

_PERSONAL_GROUPS = frozenset({0x0010, 0x0038, 0x4008})
"""Patient, visit, and the interpretation of results."""

_REPEATING_GROUPS = frozenset({0x50, 0x60})
_PERSONAL = re.compile(
    "Address|Telephone|Phone|Institution|Physician|Operator|Person|Request(er|ing)|Reviewer"
    "|Subject|Organization|Recipient|Contact|AccessionNumber|OrderNumber|Admitting|Reason"
    "|^StudyID$|OtherStudyNumbers|Procedure(Step)?ID$|Barcode|Issuer"
)
"""Keywords of identifiers and of texts about people, after PS3.15 Table E.1-1."""


def _spoken(tag: int) -> tuple[str, str] | None:
    """Return VR and keyword of an element that may be told, `None` of any other."""
    # Not remembered where it is not listed: a stranger knows four thousand million others.
    return _listed(tag) if tag in DicomDictionary else None


@cache
def _listed(tag: int) -> tuple[str, str] | None:
    vr, _, _, _, keyword = DicomDictionary[tag]
    if vr not in _SPEAKABLE or not keyword or tag >> 24 in _REPEATING_GROUPS:
        return None
    if keyword not in _OF_A_PATIENT and (
        tag >> 16 in _PERSONAL_GROUPS or _PERSONAL.search(keyword)
    ):
        return None
    return vr, keyword


class Attributes:
    """Collects the attributes of one data set in the order of its elements."""

    def __init__(self, *, is_little: bool) -> None:
        self.texts: dict[str, str] = {}
        self._order = "<" if is_little else ">"
        self._encodings: tuple[str, ...] = (_LATIN_1,)

    def wants(self, tag: int, length: int) -> bool:
        """Return whether an element is short and may be told."""
        is_short = 0 < length <= _LONGEST_VALUE_BYTES
        return is_short and _spoken(tag) is not None

    def add(self, tag: int, value: bytes) -> bool:
        """Note an element that is wanted; return False if it is there already."""
        spoken = _spoken(tag)
        if spoken is None:
            return True
        vr, keyword = spoken
        if keyword in self.texts:
            return False
        if vr == "US or SS":
            vr = "SS" if self.texts.get("PixelRepresentation") == "1" else "US"
        text = _text(vr, value, self._order, self._encodings)
        if keyword == "SpecificCharacterSet":
            self._encodings = tuple(_encoding(term) for term in text.split("\\"))
        if 0 < len(text) <= LONGEST_TEXT:
            self.texts[keyword] = text
        return True


@lru_cache(maxsize=2048)  # most values of a slice are those of the slice before
def _text(vr: str, value: bytes, order: str, encodings: tuple[str, ...]) -> str:
    if vr in _ASCII_TEXTS:
        return _tidy(value.decode("ascii", errors="replace"))
    if vr in _FREE_TEXTS:
        return _tidy(_decoded(value, encodings))
    if vr == "AT":
        groups = _unpacked(order, "H", value)
        pairs = zip(groups[::2], groups[1::2], strict=False)
        return "\\".join(f"{group:04X}{element:04X}" for group, element in pairs)
    numbers = _unpacked(order, _NUMBERS[vr], value)
    digits = ".7g" if vr == "FL" else ".15g" if vr == "FD" else "d"
    return "\\".join(format(number, digits) for number in numbers)


def _decoded(value: bytes, encodings: tuple[str, ...]) -> str:
    if _ESCAPE in value:
        try:
            return decode_bytes(value, list(encodings), _DELIMITERS)
        except (LookupError, UnicodeError, Warning):
            pass
    return value.decode(encodings[0], errors="replace")


def _encoding(term: str) -> str:
    """Return the Python name of a Specific Character Set term; Latin-1 if nobody knows it."""
    # ISO-IR 100 and ISO IR 192 are common ways of writing what should be ISO_IR 100 and 192.
    tidied = re.sub(r"^ISO[ _-]?(2022)?[ _-]IR[ _-]?", _prefix, term.strip().upper())
    return python_encoding.get(tidied, _LATIN_1)


def _prefix(found: re.Match[str]) -> str:
    return "ISO 2022 IR " if found[1] else "ISO_IR "


def _unpacked(order: str, code: str, value: bytes) -> tuple[int | float, ...]:
    count, rest = divmod(len(value), struct.calcsize(order + code))
    return () if rest else struct.unpack(f"{order}{count}{code}", value)


def _tidy(text: str) -> str:
    """Drop padding and control characters; PostgreSQL takes no NUL in a text."""
    plain = text.strip("\0 ")
    if plain.isprintable() and "\\" not in plain:
        return plain.strip()
    return "\\".join(_CONTROL.sub(" ", part).strip() for part in text.split("\\"))
