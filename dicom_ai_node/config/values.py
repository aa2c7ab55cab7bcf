"""The single values of `ae_config.yaml`, each checked on its own."""

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from dicom_ai_node.config import words

_AE_TITLE = re.compile(r"[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*")
_LONGEST_AE_TITLE = 16
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_MODALITY = re.compile(r"[A-Z0-9_]{1,16}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HEXADECIMAL = re.compile(r"([0-9A-Fa-f]:?){32,}")
_DEVICE = re.compile(r"cpu|cuda:[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a file may refer to; paths in it are relative to `folder`."""

    models: Collection[str]
    outputs: Collection[str]
    kinds: Collection[str]
    destinations: Collection[str]
    folder: Path
    route_names: Mapping[str, int] = field(default_factory=dict)


class Section(BaseModel):
    """A part of the file. Unknown keys are mistakes; nothing changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def known(info: ValidationInfo) -> Known | None:
    """Return what `load` knows, or `None` where a section is validated by itself."""
    context = info.context
    return context if isinstance(context, Known) else None


def _ae_title(said: str) -> str:
    title = said.strip(" ")
    if len(title) > _LONGEST_AE_TITLE:
        raise ValueError(f"an AE title has at most 16 characters, and {title} has {len(title)}")
    if _AE_TITLE.fullmatch(title) is None:
        raise ValueError("an AE title has printable ASCII characters and no backslash")
    return title


def _name(said: str) -> str:
    if _NAME.fullmatch(said) is None:
        raise ValueError(
            f"{said} is no name: a letter, then letters, digits, _ and -, at most 40 together"
        )
    return said


def _modality(said: str) -> str:
    if _MODALITY.fullmatch(said) is None:
        raise ValueError(
            f"{said} is no Modality: capitals and digits such as MR, PS3.3 C.7.3.1.1.1"
        )
    return said


def _device(said: str) -> str:
    if _DEVICE.fullmatch(said) is None:
        raise ValueError(f"{said} is not a device; write cpu, or cuda:0 for the first GPU")
    return said


def _digest(said: str) -> str:
    if _DIGEST.fullmatch(said) is None:
        raise ValueError(
            "is no sha256: 64 digits from 0 to f, as `dicom-ai-node models show` tells"
        )
    return said


def _fingerprint(said: str) -> str:
    digits = said.replace(":", "").lower()
    if _DIGEST.fullmatch(digits) is None:
        raise ValueError(
            "is no fingerprint: 64 digits from 0 to f, as"
            " `openssl x509 -noout -fingerprint -sha256 -in FILE` tells"
        )
    return digits


def _certificate(said: str) -> str:
    name = said.strip()
    if not name or name == "*":
        raise ValueError("must be the fingerprint of a certificate, or a name in it")
    is_digits = _HEXADECIMAL.fullmatch(name) is not None
    return _fingerprint(name) if is_digits or ":" in name else name.lower()


def _path(said: Path, info: ValidationInfo) -> Path:
    here = known(info)
    expanded = said.expanduser()
    return expanded if here is None else here.folder / expanded


def _address(said: str) -> str:
    try:
        return str(ipaddress.ip_network(said, strict=False))
    except ValueError as error:
        raise ValueError(f"{said} is not an IP address or a network such as 10.1.2.0/24") from error


def _text(said: Any) -> Any:  # noqa: ANN401 - anything can stand in a YAML file
    match said:
        case bool():
            return str(said).lower()
        case int() | float():
            return f"{said:g}" if isinstance(said, float) else str(said)
        case _:
            return said


def _texts(said: Any) -> Any:  # noqa: ANN401
    return [said] if isinstance(said, str | int | float | bool) else said


def _model(said: str, info: ValidationInfo) -> str:
    here = known(info)
    return said if here is None else words.one_of(said, here.models, "a model of this node")


def _output(said: str, info: ValidationInfo) -> str:
    here = known(info)
    return said if here is None else words.one_of(said, here.outputs, "an object that we write")


def _kind(said: str, info: ValidationInfo) -> str:
    here = known(info)
    return said if here is None else words.one_of(said, here.kinds, "a kind of task")


def _destination(said: str, info: ValidationInfo) -> str:
    here = known(info)
    return said if here is None else words.one_of(said, here.destinations, "a destination")


def _route_name(said: str, info: ValidationInfo) -> str:
    here = known(info)
    if here is not None and here.route_names.get(said, 0) > 1:
        raise ValueError(f"{here.route_names[said]} routes are called {said}")
    return said


def _word_or_if(said: str) -> str:
    return said if said == "if" else words.routable(said)


def _option(said: Any) -> Any:  # noqa: ANN401
    if not isinstance(said, str | int | float | bool):
        raise ValueError("must be one text, number, or true or false")  # noqa: TRY004 - pydantic wants ValueError
    return said


AETitleText = Annotated[str, AfterValidator(_ae_title)]
"""VR AE, PS3.5 6.2, without padding."""
Port = Annotated[int, Field(ge=1, le=65535)]
Address = Annotated[str, AfterValidator(_address)]
"""An IP address or a network, in the form of `ipaddress.ip_network`."""
Modality = Annotated[str, AfterValidator(_modality)]
Name = Annotated[str, AfterValidator(_name)]
RouteName = Annotated[Name, AfterValidator(_route_name)]
Device = Annotated[str, AfterValidator(_device)]
Digest = Annotated[str, AfterValidator(_digest)]
"""The sha256 of a model's SHA256SUMS."""
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
"""The sha256 of a certificate, with colons or without."""
CertificateText = Annotated[str, AfterValidator(_certificate)]
"""A fingerprint, or the name of a host or the common name in a certificate."""
PathHere = Annotated[Path, AfterValidator(_path)]
"""A path; relative ones begin at the folder of the configuration file."""
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, BeforeValidator(_text)]
"""Text; numbers and true or false are taken as they are written."""
Texts = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_texts)]
"""One text, or a list of them."""
Option = Annotated[str | int | float | bool, BeforeValidator(_option)]
Pattern = Annotated[str, AfterValidator(words.pattern)]
Keyword = Annotated[str, AfterValidator(words.routable)]
KeywordOrIf = Annotated[str, AfterValidator(_word_or_if)]
ModelName = Annotated[str, AfterValidator(_model)]
OutputName = Annotated[str, AfterValidator(_output)]
KindName = Annotated[str, AfterValidator(_kind)]
DestinationName = Annotated[str, AfterValidator(_destination)]
