"""Commands that look: status, jobs, job, quarantine, similar. They change nothing."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from dicom_ai_node import compose
from dicom_ai_node.cli.reach import is_listening, job_called, ledger_of
from dicom_ai_node.cli.show import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Row,
    record,
    rows,
)
from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.domain.uids import StudyInstanceUID


def status(config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> None:
    """Say whether the node listens, what waits, what needs a person."""
    settings = compose.settings(config)
    ledger = ledger_of(settings)
    found: dict[str, object] = {
        "listening": is_listening(settings),
        "free_gb": round(compose.blobs(settings).free_bytes() / 1e9, 1),
    }
    counts = ledger.counts()
    record(found | dict(counts if as_json else _in_words(counts)), as_json=as_json)


def jobs(
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    stage: Annotated[list[Stage] | None, typer.Option(help="Only jobs in this stage.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    ledger = ledger_of(compose.settings(config))
    found = [_row(job) for job in ledger.jobs(stage or (), limit)]
    rows(found, as_json=as_json, nothing="no jobs")


def job(
    name: Annotated[str, typer.Argument(help="The job's name, or the start of it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show one job: its time line, its objects, its deliveries."""
    ledger = ledger_of(compose.settings(config))
    found = job_called(ledger, name)
    line: list[Row] = [
        {"at": e.at, "what": e.what, "detail": e.detail} for e in ledger.time_line(found.key)
    ]
    sent: list[Row] = [
        {
            "object": d.result.kind,
            "destination": d.destination,
            "state": d.state,
            "attempts": d.attempts,
            "note": d.note,
        }
        for d in ledger.deliveries(found.key)
    ]
    whole = {**_row(found), "next_attempt": found.due_at, "instances": len(found.inputs)}
    if as_json:
        typer.echo(json.dumps({**whole, "time_line": line, "sent": sent}, default=str, indent=2))
        return
    record(whole, as_json=False)
    for title, part in (("\ntime line", line), ("\ndeliveries", sent)):
        if part:
            typer.echo(title)
            rows(part, as_json=False, nothing="")


def quarantine(config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> None:
    """List what was received but not let in, and why."""
    settings = compose.settings(config)
    ledger = ledger_of(settings)
    path = compose.blobs(settings).path
    found: list[Row] = [
        {
            "number": q.number,
            "at": q.at,
            "sender": q.sender,
            "reason": q.reason,
            "file": path(q.sha256),
        }
        for q in ledger.quarantined()
    ]
    rows(found, as_json=as_json, nothing="the quarantine is empty")


def similar(
    study: Annotated[str, typer.Argument(help="A Study Instance UID, or that of one series.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="At most so many.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """List the studies whose images look most like those of a study."""
    settings = compose.settings(config)
    ledger, model = ledger_of(settings), compose.similar_model(settings).digest
    asked = StudyInstanceUID(study)
    if not ledger.is_placed(asked, model):
        raise NeedsAttention(f"no image of {study} is here, or none has been looked at yet")
    found = [asdict(one) for one in ledger.similar(asked, model, count)]
    rows(found, as_json=as_json, nothing="nothing else has been looked at")


def _in_words(counts: Mapping[str, int]) -> Row:
    """Return what there is any of, a line for each kind: `jobs  2 ready, 1 parked`."""
    lines: dict[str, list[str]] = {}
    for name, number in counts.items():
        kind, _, state = name.partition(".")
        line = lines.setdefault(kind, [])
        if number or not state:
            line.append(f"{number} {state}".strip())
    return {kind: ", ".join(line) or "none" for kind, line in lines.items()}


def _row(found: Job) -> Row:
    return {
        "job": found.name,
        "route": found.route,
        "model": found.model,
        "stage": found.stage,
        "priority": found.priority.name.lower(),
        "attempts": found.attempts,
        "created": found.created_at,
        "to_act": found.who or "",
        "note": found.note,
    }
