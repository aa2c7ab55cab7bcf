"""Commands about the audit trail: list, show, export, verify."""

import getpass
import hashlib
import os
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dicom_ai_node import compose
from dicom_ai_node.cli.reach import ledger_of
from dicom_ai_node.cli.show import DEFAULT_CONFIG, ConfigOption, JsonOption, record, rows
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.audit import Act, Actor, AuditFilter, AuditRecord, Kind
from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.domain.happenings import application, changed, log_used
from dicom_ai_node.store.audit import SqlTrail

app = typer.Typer(
    help="Who has done what, PS3.15 A.5: the audit trail.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

OnlyKind = Annotated[Kind | None, typer.Option(help="Only of this kind.")]
Who = Annotated[str, typer.Option(help="Only with this in a name or an address.")]
Since = Annotated[datetime | None, typer.Option(help="From then on, UTC.")]
Until = Annotated[datetime | None, typer.Option(help="Until then, UTC.")]


@app.command("list")
def list_records(  # noqa: PLR0913 - one per filter
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    kind: OnlyKind = None,
    who: Who = "",
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List records, newest first."""
    trail = _opened(config)
    which = AuditFilter(kind=kind, who=who, since=_utc(since), until=_utc(until), limit=limit)
    found = [_row(one) for one in trail.records(which)]
    rows(found, as_json=as_json, nothing="no records")


@app.command("show")
def show_record(
    number: Annotated[int, typer.Argument(help="Its number.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show one record, with its message."""
    found = _opened(config).record(number)
    if found is None:
        raise NeedsAttention(f"there is no record {number}")
    whole = {"previous": found.previous, "sha256": found.sha256, "message": found.message.text}
    record({**_row(found), **whole}, as_json=as_json)


@app.command("export")
def export(
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    kind: OnlyKind = None,
    who: Who = "",
    since: Since = None,
    until: Until = None,
    to: Annotated[Path | None, typer.Option(help="A file; else standard output.")] = None,
) -> None:
    """Write messages as XML, oldest first, one a line."""
    trail = _opened(config)
    which = AuditFilter(kind=kind, who=who, since=_utc(since), until=_utc(until))
    out = sys.stdout if to is None else to.open("w", encoding="utf-8")
    try:
        for one in trail.oldest_first(which):
            out.write(f"{one.message.text}\n")
    finally:
        if to is not None:
            out.close()


@app.command("verify")
def verify(config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> None:
    """Say whether the chain is whole; if not, which record is the first that is not."""
    settings = compose.settings(config)
    ledger_of(settings)
    found = compose.auditor(settings).verify()
    told = {"records": found.records, "broken": found.broken, "why": found.why or "it is whole"}
    record(told, as_json=as_json)
    raise typer.Exit(int(found.broken is not None))


def operator() -> Actor:
    """Return who sits at the command line; a container may know no name for its user."""
    try:
        return Actor(name=getpass.getuser())
    except (KeyError, OSError):
        return Actor(name=f"uid {os.getuid()}")


def note_start(settings: NodeConfig, config: Path) -> None:
    """Tell the trail that the node starts, and whether its configuration is another.

    Afterwards nothing of the ledger is open here: this process is about to be copied.
    """
    now = compose.now()
    with closing(compose.trail(settings)) as trail:
        trail.note(application(Act.START, operator(), now))
        said = hashlib.sha256(config.read_bytes()).hexdigest()
        before = trail.settle("configuration", said)
        if before not in {None, said}:
            why = f"{config.name} was changed from {before} to {said} (sha256)"
            trail.note(changed(Act.SOFTWARE_CONFIGURATION, operator(), why, now))


def note_stop(settings: NodeConfig) -> None:
    """Tell the trail that the node has stopped, and seal what is left: nobody else is there."""
    auditor = compose.auditor(settings)
    auditor.trail.note(application(Act.STOP, operator(), compose.now()))
    auditor.seal_all()


def _opened(config: Path) -> SqlTrail:
    """Return the trail of a node that has run before; that it is read is a record of it."""
    settings = compose.settings(config)
    ledger_of(settings)
    trail = compose.trail(settings)
    trail.note(log_used(operator(), compose.now()))
    return trail


def _row(one: AuditRecord) -> dict[str, object]:
    return {
        "number": one.number,
        "at": one.message.at,
        "kind": one.message.kind,
        "outcome": one.message.outcome.name.lower().replace("_", " "),
        "who": one.message.who,
        "sent": one.sent_at,
    }


def _utc(said: datetime | None) -> datetime | None:
    return None if said is None else said.replace(tzinfo=UTC)
