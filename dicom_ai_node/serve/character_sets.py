"""In which characters an answer is written: those of the asker, if they can hold it.

Old archives and viewers do not know UTF-8, and ask in what they know. An answer that does not fit
there, or whose asker says nothing, is UTF-8.
"""

from collections.abc import Iterable, Sequence

from pydicom.charset import python_encoding

UTF_8 = "ISO_IR 192"
_DEFAULT = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
_STAND_ALONE = frozenset({UTF_8, "GB18030", "GBK"})
_JAPANESE = {"iso2022_jp": b"\x1b$B", "iso2022_jp_2": b"\x1b$(D"}
"""Python's codecs hold more than the one set that DICOM means; these begin that one."""

_LATIN_1 = range(0x80, 0x100)


def fitting(asked: Sequence[str], texts: Iterable[str]) -> list[str]:
    """Return the Specific Character Set of an answer that consists of `texts`."""
    terms = list(asked)
    if not any(terms) or not all(term in python_encoding for term in terms):
        return [UTF_8]
    if len(terms) > 1 and _STAND_ALONE.intersection(terms):
        return [UTF_8]
    foreign = {character for text in texts for character in text if not character.isascii()}
    # Without a first value these would be written without the escape sequence that they need.
    if terms[0] in _DEFAULT and any(ord(character) in _LATIN_1 for character in foreign):
        return [UTF_8]
    fits = all(any(_holds(term, character) for term in terms) for character in foreign)
    return terms if fits else [UTF_8]


def _holds(term: str, character: str) -> bool:
    if term in _DEFAULT:
        return False
    codec = python_encoding[term]
    try:
        encoded = character.encode(codec)
    except UnicodeEncodeError:
        return False
    if codec == "shift_jis":
        return len(encoded) == 1  # JIS X 0201, not the kanji of Shift JIS
    return encoded.startswith(_JAPANESE.get(codec, b""))
