"""Checks of single words: names, keywords, patterns, expressions, and what was meant instead."""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import cel
from pydicom.datadict import keyword_dict

from dicom_ai_node.domain.vocabulary import FACTS, Kind, Word, word

LONGEST_EXPRESSION = 1000
LONGEST_PATTERN = 200
SHORTEST_START = 3
_DEPENDS_ON_VALUES = (RuntimeError, ValueError, ArithmeticError, LookupError)
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*(\w+)\s*,")
_COMPARED = r"""\b{name}\s*[!=]=\s*['"\d]|['"\d]\s*[!=]=\s*{name}\b"""
"""CEL finds a list and a text unequal without complaint, which nobody means."""
_SAMPLES: Mapping[Kind, object] = {
    Kind.TEXT: "1", Kind.WHOLE: 1, Kind.NUMBER: 1.5, Kind.YES_NO: True,
}  # fmt: skip
_FUNCTIONS = frozenset({
    "size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string",
})  # fmt: skip


def did_you_mean(said: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` for the nearest known word, or nothing if none is near."""
    by_lower = {name.lower(): name for name in known}
    lower = said.lower()
    near = get_close_matches(lower, by_lower, n=1, cutoff=0.7) or [
        name
        for name in sorted(by_lower, key=len)
        if len(lower) >= SHORTEST_START and name.startswith(lower)
    ]
    near = near or get_close_matches(lower, by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def one_of(said: str, known: Collection[str], what: str) -> str:
    """Return `said` if it is known.

    Raises
    ------
    ValueError
        Else, with what is known.
    """
    if said in known:
        return said
    hint = did_you_mean(said, known)
    if not hint:
        there = ", ".join(sorted(known))
        hint = f"; there is {there}" if there else "; there is none"
    raise ValueError(f"{said} is not {what}{hint}")


def routable(said: str) -> str:
    """Return `said` if a route can look at it.

    Raises
    ------
    ValueError
        If it is neither a fact nor a keyword, or a keyword that the ledger does not keep.
    """
    if word(said) is not None:
        return said
    if said in keyword_dict:
        raise ValueError(
            "a route cannot look at what identifies people, at sequences, or at long values"
        )
    hint = did_you_mean(said, (*FACTS, *keyword_dict))
    raise ValueError(f"{said} is neither a DICOM keyword nor a derived fact{hint}")


def pattern(said: str) -> str:
    """Return `said` if it is a regular expression that can be matched in linear time.

    Raises
    ------
    ValueError
        If it is not, or longer than `LONGEST_PATTERN`.
    """
    if len(said) > LONGEST_PATTERN:
        raise ValueError(f"the pattern is longer than {LONGEST_PATTERN} characters")
    try:
        cel.compile("''.matches(pattern)").execute({"pattern": f"(?i)^(?:{said})$"})
    except RuntimeError as error:
        why = re.search(r"error: (.+?)(?:\. Check|$)", str(error).rpartition("\n")[2])
        detail = why[1] if why else "it does not compile"
        raise ValueError(f"{said} is no regular expression: {detail}") from error
    return said


def expression_mistakes(said: str) -> list[str]:
    """Return one sentence for everything that is wrong with a CEL expression."""
    if len(said) > LONGEST_EXPRESSION:
        return [f"the expression is longer than {LONGEST_EXPRESSION} characters"]
    try:
        program = cel.compile(said)
    except ValueError as error:
        return [f"the expression is no CEL: {_syntax(str(error))}"]
    mistakes = []
    known: dict[str, Word] = {}
    bound = set(_BOUND.findall(said))
    for name in program.variables():
        found = word(name)
        if found is not None:
            known[name] = found
        elif name not in bound:
            mistakes.append(_unknown(name))
    mistakes += [
        f"{name} is not a function{did_you_mean(name, _FUNCTIONS)}"
        for name in program.functions()
        if name.isidentifier() and name not in _FUNCTIONS and not name.startswith("_")
    ]
    mistakes += [
        f"{name} is a list; write 'X' in {name}"
        for name, found in known.items()
        if found.is_list and re.search(_COMPARED.format(name=name), said)
    ]
    return mistakes or _trial(program, known)


def _unknown(name: str) -> str:
    try:
        routable(name)
    except ValueError as error:
        return f"{name}: {error}" if name in keyword_dict else str(error)
    raise AssertionError(name)


def _trial(program: Any, known: Mapping[str, Word]) -> list[str]:  # noqa: ANN401 - cel is untyped
    """Run the expression once on made-up values, so that types that do not fit show now."""
    values = {
        name: [_SAMPLES[found.kind]] * 6 if found.is_list else _SAMPLES[found.kind]
        for name, found in known.items()
    }
    try:
        answer = program.execute(values)
    except TypeError:
        types = ", ".join(
            f"{name} is {'a list' if found.is_list else found.kind}"
            for name, found in known.items()
        )
        return [f"the expression puts together what does not fit ({types})"]
    except _DEPENDS_ON_VALUES:
        return []
    if not isinstance(answer, bool):
        return ["the expression must be true or false"]
    return []


def _syntax(said: str) -> str:
    column = re.search(r"<input>:\d+:(\d+): (?:Syntax error: )?(.+)", said)
    if column is None:
        return "it does not compile"
    return f"{column[2].split(' expecting ')[0]} at character {column[1]}"
