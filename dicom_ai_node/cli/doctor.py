"""The command that finds what is wrong with an installation, and says how to mend it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from dicom_ai_node import compose
from dicom_ai_node.cli.reach import check as check_all
from dicom_ai_node.cli.show import DEFAULT_CONFIG, ConfigArgument, JsonOption
from dicom_ai_node.doctor.finding import Finding, Level, examined, status


def doctor(
    config: ConfigArgument = DEFAULT_CONFIG,
    *,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Read every object and all of the ledger.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find what is wrong with this installation.

    Nothing is changed, whether or not the node runs. Exit status: 0 all is well, 1 there are
    warnings, 2 there is a fault.
    """
    found = list(examined(compose.examination(config, check_all, thorough=thorough)))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        _tell(found)
    raise typer.Exit(status(found))


def _tell(found: Sequence[Finding]) -> None:
    names = max(len(one.check) for one in found)
    for one in found:
        mend = f"; {one.mend}" if one.mend else ""
        typer.echo(f"{one.level:7}  {one.check:{names}}  {one.said}{mend}")
    faults = sum(one.level is Level.FAULT for one in found)
    warnings = sum(one.level is Level.WARNING for one in found)
    typer.echo(f"{len(found)} looked at: {faults} faults, {warnings} warnings")
