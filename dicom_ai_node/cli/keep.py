"""Commands that keep a node: backup, restore."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_ai_node import compose
from dicom_ai_node.cli.audit import operator
from dicom_ai_node.cli.show import DEFAULT_CONFIG, ConfigOption, JsonOption, Row, record
from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.store.backup_manifest import Manifest

_MOST_NAMED = 5
"""How many blobs that are missing are named; the manifest lists all."""


def backup(
    to: Annotated[Path, typer.Argument(help="A folder, or a file that ends in .tar.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    as_json: JsonOption = False,
) -> None:
    """Keep ledger, objects, configuration and keys.

    The node may go on meanwhile. Into a folder that holds a backup already only what is new is
    copied. The audit trail is told who has taken which studies along, and where to.
    """
    manifest, untold = compose.backup(config, to, operator())
    record({"backup": to, **_told(manifest)}, as_json=as_json)
    if manifest.missing:
        some = ", ".join(one[:12] for one in manifest.missing[:_MOST_NAMED])
        more = ", ..." if len(manifest.missing) > _MOST_NAMED else ""
        raise NeedsAttention(
            f"the backup is complete but for {len(manifest.missing)} blobs that the store has lost"
            f" or that are damaged ({some}{more}): `dicom-ai-node doctor --thorough` names them"
        )
    if untold:
        raise NeedsAttention(
            f"the backup is complete, but the audit trail does not say so: {untold}"
        )


def restore(
    source: Annotated[Path, typer.Argument(exists=True, help="What `backup` has made.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only read all of it; write nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a node of a backup, in an empty store; then start it.

    Where there is no configuration file, that of the backup is put there first. Jobs that were at
    work begin again, deliveries go on.
    """
    if verify:
        record(_told(compose.check_kept(source)), as_json=as_json)
        return
    done, lacking = compose.restored(source, config, operator())
    found: dict[str, object] = {"configuration": config, **_told(done.manifest)}
    found["given_back"] = done.given_back
    record(found | ({"lacking": lacking} if as_json else {}), as_json=as_json)
    if not as_json:
        for sentence in lacking:
            typer.echo(sentence)


def _told(manifest: Manifest) -> Row:
    return {
        "made_at": manifest.made_at,
        "version": manifest.version,
        "schema": manifest.schema,
        "database": manifest.database,
        "blobs": len(manifest.blobs),
        "bytes": sum(manifest.parts().values()),
        "missing": len(manifest.missing),
    }
