"""What `pyproject.toml` says under `[tool.supply]`: what is allowed, and what was let pass."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@dataclass(frozen=True, kw_only=True)
class Waived:
    """A known hole that does not touch the node, why, and until when nobody has to look again."""

    id: str
    package: str
    reason: str
    until: date


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What may be installed.

    Attributes
    ----------
    licences
        SPDX identifiers.
    forbidden
        Packages that may not come in whatever they say of themselves, with the reason.
    exceptions
        Patterns of packages, each with the licence that somebody has looked at.
    """

    extras: tuple[str, ...]
    licences: frozenset[str]
    forbidden: Mapping[str, str]
    exceptions: Mapping[str, str]
    waived: tuple[Waived, ...]


def policy(path: Path = PYPROJECT) -> Policy:
    """Return what is written.

    Raises
    ------
    KeyError, ValueError
        If it is not written in full: an exception without a reason is none.
    """
    said: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["supply"]
    exceptions = said.get("licence-exceptions", {})
    if not all(one["reason"].strip() for one in exceptions.values()):
        raise ValueError("every exception needs a reason")
    return Policy(
        extras=tuple(said["extras"]),
        licences=frozenset(said["licences"]),
        forbidden=said.get("forbidden", {}),
        exceptions={name: one["licence"] for name, one in exceptions.items()},
        waived=tuple(Waived(**one) for one in said.get("waived", ())),
    )
