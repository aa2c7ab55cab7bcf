"""Commands that act: retry, send."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from dicom_ai_node import compose
from dicom_ai_node.cli.files import dicom_files
from dicom_ai_node.cli.reach import sender_to
from dicom_ai_node.cli.show import DEFAULT_CONFIG, ConfigOption, JsonOption, record
from dicom_ai_node.domain.errors import NeedsAttention, NodeError, PeerRejected

AT_ONCE = 50
"""Files per association: progress moves, and a refusal stops early."""


def retry(
    names: Annotated[list[str], typer.Argument(help="Names of jobs, or the starts of them.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Put parked, rejected or quarantined jobs back to work, or their parked deliveries."""
    ledger = compose.ledger(compose.settings(config))
    for name in names:
        found = ledger.job(name)
        if found is None:
            raise NeedsAttention(f"no job is called {name}; `dicom-ai-node jobs` lists them")
        ledger.retry(found, compose.now())
        typer.echo(f"{found.name} is back at work")


def send(
    folder: Annotated[Path, typer.Argument(exists=True, help="A DICOM file, or a folder of them.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    to: Annotated[str, typer.Option(help="HOST:PORT/AE_TITLE; this node if left out.")] = "",
    calling: Annotated[str, typer.Option(help="Our AE title; the first accepted one.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Send DICOM files by C-STORE: to this node, to try it, or to any other."""
    paths = dicom_files(folder)
    if not paths:
        raise NeedsAttention(f"no DICOM files in {folder}")
    sender = sender_to(compose.settings(config), to, calling)
    batches = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    answers: list[NodeError | str] = []
    for batch in track(batches, "sending", disable=as_json or len(batches) == 1):
        answers.extend(sender.send(batch))
    _report(paths, answers, as_json=as_json)


def _report(paths: Sequence[Path], answers: Sequence[NodeError | str], *, as_json: bool) -> None:
    errors = [answer for answer in answers if isinstance(answer, NodeError)]
    record({"sent": len(paths) - len(errors), "refused": len(errors)}, as_json=as_json)
    if errors:
        raise PeerRejected(str(errors[0])) from errors[0]
