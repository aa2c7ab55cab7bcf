"""Commands that act: retry, send."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from dicom_ai_node import compose
from dicom_ai_node.cli.files import dicom_files
from dicom_ai_node.cli.reach import job_called, ledger_of, sender_to
from dicom_ai_node.cli.show import DEFAULT_CONFIG, ConfigOption, JsonOption, record
from dicom_ai_node.domain.errors import IllegalMove, NodeError, PeerRejected

AT_ONCE = 50
"""Files per association: progress moves, and a refusal stops early."""


def retry(
    names: Annotated[list[str], typer.Argument(help="Names of jobs, or the starts of them.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Put jobs that stopped back to work, end the pause of others."""
    ledger = ledger_of(compose.settings(config))
    found = [job_called(ledger, name) for name in names]  # all or none
    for job in found:
        try:
            ledger.retry(job, compose.now())
        except IllegalMove as no:
            raise IllegalMove(f"{job.name} is {job.stage}: {no}") from no
        typer.echo(f"{job.name} is back at work")


def send(
    folder: Annotated[Path, typer.Argument(exists=True, help="A DICOM file, or a folder of them.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    to: Annotated[str, typer.Option(help="HOST:PORT/AE_TITLE; this node if left out.")] = "",
    calling: Annotated[str, typer.Option(help="Our AE title; the first accepted one.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Send DICOM files by C-STORE, to this node or to any other."""
    paths = dicom_files(folder)
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
