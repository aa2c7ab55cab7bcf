"""Secrets: where each of them is, for none stands in `ae_config.yaml`."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from dicom_ai_node.config.tree import Location
from dicom_ai_node.config.values import PathHere, Section
from dicom_ai_node.domain.errors import ConfigError

HOW = "{file: PATH}, {environment: NAME} or {credential: NAME}"
"""How a place in the file says where a secret is."""
CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The variable in which systemd names the folder of a unit's credentials, systemd.exec(5)."""
LONGEST_BYTES = 65_536

_OTHERS, _GROUP_AND_OTHERS = 0o007, 0o077
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class Secret(Section):
    """Where a secret is: in a file, in a variable of the environment, or a credential of systemd.

    It is read once, at start, and whatever shows a configuration shows its place.
    """

    file: PathHere | None = Field(None, description="that only the user of the node can read")
    environment: str | None = Field(None, description="the name of a variable")
    credential: str | None = Field(None, description="its name in $CREDENTIALS_DIRECTORY")
    _place: str = PrivateAttr("a secret")
    _value: str | None = PrivateAttr(None)

    @field_validator("environment", "credential")
    @classmethod
    def _is_name(cls, said: str | None, info: Any) -> str | None:  # noqa: ANN401 - pydantic's own
        form = _VARIABLE if info.field_name == "environment" else _CREDENTIAL
        if said is not None and form.fullmatch(said) is None:
            # What stands there may be the secret itself, so it is not repeated.
            raise ValueError("must be a name; the secret itself does not belong into this file")
        return said

    @model_validator(mode="after")
    def _one(self) -> "Secret":
        if sum(one is not None for one in (self.file, self.environment, self.credential)) != 1:
            raise ValueError(f"must be one of {HOW}")
        return self

    def __getstate__(self) -> dict[Any, Any]:
        """Take along where it is, never what it is: workers get a copy of the configuration."""
        private = {**(self.__pydantic_private__ or {}), "_value": None}
        return {**super().__getstate__(), "__pydantic_private__": private}

    def stands_at(self, place: str) -> None:
        """Remember the place in the file, for whoever has to put something right."""
        self._place = place

    @property
    def value(self) -> str:
        """What it is.

        Raises
        ------
        ConfigError
            If it is not where the file says, is empty, or is there for others to read.
        """
        if self._value is None:
            self._value = self._read()
        return self._value

    def _read(self) -> str:
        match self:
            case Secret(file=Path() as path):
                where, found = f"the file {path}", self._content(path, _GROUP_AND_OTHERS)
            case Secret(credential=str(name)):
                where, found = f"the credential {name}", self._credential(name)
            case _:
                where = f"the environment variable {self.environment}"
                found = os.environ.get(self.environment or "", "")
        found = found.removesuffix("\n").removesuffix("\r")
        if not found.strip():
            raise ConfigError(f"{self._place}: there is nothing in {where}")
        if any(letter < " " for letter in found):
            raise ConfigError(f"{self._place}: {where} is not one line of plain text")
        return found

    def _credential(self, name: str) -> str:
        folder = os.environ.get(CREDENTIALS)
        if not folder:
            raise ConfigError(
                f"{self._place}: there is no credential {name}: write `LoadCredential={name}:PATH`"
                f" into the unit of the node, or name the folder with it in ${CREDENTIALS}"
            )
        # The group of a file that systemd has placed there is that of its access list.
        return self._content(Path(folder) / name, _OTHERS)

    def _content(self, path: Path, forbidden: int) -> str:
        try:
            with path.open("rb") as file:
                # Asked of the open file, so that nobody can put another one in its place.
                mode = os.fstat(file.fileno()).st_mode
                found = file.read(LONGEST_BYTES + 1)
            if mode & forbidden:
                raise ConfigError(
                    f"{self._place}: {path} can be read by others: `chmod 600 {path}`, and if they"
                    " may have read it, take another secret"
                )
            if len(found) > LONGEST_BYTES:
                raise ConfigError(f"{self._place}: {path} is larger than {LONGEST_BYTES} bytes")
            return found.decode()
        except OSError as error:
            why = error.strerror
            raise ConfigError(f"{self._place}: cannot read the file {path}: {why}") from error
        except UnicodeDecodeError:
            # Without its cause, which quotes what could not be read.
            raise ConfigError(f"{self._place}: {path} is not UTF-8") from None


def _not_in_clear(said: Any) -> Any:  # noqa: ANN401 - anything can stand in a YAML file
    if isinstance(said, Secret):
        return said
    if not isinstance(said, dict):
        raise ValueError(f"no secret belongs into this file; write {HOW}")  # noqa: TRY004 - pydantic wants ValueError
    if not said or not said.keys() <= Secret.model_fields.keys():
        raise ValueError(f"must be one of {HOW}")  # the key may be the secret: {hunter2}
    return said


SecretEntry = Annotated[Secret, BeforeValidator(_not_in_clear)]
"""A place in the file that says where a secret is, and is refused if it is the secret."""


def secrets_in(said: object, at: Location = ()) -> Iterator[tuple[Location, Secret]]:
    """Yield every secret in a configuration with its place."""
    match said:
        case Secret():
            yield at, said
        case BaseModel():
            for name in type(said).model_fields:
                yield from secrets_in(getattr(said, name), (*at, name))
        case dict():
            for name, one in said.items():
                yield from secrets_in(one, (*at, name))
        case _:
            return


def read_once(secrets: Iterable[Secret]) -> None:
    """Read all of them, and take those of the environment away from what is started from here.

    Raises
    ------
    ConfigError
        If one is not where the file says; one mistake a line.
    """
    mistakes, taken = [], set()
    for one in secrets:
        try:
            one.value  # noqa: B018 - it is kept
        except ConfigError as wrong:
            mistakes.append(str(wrong))
        taken.add(one.environment)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    for name in taken - {None}:
        os.environ.pop(str(name), None)
