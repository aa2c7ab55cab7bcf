"""Whether the licence of everything that comes along is one that somebody has allowed."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from importlib.metadata import PackageMetadata
from types import MappingProxyType

from license_expression import (
    AND,
    OR,
    ExpressionError,
    LicenseExpression,
    ParseError,
    get_spdx_licensing,
)

from deploy.supply.closure import Part
from deploy.supply.policy import Policy

_SPDX = get_spdx_licensing()
_LEGACY: Mapping[str, str] = MappingProxyType({
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
})  # fmt: skip
"""What stood in metadata before PEP 639, in the words of SPDX."""


def licence(metadata: PackageMetadata) -> str:
    """Return what a distribution says of its licence, as an expression of SPDX where it can be.

    Several classifiers count as all of them together; whoever knows better makes an exception.
    """
    if expression := first(metadata, "License-Expression"):
        return expression
    field = first(metadata, "License")
    if "\n" not in field and field and spdx(_LEGACY.get(field, field)) is not None:
        return _LEGACY.get(field, field)
    classifiers = [one.split(" :: ") for one in metadata.get_all("Classifier") or ()]
    named = [one[-1] for one in classifiers if one[0] == "License" and one[-1] != "OSI Approved"]
    return " AND ".join(_LEGACY.get(one, f"({one})") for one in named) or field.split("\n")[0]


def first(metadata: PackageMetadata, key: str) -> str:
    """Return what metadata say under a key, or nothing."""
    return str(next(iter(metadata.get_all(key) or ()), "")).strip()


def objections(parts: Iterable[Part], policy: Policy) -> Iterator[str]:
    """Yield a sentence for everything that may not come along: what, why, who requires it."""
    for part in parts:
        said = licence(part.found.metadata)
        if part.name in policy.forbidden:
            yield f"{part.name} is forbidden ({policy.forbidden[part.name]}); {part.way}"
        elif _is_let_pass(part.name, said, policy) or _is_allowed(spdx(said), policy.licences):
            continue
        elif said:
            yield f"{part.name} is under {said}, which nobody has allowed; {part.way}"
        else:
            yield f"{part.name} does not say under which licence it is; {part.way}"


def _is_let_pass(name: str, said: str, policy: Policy) -> bool:
    return any(
        fnmatch(name, pattern) and said == seen for pattern, seen in policy.exceptions.items()
    )


def spdx(said: str) -> LicenseExpression | None:
    """Return an expression of SPDX in its parts, `None` if it is none."""
    try:
        return _SPDX.parse(said, validate=True)
    except (ExpressionError, ParseError):
        return None


def _is_allowed(said: LicenseExpression | None, allowed: frozenset[str]) -> bool:
    match said:
        case None:
            return False
        case AND():
            return all(_is_allowed(one, allowed) for one in said.args)
        case OR():
            return any(_is_allowed(one, allowed) for one in said.args)
        case _:
            return str(said) in allowed
