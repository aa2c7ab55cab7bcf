"""Names of persons as they are compared, PS3.5 6.2.1: no case, no accents, any way of writing.

A name has up to three component groups (letters, ideographs, sounds), each up to five components
with carets between them. Empty components at the end say nothing.
"""

import re
import unicodedata
from collections.abc import Iterator

from dicom_ai_node.domain.archive import Header

GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

# Marks of Latin, Greek and Cyrillic, Hebrew and Arabic. The voicing of Japanese and the vowels of
# Indian scripts are marks as well, but without them it is another word.
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670]")
_WHOLE = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "\u0131": "i"})
_BETWEEN = re.compile(r"[\s^=,\\*?]+")


def fold(text: str) -> str:
    """Return a text without case and accents, and with one form of each letter."""
    if text.isascii():
        return text.casefold()
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).casefold()
    # Composed again, or Korean would come apart and Japanese lose its voicing.
    return unicodedata.normalize("NFC", plain).translate(_WHOLE)


def tidied(group: str) -> str:
    """Return a component group without spaces that say nothing and empty components at the end."""
    parts = [" ".join(part.split()) for part in fold(group).split("^")]
    return "^".join(parts).rstrip("^")


def groups_of(value: object) -> tuple[str, str, str]:
    """Return the three groups of one value of a header, each as it is compared."""
    if not isinstance(value, dict):
        return ("", "", "")
    return (
        tidied(str(value.get("Alphabetic", ""))),
        tidied(str(value.get("Ideographic", ""))),
        tidied(str(value.get("Phonetic", ""))),
    )


def folded(element: Header) -> str:
    """Return all values of an element as one text in which words of a name can be looked for."""
    return "\\".join("=".join(groups_of(value)) for value in element.get("Value") or ())


def words_of(name: str) -> list[str]:
    """Return the words of a name, folded, whatever stands between them."""
    return [word for word in _BETWEEN.split(fold(name)) if word]


def sounds_like(words: list[str], groups: tuple[str, str, str]) -> bool:
    """Return whether each word begins a word of the name, in any order, all in one group.

    Ideographs have no space between them: 王小東 finds 王^小東, so a word may go on in the next.
    """
    return any(_begin(words, list(_tails(group))) for group in groups if group)


def _begin(words: list[str], tails: list[str]) -> bool:
    return all(any(tail.startswith(word) for tail in tails) for word in words)


def _tails(group: str) -> Iterator[str]:
    words = words_of(group)
    for start in range(len(words)):
        yield "".join(words[start:])
