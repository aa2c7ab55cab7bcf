"""CEL expressions: what the closed conditions cannot say. They can compute, but not do anything."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import cel

from dicom_ai_node.domain.stack import numbers
from dicom_ai_node.domain.vocabulary import Kind, Value, Word, word
from dicom_ai_node.route.match import shown

Typed: TypeAlias = Value | list[str] | list[float] | list[int]


def objection(expression: str, values: Mapping[str, Value]) -> str:
    """Return why `expression` does not hold, or nothing if it does.

    Every name in it gets a value of its type. What is absent is an empty text, an empty list, or
    else NaN: comparing that cannot be decided, so that neither a comparison nor its negation
    holds by accident.
    """
    try:
        program = _compiled(expression)
    except ValueError:
        return f"the expression {expression} is no CEL"
    names = [found for name in program.variables() if (found := word(name)) is not None]
    typed = {found.name: _typed(found, values.get(found.name)) for found in names}
    seen = ", ".join(f"{w.name} is {shown(w.name, values.get(w.name))}" for w in names)
    try:
        answer = program.execute(typed)
    except (TypeError, RuntimeError, ValueError, ArithmeticError, LookupError):
        return f"{expression} cannot be decided ({seen})"
    return "" if answer is True else f"{expression} does not hold ({seen})"


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> "cel.Program":
    return cel.compile(expression)


def _typed(name: Word, value: Value | None) -> Typed:
    if isinstance(value, bool | int | float):
        return value
    parts = [part.strip() for part in value.split("\\")] if value else []
    if name.is_list:
        return _numeric(name.kind, parts) if name.kind in {Kind.WHOLE, Kind.NUMBER} else parts
    match name.kind:
        case Kind.TEXT:
            return (value or "").strip()
        case Kind.WHOLE | Kind.NUMBER | Kind.YES_NO:
            return next(iter(_numeric(name.kind, parts)), math.nan)


def _numeric(kind: Kind, parts: Sequence[str]) -> list[float] | list[int]:
    found = numbers("\\".join(parts))
    if kind is Kind.WHOLE and all(number.is_integer() for number in found):
        return [int(number) for number in found]
    return list(found)
