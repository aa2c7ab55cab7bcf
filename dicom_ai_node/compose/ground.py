"""What every part of the node stands on: the configuration, the models, the ledger, the blobs."""

import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import iter_modules

import dicom_ai_node
from dicom_ai_node import config as configuration
from dicom_ai_node import encode, tasks
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.destination import FolderPeer
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.trust import trusting
from dicom_ai_node.serve.darkroom import MOST_WAITING, ChildProcesses
from dicom_ai_node.serve.viewer.installed import Viewer
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.backup import RESTORING
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.ledger_delete import SqlDeletion
from dicom_ai_node.store.patients import Patients
from dicom_ai_node.store.schema import migrate
from dicom_ai_node.workers import darkroom as in_darkroom

SHIPPED_MODELS = Path(dicom_ai_node.__file__).parent / "bundles"

MOST_DARKROOMS = 4
"""Processes that decode for those who look; the others of the machine do the node's work."""


def now() -> datetime:
    """Return the present time, UTC and aware."""
    return datetime.now(UTC)


def settings(path: Path) -> NodeConfig:
    """Return what `ae_config.yaml` says, checked in full.

    Raises
    ------
    ConfigError
        With every mistake, one a line.
    """
    found = Catalog([SHIPPED_MODELS, *configuration.model_folders(path)])
    kinds = [module.name for module in iter_modules(tasks.__path__)]
    return configuration.load(path, models=found.names(), outputs=encode.OUTPUTS, kinds=kinds)


def catalog(config: NodeConfig) -> Catalog:
    """Return the models of the node."""
    return Catalog(model_folders(config), trusting(config.infer.trust, config.infer.trust_keys))


def model_folders(config: NodeConfig) -> tuple[Path, ...]:
    """Return where models lie: ours, then those of the hospital."""
    return (SHIPPED_MODELS, *config.infer.models)


def models(config: NodeConfig) -> Mapping[str, ModelFacts]:
    """Return the facts of every model that a route names."""
    found = catalog(config)
    return {route.model: found.facts(route.model) for route in configuration.routes(config)}


def similar_model(config: NodeConfig) -> ModelFacts:
    """Return the facts of the model that says what looks alike; raise `ConfigError` without one."""
    if config.similar is None:
        raise ConfigError("there is no section `similar`: nobody looks for what looks alike")
    return catalog(config).facts(config.similar.model)


def prepare(config: NodeConfig) -> None:
    """Bring the tables up to date and sweep away what a crash has left half written.

    Raises
    ------
    ConfigError
        If a backup is being restored here, or the ledger is damaged or of a newer version.
    """
    if (config.store.folder / RESTORING).exists():
        raise ConfigError(
            f"store.folder: a backup was restored into {config.store.folder} and not to its end;"
            " run `dicom-ai-node restore` again"
        )
    config.store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for destination in configuration.destinations(config).values():
        if isinstance(destination, FolderPeer):
            # Only here: one that vanishes later is a share that is no longer mounted.
            destination.folder.mkdir(parents=True, exist_ok=True)
    prepare_database(config)
    FolderBlobs(config.store.folder).sweep()


def prepare_database(config: NodeConfig) -> None:
    """Bring the tables up to date."""
    database = open_database(config.store.database_url)
    migrate(database)
    database.close()


def node_serial(config: NodeConfig) -> str:
    """Return the number of this installation, made once: Device Serial Number (0018,1000)."""
    path = config.store.folder / "node_serial"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(8), encoding="ascii")
    return path.read_text(encoding="ascii")


def patients(config: NodeConfig) -> Patients:
    """Return what tells patients apart without their names; its key is made once."""
    return Patients.with_key(config.store.folder / "patient_key")


def ledger(config: NodeConfig) -> SqlLedger:
    """Return the ledger as one process uses it."""
    return SqlLedger(open_database(config.store.database_url))


def blobs(config: NodeConfig) -> FolderBlobs:
    """Return the blobs."""
    return FolderBlobs(config.store.folder)


def archive(config: NodeConfig) -> SqlArchive:
    """Return what is held, for those who look for it."""
    return SqlArchive(open_database(config.store.database_url), blobs(config))


def viewer(config: NodeConfig) -> Viewer:
    """Return the viewer that is served, installed or not."""
    return Viewer(config.store.folder / "viewer")


def darkroom(config: NodeConfig, waiting: int = MOST_WAITING) -> ChildProcesses:
    """Return what makes pictures of pixel data, in processes of its own."""
    size = max(1, min(MOST_DARKROOMS, (os.cpu_count() or 1) // 2))
    return ChildProcesses(in_darkroom, config.store.folder / "spool", size=size, waiting=waiting)


def deletion(config: NodeConfig) -> SqlDeletion:
    """Return what takes away what is held."""
    return SqlDeletion(open_database(config.store.database_url), blobs(config), now)
