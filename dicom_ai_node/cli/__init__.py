"""The command line: `dicom-ai-node COMMAND --help` says what each command does."""

import sys

import typer

from dicom_ai_node.cli import (
    act,
    audit,
    demo,
    doctor,
    keep,
    look,
    models,
    people,
    run,
    selftest,
    viewer,
)
from dicom_ai_node.domain.errors import ConfigError, NodeError

EXIT_ATTENTION = 1
EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h: systemd and people know at once where to look."""

app = typer.Typer(
    name="dicom-ai-node",
    help="Receive DICOM studies, run AI models on them, return what they find to the PACS.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its local variables would show data sets
    rich_markup_mode=None,
)
app.command()(run.serve)
app.command()(run.check)
app.command()(run.explain)
app.command()(look.status)
app.command()(look.jobs)
app.command()(look.job)
app.command()(look.quarantine)
app.command()(look.similar)
app.add_typer(models.app, name="models")
app.add_typer(viewer.app, name="viewer")
app.add_typer(people.users, name="users")
app.add_typer(people.tokens, name="tokens")
app.add_typer(audit.app, name="audit")
app.command()(act.retry)
app.command()(act.send)
app.command()(doctor.doctor)
app.command()(selftest.selftest)
app.command()(keep.backup)
app.command()(keep.restore)
app.command()(demo.demo)


def main() -> None:
    """Run the command; a mistake of people ends in a sentence, never in a traceback."""
    try:
        app()
    except ConfigError as mistakes:
        sys.stderr.write(f"{mistakes}\n")
        sys.exit(EXIT_CONFIG)
    except NodeError as trouble:
        sys.stderr.write(f"{trouble} (to act: {trouble.who})\n")
        sys.exit(EXIT_ATTENTION)
