"""Commands about models that change nothing: list, show, test."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from dicom_ai_node import compose
from dicom_ai_node.cli import adopt
from dicom_ai_node.cli.show import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Row,
    record,
    rows,
)
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.errors import ConfigError, ModelUnusable
from dicom_ai_node.domain.model import Grid, ModelFacts
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.sealed import SealedFolder
from dicom_ai_node.infer.trust import Trust

AS_RELEASED = "as released"
NOBODY = "nobody"

app = typer.Typer(
    help="List the models; show, test, import, sign or remove one.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
app.command("import")(adopt.import_)
app.command()(adopt.sign)
app.command()(adopt.keygen)
app.command()(adopt.remove)

NameArgument = Annotated[str, typer.Argument(help="The name of a model.")]


@app.callback()
def models(
    context: typer.Context, config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False
) -> None:
    """List the models and check that their files are as released."""
    if context.invoked_subcommand is None:
        list_(config, as_json=as_json)


@app.command("list")
def list_(config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> None:
    """List the models and check that their files are as released."""
    settings = compose.settings(config)
    catalog = compose.catalog(settings)
    found = [_row(catalog, name) for name in catalog.names()]
    rows(found, as_json=as_json, nothing="no models")
    spoiled = [str(row["model"]) for row in found if row["files"] != AS_RELEASED]
    if spoiled:
        raise ModelUnusable(f"not as released: {', '.join(spoiled)}")


@app.command()
def show(
    name: NameArgument, config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False
) -> None:
    """Show facts, scores and card of a model, and who vouches for it."""
    settings = compose.settings(config)
    catalog = compose.catalog(settings)
    facts = catalog.facts(name)
    whole = _described(facts, catalog.trust, settings)
    scores, card = _scores(facts.folder), _text(facts.folder / "docs/README.md")
    if as_json:
        typer.echo(json.dumps({**whole, "scores": scores, "card": card}, default=str, indent=2))
        return
    record(whole, as_json=False)
    if scores:
        typer.echo("\nscores on data that training never saw")
        rows([_score_row(key, one) for key, one in scores.items()], as_json=False, nothing="")
    typer.echo(f"\n{card}" if card else "\nno model card")


@app.command("test")
def prove(
    name: NameArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    device: Annotated[str, typer.Option(help="cpu or cuda:0; the first of the node.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Prove that this machine computes what it should, and how fast."""
    from dicom_ai_node.infer.timing import timed  # noqa: PLC0415 - carries torch

    settings = compose.settings(config)
    catalog = compose.catalog(settings)
    catalog.verify(name)
    found = timed(catalog.facts(name), device or settings.infer.devices[0], catalog.trust)
    record({"model": name, "golden": "reproduced", **found}, as_json=as_json)


def _row(catalog: Catalog, name: str) -> Row:
    keys = ("model", "kind", "modality", "version", "score", "format", "trusted", "digest", "files")
    row = dict.fromkeys(keys, "")
    row["model"] = name
    try:
        facts = catalog.facts(name)
        row |= {
            "kind": facts.kind,
            "modality": ", ".join(facts.modality),
            "version": facts.version,
            "score": _best_known(_scores(facts.folder)),
            "format": facts.network.format,
            "trusted": _vouched(facts, catalog.trust),
            "digest": facts.digest[:12],
        }
        catalog.verify(name)
    except (ConfigError, ModelUnusable) as trouble:
        return row | {"files": str(trouble)}
    return row | {"files": AS_RELEASED}


def _described(facts: ModelFacts, trust: Trust, settings: NodeConfig) -> dict[str, object]:
    found: dict[str, object] = {
        "model": facts.name,
        "title": facts.title,
        "manufacturer": facts.manufacturer,
        "version": facts.version,
        "kind": facts.kind,
        "modality": ", ".join(facts.modality),
        "sees": facts.sees,
        "grid": _grid(facts.grid),
        "intensity": facts.intensity.scaling,
        "finds": ", ".join(
            [one.label for one in facts.segments] + [one.label for one in facts.classes]
        ),
        "format": facts.network.format,
        "trusted": _vouched(facts, trust),
        "digest": facts.digest,
        "device_uid": facts.device_uid,
        "folder": facts.folder,
        "routes": ", ".join(one.name for one in settings.routes if one.model == facts.name),
    }
    return found | dict(facts.parameters)


def _grid(grid: Grid) -> str:
    unit = "pixels" if grid.spacing_mm is None else "mm"
    return f"{' x '.join(f'{n:g}' for n in grid.spacing_mm or grid.size_px or ())} {unit}"


def _vouched(facts: ModelFacts, trust: Trust) -> str:
    """Return why a model may run, and whether it is signed where it need not be."""
    sealed = SealedFolder(facts.folder)
    why = trust.of(sealed, facts.network.format) or NOBODY
    return f"{why}, signed" if why != "signature" and trust.is_signed(sealed) else why


def _scores(folder: Path) -> Mapping[str, Any]:
    """Return the scores on the test part, or none: they are documents that nothing vouches for."""
    try:
        test_part = json.loads((folder / "docs/score.json").read_text(encoding="utf-8"))["test"]
        return {str(key): one for key, one in test_part.items() if isinstance(one, dict)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _score_row(name: str, one: Mapping[str, Any]) -> Row:
    value = one.get("value", one.get("mean"))
    interval = f"{one['low']} to {one['high']}" if {"low", "high"} <= one.keys() else ""
    return {"score": name, "value": value, "interval": interval, "cases": one.get("cases")}


def _best_known(scores: Mapping[str, Any]) -> str:
    """Return the first score, which a recipe puts first because it is the one that matters."""
    for name, one in scores.items():
        row = _score_row(name, one)
        interval = f" ({row['interval']})" if row["interval"] else ""
        return f"{name} {row['value']}{interval}"
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
