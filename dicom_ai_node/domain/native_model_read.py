"""The Native DICOM Model, read: XML of strangers becomes a data set in the DICOM JSON model.

A document with a DOCTYPE is refused where that begins, so that no entity is ever declared,
expanded or fetched.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from dicom_ai_node.domain.errors import NotUnderstood
from dicom_ai_node.domain.native_model import COMPONENTS, GROUPS, NAMESPACE, creators_of

DEEPEST = 16
"""A data set nested further is refused."""
WIDEST_GAP = 32
"""So many values may be left out, of which the numbers of others say that they are empty."""

_INTEGERS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_DECIMALS = frozenset({"DS", "FD", "FL"})
_TAG = re.compile(r"[0-9A-F]{8}")
_VR = re.compile(r"[A-Z]{2}")
_PRIVATE = re.compile(r"[0-9A-F]{3}[13579BDF].{4}")
_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF


class _Builder(TreeBuilder):
    """Builds the tree of a document that declares nothing and is nested as data sets are."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: str, attributes: dict[str, str], /) -> Element:
        """Begin an element."""
        self._depth += 1
        # Each data set takes two elements, and a name of a person within it four more.
        if self._depth > 2 * DEEPEST + 6:
            _refuse(f"data sets are nested further than {DEEPEST}")
        return super().start(tag, attributes)

    def end(self, tag: str, /) -> Element:
        """End an element."""
        self._depth -= 1
        return super().end(tag)

    def doctype(self, _name: str, _public: str, _system: str) -> NoReturn:
        """Refuse."""
        raise NotUnderstood("XML with a DOCTYPE is not read")


def header_of(document: bytes) -> dict[str, Any]:
    """Return the data set in an XML document.

    Raises
    ------
    NotUnderstood
        If it is none, or may do more than say something.
    """
    parser = XMLParser(target=_Builder())  # noqa: S314 - no DOCTYPE, so no entities
    try:
        parser.feed(document)
        root = parser.close()
    except (ParseError, ValueError, LookupError) as error:
        raise NotUnderstood("that is not XML") from error
    if _kind(root) != "NativeDicomModel":
        _refuse("the root of the XML is no NativeDicomModel")
    return _data_set(root, 0)


def _data_set(parent: Element, depth: int) -> dict[str, Any]:
    if depth > DEEPEST:
        _refuse(f"data sets are nested further than {DEEPEST}")
    made: dict[str, Any] = {}
    private: list[tuple[str, str, dict[str, Any]]] = []
    for attribute in parent:
        if _kind(attribute) != "DicomAttribute":
            _refuse("a data set consists of DicomAttribute")
        tag, vr = attribute.get("tag", "").upper(), attribute.get("vr", "")
        if not _TAG.fullmatch(tag) or not _VR.fullmatch(vr):
            _refuse("a DicomAttribute needs a tag and a vr")
        element = _element(attribute, vr, depth)
        creator = attribute.get("privateCreator", "").strip()
        if creator and _PRIVATE.fullmatch(tag):
            private.append((tag, creator, element))
        else:
            _enter(made, tag, element)
    blocks = _Blocks(made)
    for tag, creator, element in private:
        _enter(made, blocks.tag(tag, creator), element)
    return dict(sorted(made.items()))


def _enter(made: dict[str, Any], tag: str, element: Mapping[str, Any]) -> None:
    if tag in made:
        _refuse(f"{tag} is there twice")
    made[tag] = element


