"""Everything that an installed distribution requires, and what that requires in turn."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import Distribution

from packaging.requirements import Requirement


class Incomplete(Exception):
    """Something that is required is not installed, so that nothing can be said of it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One distribution; `required_by` is the way to it, from the product on."""

    name: str
    found: Distribution
    required_by: tuple[str, ...]
    is_optional: bool
    requires: set[str] = field(default_factory=set)

    @property
    def version(self) -> str:
        """Return the version."""
        return self.found.version

    @property
    def way(self) -> str:
        """Return who requires it, beginning with the product."""
        return " > ".join((*self.required_by, self.name))


def canonical(name: str) -> str:
    """Return a name as the index of packages knows it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(
    product: str, extras: Sequence[str] = (), path: Sequence[str] | None = None
) -> Mapping[str, Part]:
    """Return the closure of a product, itself included, by canonical name.

    Parameters
    ----------
    extras
        Of the product; what only they need is optional, and may be absent.
    path
        Where distributions lie; as Python searches without it.

    Raises
    ------
    Incomplete
        If something is required and not installed.
    """
    return _Walk(list(sys.path if path is None else path)).all(product, extras)


class _Walk:
    def __init__(self, path: list[str]) -> None:
        self._path = path
        self._parts: dict[str, Part] = {}
        self._done: set[tuple[str, str]] = set()

    def all(self, product: str, extras: Sequence[str]) -> Mapping[str, Part]:
        self._take(Requirement(product), (), is_optional=False)
        for extra in extras:
            self._take(Requirement(f"{product}[{extra}]"), (), is_optional=True)
        return self._parts

    def _take(self, wanted: Requirement, by: tuple[str, ...], *, is_optional: bool) -> None:
        name = canonical(wanted.name)
        found = next(iter(Distribution.discover(name=name, path=self._path)), None)
        if found is None:
            if is_optional:
                return
            raise Incomplete(f"{name} is not installed, and {' > '.join(by) or 'you'} requires it")
        part = self._parts.setdefault(
            name, Part(name=name, found=found, required_by=by, is_optional=is_optional)
        )
        for extra in ("", *wanted.extras):
            if (name, extra) in self._done:
                continue
            self._done.add((name, extra))
            for text in found.requires or ():
                inner = Requirement(text)
                if _is_meant(inner, extra):
                    part.requires.add(canonical(inner.name))
                    self._take(inner, (*by, name), is_optional=is_optional)


def _is_meant(wanted: Requirement, extra: str) -> bool:
    """Return whether a requirement holds on this machine because of `extra`, or without any."""
    if wanted.marker is None:
        return not extra
    without = wanted.marker.evaluate({"extra": ""})
    return without if not extra else wanted.marker.evaluate({"extra": extra}) and not without
