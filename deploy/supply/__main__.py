"""The commands; see the package."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from deploy.supply import licences as judge
from deploy.supply import vulnerabilities
from deploy.supply.bill import bill as bill_of
from deploy.supply.closure import closure
from deploy.supply.policy import PYPROJECT, Policy, policy

PRODUCT = "dicom-ai-node"
MODELS = PYPROJECT.parent / "dicom_ai_node" / "bundles"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

PolicyOption = Annotated[Path, typer.Option("--policy", help="A file such as pyproject.toml.")]
PathOption = Annotated[
    list[str] | None, typer.Option("--path", help="Where distributions lie; else those of Python.")
]


@app.command()
def licences(rules: PolicyOption = PYPROJECT, path: PathOption = None) -> None:
    """Fail if a licence is not allowed, and say whose and who requires it."""
    said = policy(rules)
    parts = closure(PRODUCT, said.extras, path)
    _judge(list(judge.objections(parts.values(), said)), f"{len(parts)} licences are allowed")


@app.command()
def audit(
    rules: PolicyOption = PYPROJECT,
    path: PathOption = None,
    *,
    tolerant: Annotated[
        bool, typer.Option("--tolerant", help="Where no service can be asked, say so and go on.")
    ] = False,
    osv_url: Annotated[str, typer.Option(help="Ask this service, which speaks OSV.")] = "",
) -> None:
    """Fail if a hole is known in what is installed and nobody has let it pass."""
    said = policy(rules)
    parts = closure(PRODUCT, said.extras, path)
    others = [part for name, part in parts.items() if name != PRODUCT]
    here = (("-s", "osv", "--osv-url", osv_url),) if osv_url else vulnerabilities.SERVICES
    try:
        answer = vulnerabilities.known_holes(others, here)
    except vulnerabilities.NotChecked as no:
        _not_checked(str(no), tolerant=tolerant)
    today = datetime.now(UTC).date()
    found = list(vulnerabilities.objections(answer.holes, said.waived, today))
    _judge(found, f"{len(others)} packages, no hole that nobody has let pass")
    if answer.unknown:
        _not_checked(f"nobody knows {', '.join(answer.unknown)}", tolerant=tolerant)


def _not_checked(why: str, *, tolerant: bool) -> NoReturn:
    sys.stderr.write(f"\n{'*' * 80}\nVULNERABILITIES NOT CHECKED: {why}\n{'*' * 80}\n\n")
    raise typer.Exit(0 if tolerant else 2)


@app.command()
def bill(
    to: Annotated[Path, typer.Argument(help="The file to write.")],
    rules: PolicyOption = PYPROJECT,
    path: PathOption = None,
) -> None:
    """Write the bill of material."""
    said: Policy = policy(rules)
    made = bill_of(PRODUCT, closure(PRODUCT, said.extras, path), MODELS)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{to}: {len(made['components'])} components")


def _judge(found: list[str], otherwise: str) -> None:
    for sentence in found:
        sys.stderr.write(f"{sentence}\n")
    if found:
        raise typer.Exit(1)
    typer.echo(otherwise)


if __name__ == "__main__":
    app()