class _Blocks:
    """The private blocks of a data set, PS3.5 7.8.1; those that are missing are entered."""

    def __init__(self, made: dict[str, Any]) -> None:
        self._made = made
        self._creators = creators_of(made)
        self._first = {
            (block[:4], creator): block
            for block, creator in sorted(self._creators.items(), reverse=True)
        }

    def tag(self, tag: str, creator: str) -> str:
        """Return the tag of a private attribute in a block of its creator."""
        if self._creators.get(tag[:6]) == creator:
            return tag
        if (tag[:4], creator) not in self._first:
            block = self._first[tag[:4], creator] = self._free(tag)
            self._creators[block] = creator
            self._made[f"{block[:4]}00{block[4:]}"] = {"vr": "LO", "Value": [creator]}
        return self._first[tag[:4], creator] + tag[6:]

    def _free(self, tag: str) -> str:
        """Return the block that a tag names, or the first that is free."""
        group, named = tag[:4], int(tag[4:6], 16)
        wanted = [named] if named >= _FIRST_BLOCK else []
        for block in (*wanted, *range(_FIRST_BLOCK, _LAST_BLOCK + 1)):
            if f"{group}00{block:02X}" not in self._made:
                return f"{group}{block:02X}"
        return _refuse("a group has more private creators than blocks")


def _element(attribute: Element, vr: str, depth: int) -> dict[str, Any]:
    """Return what an attribute says: one child with all of it, or one child for each value."""
    for child in attribute:
        match _kind(child):
            case "BulkData":
                uri = child.get("uri") or _refuse("BulkData without a uri cannot be found")
                return {"vr": vr, "BulkDataURI": uri}
            case "InlineBinary":
                encoded = "".join((child.text or "").split())
                return {"vr": vr, **({"InlineBinary": encoded} if encoded else {})}
    values = list(_values(attribute, vr, depth))
    return {"vr": vr} if values in ([], [None]) else {"vr": vr, "Value": values}


def _values(attribute: Element, vr: str, depth: int) -> Iterable[Any]:
    kind, read = _reader(vr, depth)
    last = 0
    for child in attribute:
        number = child.get("number", "")
        is_next = number.isascii() and number.isdigit() and len(number) <= 9  # noqa: PLR2004
        if _kind(child) != kind or not is_next or not last < int(number) <= last + WIDEST_GAP:
            _refuse(f"an attribute of VR {vr} has numbered values of the kind {kind}")
        yield from [{} if vr == "SQ" else None] * (int(number) - last - 1)
        yield read(child)
        last = int(number)


def _reader(vr: str, depth: int) -> tuple[str, Callable[[Element], Any]]:
    """Return what the values of a VR are called, and what reads one of them."""
    match vr:
        case "SQ":
            return "Item", lambda item: _data_set(item, depth + 1)
        case "PN":
            return "PersonName", _name
        case vr if vr in _INTEGERS:
            return "Value", lambda value: _number(_text(value), int)
        case vr if vr in _DECIMALS:
            return "Value", lambda value: _number(_text(value), float)
        case _:
            return "Value", lambda value: _text(value) or None


def _name(name: Element) -> Mapping[str, str] | None:
    groups: dict[str, str] = {}
    for group in name:
        parts = [""] * len(COMPONENTS)
        last = 0
        for component in group:
            place = _place(_kind(component), COMPONENTS)
            parts[place] = _text(component)
            last = max(last, place + 1)
        groups[GROUPS[_place(_kind(group), GROUPS)]] = "^".join(parts[:last])
    return groups or None


def _place(kind: str, known: tuple[str, ...]) -> int:
    return known.index(kind) if kind in known else _refuse(f"a PersonName has no {kind}")


def _number(text: str, kind: Callable[[str], int | float]) -> int | float | str | None:
    """Return a number, or the text where the number would be written in another way: 1.50."""
    if not text.strip():
        return None
    for read in (int, kind):
        try:
            found = read(text)
        except (ValueError, OverflowError):
            continue
        if math.isfinite(found) and str(found) == text:
            return found
    return text


def _text(element: Element) -> str:
    if len(element):
        _refuse("a value holds text and nothing else")
    return element.text or ""


def _kind(element: Element) -> str:
    """Return the name of an element; of another vocabulary none is known."""
    return element.tag.removeprefix(f"{{{NAMESPACE}}}")


def _refuse(sentence: str) -> NoReturn:
    raise NotUnderstood(sentence)
