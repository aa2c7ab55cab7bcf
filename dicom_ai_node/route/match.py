"""Does a series meet some conditions, and if not, why not?"""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import cel
from pydicom.datadict import dictionary_VR, keyword_dict
from pydicom.uid import UID

from dicom_ai_node.domain.rule import Absent, Between, Condition, Contains, Matches, Not, OneOf
from dicom_ai_node.domain.vocabulary import Value

LONGEST_SHOWN = 64
"""Characters of a value that an objection quotes."""
LONGEST_MATCHED = 1024
"""A longer value matches no regular expression."""
_AGE = re.compile(r"(\d{3})([DWMY])")  # VR AS, PS3.5 6.2
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


def objections(when: Mapping[str, Condition], values: Mapping[str, Value]) -> list[str]:
    """Return one sentence per condition that fails; an empty list means that all hold.

    An attribute with several values meets a condition if any of them does. An absent or empty
    one meets only `Absent` and `Not`.
    """
    return [
        f"{name} is {shown(name, values.get(name))}, wanted {condition}"
        for name, condition in when.items()
        if not holds(condition, values.get(name))
    ]


def holds(condition: Condition, value: Value | None) -> bool:
    """Return whether one value meets one condition."""
    parts = _parts(value)
    match condition:
        case Absent(is_absent):
            return is_absent is not any(parts)
        case Not(inner):
            return not holds(inner, value)
        case OneOf(wanted):
            return any(_is_one_of(part, wanted) for part in parts)
        case Between(minimum, maximum):
            return any(_is_between(part, minimum, maximum) for part in parts)
        case Contains(texts):
            return any(text.upper() in part for text in texts for part in parts)
        case Matches(pattern):
            return any(_matches(pattern, part) for part in _texts(value))


def shown(name: str, value: Value | None) -> str:
    """Return how a sentence quotes a value: short, and a UID that names a patient not at all."""
    if not any(_parts(value)):
        return "absent or not the same in all instances"
    if name in keyword_dict and dictionary_VR(keyword_dict[name]) == "UI":
        known = UID(str(value)).name
        return "another UID" if known == str(value) else known
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:g}" if isinstance(value, float) else str(value).strip()
    text = "".join(c if c.isprintable() else " " for c in text).replace("\\", " and ")
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _texts(value: Value | None) -> Sequence[str]:
    if value is None:
        return ()
    return [part.strip() for part in str(value).split("\\")]


def _parts(value: Value | None) -> Sequence[str]:
    return [text.upper() for text in _texts(value) if text]


def _is_one_of(part: str, wanted: frozenset[str]) -> bool:
    if part in wanted:
        return True
    number = _number(part)
    # 3, 3.0 and 3.00 are the same DS.
    return number is not None and any(number == _number(text) for text in wanted)


def _is_between(part: str, minimum: float | None, maximum: float | None) -> bool:
    number = _number(part)
    return (
        number is not None
        and (minimum is None or minimum <= number)
        and (maximum is None or number <= maximum)
    )


def _number(text: str) -> float | None:
    """Return a finite number, or the years of an age such as 018M."""
    age = _AGE.fullmatch(text)
    if age:
        return int(age[1]) * _YEARS[age[2]]
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _matches(pattern: str, text: str) -> bool:
    """Match the whole text, whatever its case.

    The matcher is that of CEL: it needs time linear in the text for every pattern, where one
    ill-chosen pattern could hold up Python's `re` for hours.
    """
    if len(text) > LONGEST_MATCHED:
        return False
    try:
        return bool(_matcher().execute({"text": text, "pattern": f"(?i)^(?:{pattern})$"}))
    except RuntimeError:  # `config` has refused a pattern that does not compile
        return False


@lru_cache(maxsize=1)
def _matcher() -> "cel.Program":
    return cel.compile("text.matches(pattern)")
