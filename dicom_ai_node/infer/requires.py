"""Conditions of a model on its input, in the words of a route."""

import re
from collections.abc import Mapping
from typing import Any

from dicom_ai_node.domain.rule import Absent, Between, Condition, Contains, Matches, Not, one_of
from dicom_ai_node.domain.vocabulary import word
from dicom_ai_node.domain.wording import Wording, is_number


def conditions(wording: Wording) -> Mapping[str, Condition]:
    """Return the conditions of a mapping; its mistakes are noted in `wording`."""
    found: dict[str, Condition] = {}
    for name, value in wording.items().items():
        if word(name) is None:
            wording.wrong(name, "is neither a PS3.6 keyword nor a fact that a route can ask for")
            continue
        try:
            found[name] = condition(value)
        except ValueError as wrong:
            wording.wrong(name, str(wrong))
    return found


def condition(value: object) -> Condition:
    """Return one condition: a value, a list, or a mapping with min/max, contains, matches ...

    Raises
    ------
    ValueError
        If `value` is none of these.
    """
    listed = value if isinstance(value, list) else [value]
    if listed and all(isinstance(item, str | bool | int | float) for item in listed):
        return one_of(*map(_text, listed))
    match value:
        case {"not": inner, **rest} if not rest:
            return Not(condition(inner))
        case {"absent": bool(is_absent), **rest} if not rest:
            return Absent(is_absent)
        case {"contains": texts, **rest} if not rest:
            return Contains(_texts(texts))
        case {"matches": str(pattern), **rest} if not rest:
            return Matches(_pattern(pattern))
        case dict() if value and value.keys() <= {"min", "max"}:
            return _between(value)
        case _:
            raise ValueError(
                "must be a value, a list, or one of min, max, contains, matches, absent, not"
            )


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _texts(value: object) -> frozenset[str]:
    match value:
        case str():
            return frozenset({value})
        case list() if value and all(isinstance(text, str) for text in value):
            return frozenset(value)
        case _:
            raise ValueError("contains must be a text or a list of texts")


def _pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as wrong:
        raise ValueError(f"matches is no regular expression: {wrong}") from wrong
    return pattern


def _between(ends: Mapping[str, Any]) -> Between:
    if not all(map(is_number, ends.values())):
        raise ValueError("min and max must be numbers")
    return Between(ends.get("min"), ends.get("max"))
