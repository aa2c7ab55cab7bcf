"""Backups: what of this node is taken along, and what a node is made of again."""

from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel

from dicom_ai_node import config as configuration
from dicom_ai_node.compose.carrying import Leaving, came
from dicom_ai_node.compose.ground import catalog, now, settings
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.audit import Actor
from dicom_ai_node.domain.errors import ConfigError, ModelUnusable, NeedsAttention, NodeError
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.infer.sealed import SealedFolder
from dicom_ai_node.store.backup import (
    Kept,
    Restored,
    back_up,
    put_configuration,
    restore,
)
from dicom_ai_node.store.backup_chests import TAR, chest_at
from dicom_ai_node.store.backup_manifest import Manifest
from dicom_ai_node.store.backup_opened import check_backup, opened_chest
from dicom_ai_node.store.schema import has_ledger


def backup(path: Path, to: Path, by: Actor) -> tuple[Manifest, str]:
    """Make a backup of the node whose configuration is at `path`, whether or not it runs.

    Before anything leaves the audit trail is told of every study, so that the backup says it, too.

    Returns
    -------
    Manifest, str
        What is in it, and why the trail does not say all of it; empty if it does.

    Raises
    ------
    NeedsAttention
        If there is nothing to take along, or no place for it.
    OutOfResources
        If there is no room, or the ledger does not answer.
    """
    config = settings(path)
    if not has_ledger(config.store.database_url):
        raise NeedsAttention(f"there is no ledger for {config.store.folder}: nothing to keep")
    if to.resolve().is_relative_to(config.store.folder.resolve()):
        raise NeedsAttention(f"{to} lies in the store itself: name a place outside of it")
    draft_in = to.parent if to.suffix == TAR else to
    kept = Kept(
        version=version("dicom-ai-node"),
        folder=config.store.folder,
        database_url=config.store.database_url,
        configuration=path,
        models=dict(_models(config)),
        elsewhere=tuple(sorted({str(one) for one in _named(config)})),
    )
    chest = chest_at(to)
    leaving = Leaving(config.store.database_url, by, to)
    leaving.begins()
    try:
        made = back_up(kept, chest, draft_in, now())
    except NodeError as error:
        leaving.fails(f"the backup did not end: {error}")
        raise
    leaving.ends()
    return made, leaving.untold


def check_kept(path: Path) -> Manifest:
    """Read all of a backup and return what it says of itself.

    Raises
    ------
    NeedsAttention
        If it cannot be restored.
    """
    with opened_chest(path) as opened:
        check_backup(opened)
        return opened.manifest


def restored(path: Path, config_path: Path, by: Actor) -> tuple[Restored, list[str]]:
    """Make a node of the backup at `path`, where the configuration at `config_path` says.

    Where there is no such file, that of the backup is put there first. The audit trail that was
    restored says so before the node can be started.

    Returns
    -------
    Restored, list of str
        What was restored, and one sentence for each thing that it still needs.

    Raises
    ------
    NeedsAttention
        If the backup cannot be restored, or something is there already.
    """
    with opened_chest(path) as opened:
        if not config_path.exists():
            put_configuration(opened, config_path)
        config = settings(config_path)
        url = config.store.database_url
        done = restore(
            opened, config.store.folder, url, now, lambda database: came(database, by, path)
        )
    return done, list(_lacking(done.manifest, config))


def _lacking(manifest: Manifest, config: NodeConfig) -> Iterator[str]:
    for name in manifest.elsewhere:
        if not Path(name).exists():
            yield f"{name} is not here: no backup takes keys, certificates and secrets along"
    here = dict(_models(config))
    for name, digest in manifest.models.items():
        if here.get(name) != digest:
            yield f"the model {name} is not here as it was, with digest {digest[:12]}"
    if manifest.missing:
        yield f"{len(manifest.missing)} blobs were lost before the backup; senders may send again"


def _models(config: NodeConfig) -> Iterator[tuple[str, Sha256]]:
    found = catalog(config)
    for name in sorted({route.model for route in configuration.routes(config)}):
        with suppress(ConfigError, ModelUnusable):
            yield name, SealedFolder(found.folder(name)).digest


def _named(said: BaseModel) -> Iterator[Path]:
    """Yield every file that a configuration names, wherever it stands in it."""
    for value in vars(said).values():
        for one in _values(value):
            if isinstance(one, BaseModel):
                yield from _named(one)
            elif isinstance(one, Path) and one.is_file():
                yield one


def _values(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, tuple) else [value]
