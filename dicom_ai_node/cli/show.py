"""How the command line shows things: a table for people, JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="DICOM_AI_NODE_CONFIG", help="Path of the configuration file."
    ),
]
ConfigArgument = Annotated[
    Path,
    typer.Argument(envvar="DICOM_AI_NODE_CONFIG", help="Path of the configuration file."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DEFAULT_CONFIG = Path("ae_config.yaml")

PIPE_COLUMNS = 180

Row = Mapping[str, object]


def text_of(value: object) -> str:
    """Return a cell as people read it; times are shown in UTC to the second."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def rows(found: Sequence[Row], *, as_json: bool, nothing: str) -> None:
    """Print rows as a table or as a JSON list; say `nothing` when there are none."""
    if as_json:
        typer.echo(json.dumps([dict(row) for row in found], default=str, indent=2))
    elif not found:
        typer.echo(nothing)
    else:
        wide_console().print(table(found))


def wide_console() -> Console:
    """Return a console that gives a pipe or a file as much width as a wide terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_COLUMNS)


def table(found: Sequence[Row], title: str = "") -> Table:
    """Return rows as a table with the keys of the first as its head."""
    drawn = Table(title=title or None, box=None, pad_edge=False, header_style="bold")
    for key in found[0]:
        is_text = key in {"note", "detail", "where", "reason", "files", "file", "score", "trusted"}
        drawn.add_column(key.replace("_", " "), overflow="fold", no_wrap=not is_text)
    for row in found:
        drawn.add_row(*(text_of(value) for value in row.values()))
    return drawn


def record(found: Row, *, as_json: bool) -> None:
    """Print one thing: a line a key, or a JSON object."""
    if as_json:
        typer.echo(json.dumps(dict(found), default=str, indent=2))
        return
    width = max(map(len, found))
    for key, value in found.items():
        typer.echo(f"{key.replace('_', ' '):{width}}  {text_of(value)}")
