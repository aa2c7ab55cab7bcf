"""Coded concepts as a model folder writes them: [value, scheme, meaning], PS3.3 8.8."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pydicom.sr.coding import Code

LONGEST_VALUE = 16
"""Characters of Code Value (0008,0100) and Coding Scheme Designator (0008,0102), SH."""
LONGEST_MEANING = 64
"""Characters of Code Meaning (0008,0104), LO."""

_TIMES = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_SHIFTED = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901",
    "2793806415", "7046913258",
)  # fmt: skip


def code(value: object) -> Code:
    """Return the code that `value`, a list of three texts, states.

    Raises
    ------
    ValueError
        If it is no such list, too long for its attributes, or its check digit is wrong: SNOMED CT
        and LOINC have one, so that a mistyped code is not taken for another.
    """
    match value:
        case [str(number), str(scheme), str(meaning)] if number and scheme and meaning:
            pass
        case _:
            raise ValueError('must be ["code", SCHEME, meaning], the code in quotes')
    if len(number) > LONGEST_VALUE or len(scheme) > LONGEST_VALUE:
        raise ValueError(f"{number} or {scheme} has more than {LONGEST_VALUE} characters")
    if len(meaning) > LONGEST_MEANING:
        raise ValueError(f"the meaning of {number} has more than {LONGEST_MEANING} characters")
    check = _CHECKS.get(scheme)
    if check is not None and not check(number):
        raise ValueError(f"{number} is no code of {scheme}")
    return Code(number, scheme, meaning)


def _is_sctid(number: str) -> bool:
    """Return whether the last digit is the Verhoeff check digit of the others."""
    if not re.fullmatch(r"[1-9][0-9]{5,17}", number):
        return False
    check = 0
    for place, digit in enumerate(reversed(number)):
        check = int(_TIMES[check][int(_SHIFTED[place % 8][int(digit)])])
    return check == 0


def _is_loinc(number: str) -> bool:
    """Return whether the digit after the hyphen is the mod-10 check digit of the others."""
    match = re.fullmatch(r"([0-9]{1,7})-([0-9])", number)
    if match is None:
        return False
    digits = [int(digit) for digit in reversed(match[1])]
    doubled = [digit * 2 if place % 2 == 0 else digit for place, digit in enumerate(digits)]
    total = sum(digit // 10 + digit % 10 for digit in doubled)
    return -total % 10 == int(match[2])


def _is_dcm(number: str) -> bool:
    return re.fullmatch(r"[0-9]{6}|[A-Za-z][A-Za-z0-9]*", number) is not None


_CHECKS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {"SCT": _is_sctid, "LN": _is_loinc, "DCM": _is_dcm}
)
