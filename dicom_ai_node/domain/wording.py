"""Reading what a person wrote in YAML, so that every mistake is told and not only the first."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.sr.coding import Code

from dicom_ai_node.domain.codes import code
from dicom_ai_node.domain.errors import ConfigError


class Wording:
    """A mapping from a YAML file that is read key by key; what is wrong is collected.

    Every getter returns a harmless value of its type if the key is wrong, so that reading goes on;
    `raise_if_wrong` then tells all mistakes. A key that nobody asked for is a mistake too: a word
    that is silently ignored is worse than an error.
    """

    def __init__(self, content: object, where: str, mistakes: list[str] | None = None) -> None:
        self.mistakes = [] if mistakes is None else mistakes
        self._where = where
        self._asked: set[str] = set()
        self._content: Mapping[str, Any] = {}
        if isinstance(content, Mapping):
            self._content = {str(key): value for key, value in content.items()}
        else:
            self.wrong("", "must be a mapping")

    def wrong(self, key: str, what: str) -> None:
        """Note a mistake."""
        self.mistakes.append(f"{self._where}{f'.{key}' if key else ''}: {what}")

    def has(self, key: str) -> bool:
        """Return whether `key` is there and not null."""
        self._asked.add(key)
        return self._content.get(key) is not None

    def raw(self, key: str) -> Any:  # noqa: ANN401 - it is what YAML made of it
        """Return the value of `key` as it stands; absent is a mistake."""
        if not self.has(key):
            self.wrong(key, "is missing")
        return self._content.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty."""
        if default is not None and not self.has(key):
            return default
        value = self.raw(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if value is not None:
            self.wrong(key, "must be a text")
        return "?"

    def number(self, key: str, default: float | None = None) -> float:
        """Return a finite number."""
        if default is not None and not self.has(key):
            return default
        value = self.raw(key)
        if is_number(value):
            return float(value)
        if value is not None:
            self.wrong(key, "must be a number")
        return math.nan

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a whole number of at least 1."""
        if default is not None and not self.has(key):
            return default
        value = self.raw(key)
        if is_number(value) and value == int(value) and value >= 1:
            return int(value)
        if value is not None:
            self.wrong(key, "must be a whole number of at least 1")
        return 1

    def yes(self, key: str) -> bool:
        """Return true or false; absent is false."""
        if not self.has(key):
            return False
        value = self._content[key]
        if not isinstance(value, bool):
            self.wrong(key, "must be true or false")
        return value is True

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; absent is an empty one."""
        if not self.has(key):
            return ()
        value = self._content[key]
        if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
            return (value,) if isinstance(value, str) else tuple(value)
        self.wrong(key, "must be a list of texts")
        return ()

    def numbers(self, key: str, lengths: Sequence[int], *, above: float) -> tuple[float, ...]:
        """Return a list of numbers, each larger than `above`, whose length is one of `lengths`."""
        value = self.raw(key)
        if (
            isinstance(value, Sequence)
            and len(value) in lengths
            and all(is_number(item) and item > above for item in value)
        ):
            return tuple(map(float, value))
        if value is not None:
            how_many = " or ".join(map(str, lengths))
            self.wrong(key, f"must be a list of {how_many} numbers larger than {above:g}")
        return (1.0,) * lengths[0]

    def code(self, key: str) -> Code:
        """Return a coded concept, written [value, scheme, meaning]."""
        value = self.raw(key)
        try:
            return code(value)
        except ValueError as wrong:
            if value is not None:
                self.wrong(key, str(wrong))
        return Code("0", "99WRONG", "wrong")

    def part(self, key: str) -> "Wording":
        """Return a mapping inside this one."""
        return Wording(self.raw(key), f"{self._where}.{key}", self.mistakes)

    def parts(self, key: str) -> list["Wording"]:
        """Return the mappings of a list inside this one."""
        value = self.raw(key)
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [
                Wording(item, f"{self._where}.{key}[{place}]", self.mistakes)
                for place, item in enumerate(value)
            ]
        if value is not None:
            self.wrong(key, "must be a list")
        return []

    def items(self) -> Mapping[str, Any]:
        """Return all keys with their values, for mappings whose keys are free."""
        self._asked.update(self._content)
        return self._content

    def no_more(self) -> None:
        """Note every key that nobody has asked for."""
        for key in sorted(self._content.keys() - self._asked):
            self.wrong(key, "unknown key")

    def raise_if_wrong(self) -> None:
        """Raise `ConfigError` with one mistake a line, if there is any."""
        if self.mistakes:
            raise ConfigError("\n".join(self.mistakes))


def is_number(value: object) -> bool:
    """Return whether `value` is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
