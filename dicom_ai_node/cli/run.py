"""Commands that run the node or tell what it would do: serve, check, explain."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dicom_ai_node import compose, log, roles
from dicom_ai_node.cli.audit import note_start, note_stop
from dicom_ai_node.cli.files import explanations
from dicom_ai_node.cli.reach import check as check_all
from dicom_ai_node.cli.reach import judge_settings, unguarded
from dicom_ai_node.cli.show import (
    DEFAULT_CONFIG,
    ConfigArgument,
    ConfigOption,
    JsonOption,
)
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.supervise import Heart, Supervisor, leave_no_core


class RoleName(StrEnum):
    """The roles that `serve` runs, each in a process of its own."""

    RECEIVE = "receive"
    WORK = "work"
    DISPATCH = "dispatch"
    WEB = "web"
    INDEX = "index"


def serve(
    config: ConfigArgument = DEFAULT_CONFIG,
    *,
    role: Annotated[RoleName | None, typer.Option(help="Run this role only.")] = None,
    debug: Annotated[bool, typer.Option(help="Say more.")] = False,
) -> None:
    """Run the node until it gets SIGTERM."""
    log.configure(debug=debug)
    log.silence_libraries()
    leave_no_core()
    settings = compose.settings(config)
    _prepare(settings)
    if role is None:
        tree = roles.tree(settings)
        note_start(settings, config)
        status = Supervisor(tree).run()
        note_stop(settings)
        raise typer.Exit(status)
    heart = Heart(None)
    match role:
        case RoleName.RECEIVE:
            status = roles.receive(settings, [], heart)
        case RoleName.WORK:
            status = roles.work(settings, heart)
        case RoleName.DISPATCH:
            status = roles.dispatch(settings, heart)
        case RoleName.WEB:
            status = roles.web(settings, heart)
        case RoleName.INDEX:
            status = roles.index(settings, heart)
    raise typer.Exit(status)


def _prepare(settings: NodeConfig) -> None:
    check_all(settings)
    try:
        compose.prepare(settings)
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be used: {error.strerror}") from error


def check(config: ConfigArgument = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> None:
    """Say everything that is wrong with a configuration file."""
    settings = compose.settings(config)
    check_all(settings)
    judge_settings(settings)
    without = unguarded(settings)
    advice = [*compose.dicom_advice(settings), *compose.advice(settings)]
    if as_json:
        names = [route.name for route in settings.routes]
        typer.echo(json.dumps({"routes": names, "unguarded": without, "advice": advice}))
    else:
        for name in without:
            typer.echo(f"routes.{name}: its model has no guard, so nobody judges its inputs")
        for sentence in advice:
            typer.echo(sentence)
        number = len(settings.routes)
        typer.echo(f"{config}: {number} route{'s' * (number != 1)}, all right")


def explain(
    folder: Annotated[Path, typer.Argument(exists=True, help="A DICOM file, or a folder of them.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say which routes take which series, and why others do not."""
    explained = explanations(compose.settings(config), folder)
    if as_json:
        found = [
            {
                "series": one.series_instance_uid,
                "facts": dict(one.facts),
                "routes": {str(d.route.name): str(d) for d in one.decisions},
            }
            for one in explained
        ]
        typer.echo(json.dumps(found, default=str, indent=2))
        return
    for one in explained:
        about = (one.attributes.get(key, "") for key in ("Modality", "SeriesDescription"))
        taken = ", ".join(one.taken_by) or "no route"
        typer.echo(f"{' '.join(filter(None, about))}: {taken}")
        for decision in one.decisions:
            typer.echo(f"    {decision}")
