"""Commands that change which models there are: models import, sign, keygen, remove."""

import io
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dicom_ai_node import compose
from dicom_ai_node import config as configuration
from dicom_ai_node.cli.show import DEFAULT_CONFIG, ConfigOption, JsonOption, record
from dicom_ai_node.domain.errors import ConfigError, IllegalMove
from dicom_ai_node.infer import trust
from dicom_ai_node.infer.formats import FORMATS
from dicom_ai_node.infer.formats.drafts import Draft
from dicom_ai_node.infer.proposal import as_yaml, proposed, questions
from dicom_ai_node.infer.sealed import SealedFolder, remove_folder

AUTO = "auto"


class FormatName(StrEnum):
    """Formats that a model from elsewhere may come in."""

    AUTO = AUTO
    MONAI = "monai"
    NNUNET = "nnunet"
    ONNX = "onnx"
    TORCH_EXPORT = "torch_export"
    TORCHSCRIPT = "torchscript"


def import_(  # noqa: PLR0913 - an argument for every option
    path: Annotated[Path, typer.Argument(exists=True, help="A file, or a folder, with a model.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    name: Annotated[str, typer.Option(help="What it is called here; the name of PATH.")] = "",
    kind: Annotated[str, typer.Option(help="segment, classify ...")] = "",
    format_: Annotated[FormatName, typer.Option("--format")] = FormatName.AUTO,
    axes: Annotated[str, typer.Option(help="How the network's axes run, e.g. RAS.")] = "",
    facts: Annotated[
        Path | None, typer.Option(exists=True, help="The draft of an import before, filled in.")
    ] = None,
    run_code: Annotated[
        bool, typer.Option("--run-code", help="Run its code; you trust where it comes from.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take a model from elsewhere into the folder for models.

    That is the first of `infer.models`. What a model does not tell is asked: a draft with the
    questions is written and nothing installed. Fill it in and give it back with --facts.
    """
    from dicom_ai_node.infer.adopt import (  # noqa: PLC0415 - carries torch
        Place,
        adopt,
        adopt_folder,
        drafted,
        is_model_folder,
    )

    place = Place(_first_folder(config), may_run_code=run_code)
    if is_model_folder(path):
        if name not in {"", path.resolve().name}:
            raise ConfigError(f"{path} is sealed under its name; a model folder keeps that")
        installed = adopt_folder(path, place)
    else:
        draft = drafted(path, None if format_ is FormatName.AUTO else str(format_), axes or None)
        called = name or _name_of(path)
        content = _answered(facts) if facts else proposed(draft, called, kind or None)
        if name:
            content["name"] = name
        _ask(content, draft, as_file=facts or Path(f"{called}.dicom.yaml"))
        installed = adopt(draft, content, place)
    said: dict[str, object] = {
        "model": installed.name,
        "format": installed.network.format,
        "folder": installed.folder,
        "digest": installed.digest,
    }
    if FORMATS[installed.network.format].runs_code:
        said["to_allow_it"] = f"infer: {{trust: [{installed.digest}]}}"
    record(said, as_json=as_json)


def sign(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A model folder.")],
    *,
    key: Annotated[Path, typer.Option(exists=True, help="Your private key, PEM, Ed25519.")],
) -> None:
    """Sign a model folder for nodes that trust your key."""
    path = trust.sign(folder, key)
    typer.echo(f"{path}\ndigest {SealedFolder(folder).digest}")


def keygen(
    key: Annotated[Path, typer.Argument(help="Where the private key goes; .pub is added.")],
) -> None:
    """Make a pair of keys for signing models."""
    public = trust.make_key(key)
    typer.echo(f"{key}: keep it secret\n{public}: for `infer: {{trust_keys: [...]}}` of a node")


def remove(
    name: Annotated[str, typer.Argument(help="The name of a model.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    force: Annotated[bool, typer.Option("--force", help="Even if a route runs it.")] = False,
) -> None:
    """Remove a model that was added."""
    settings = compose.settings(config)
    folder = compose.catalog(settings).folder(name)
    if folder.parent == compose.SHIPPED_MODELS:
        raise IllegalMove(f"{name} is shipped with the program; leave it out of the routes instead")
    routes = [route.name for route in settings.routes if route.model == name]
    if routes and not force:
        raise IllegalMove(f"{name} is run by {', '.join(routes)}; remove them, or add --force")
    remove_folder(folder)
    typer.echo(f"{name} is removed")


def _first_folder(config: Path) -> Path:
    folders = configuration.model_folders(config)
    if not folders:
        raise ConfigError(
            f"{config.name} names no folder for models; write `infer: {{models: [./models]}}`"
        )
    return folders[0]


def _name_of(path: Path) -> str:
    plain = "".join(c if c.isalnum() else "_" for c in path.resolve().stem.lower())
    return plain if plain[:1].isalpha() else f"model_{plain}"


def _answered(path: Path) -> dict[str, Any]:
    try:
        loaded = YAML(typ="safe", pure=True).load(io.BytesIO(path.read_bytes()))
    except (YAMLError, UnicodeDecodeError) as wrong:
        raise ConfigError(f"{path} is not YAML: {str(wrong).splitlines()[0]}") from wrong
    if not isinstance(loaded, Mapping) or not isinstance(loaded.get("name"), str):
        raise ConfigError(f"{path} must hold keys and values, a name among them")
    return {str(key): value for key, value in loaded.items()}


def _ask(content: Mapping[str, Any], draft: Draft, as_file: Path) -> None:
    """Raise `ConfigError` with all questions that are open, having written them down."""
    open_ = list(questions(content))
    if not open_:
        return
    if not as_file.exists():
        as_file.write_text(as_yaml(content), encoding="utf-8")
    said = (
        f"nothing was installed: {draft.format} does not tell everything. Fill in {as_file} "
        f"and give it back with --facts {as_file}"
    )
    raise ConfigError("\n".join([said, *(f"{as_file}: {where}: is missing" for where in open_)]))
