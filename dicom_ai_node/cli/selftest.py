"""The command that proves on this machine what the node promises."""

import shutil
import signal
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from dicom_ai_node import compose, log
from dicom_ai_node.cli.show import DEFAULT_CONFIG, ConfigArgument
from dicom_ai_node.config import store_folder
from dicom_ai_node.doctor.store import file_system_of
from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.selftest.report import Report
from dicom_ai_node.selftest.run import play
from dicom_ai_node.supervise import this_program

HTML = frozenset({".html", ".htm"})


def selftest(
    config: ConfigArgument = DEFAULT_CONFIG,
    *,
    report: Annotated[
        Path | None, typer.Option(help="Write a report: .html, or else Markdown.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--in", help="Where it plays; the store's disk if left out.")
    ] = None,
) -> None:
    """Do harm to a private node and see what comes of it.

    The node of CONFIG is left alone; only the place of its store is read there. Exit status: 0 if
    everything was as expected.
    """
    log.silence_libraries()
    # Whoever ends this ends the private node, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home, began = folder or _disk(config), compose.now()
    with tempfile.TemporaryDirectory(
        prefix=".selftest-", dir=home, ignore_cleanup_errors=True
    ) as made:
        place, played = Path(made), []
        for one in play(place, this_program("serve")):
            played.append(one)
            typer.echo(f"{'ok' if one.is_ok else 'NOT OK':7} {one.what}: {one.seen}")
        done = Report(
            version=version("dicom-ai-node"),
            disk=f"{place.parent} ({file_system_of(place) or 'unknown'})",
            at=began,
            played=played,
        )
        if not done.is_ok and report is not None:
            shutil.copy(place / "node.log", report.with_suffix(".log"))
    if report is not None:
        is_html = report.suffix.lower() in HTML
        report.write_text(done.as_html() if is_html else done.as_markdown(), encoding="utf-8")
    for name, said in done.facts():
        typer.echo(f"{name:11} {said}")
    if not done.is_ok:
        raise NeedsAttention("not everything was as expected: do not accept this machine yet")


def _disk(config: Path) -> Path:
    """Return a place on the disk of the store, or else where temporary files go."""
    store = store_folder(config)
    if store is not None and store.is_dir():
        return store
    return Path(tempfile.gettempdir())
