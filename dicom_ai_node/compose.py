"""The one place where things are put together. If it is constructed, it is constructed here."""

import random
import secrets
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from pkgutil import iter_modules

import dicom_ai_node
from dicom_ai_node import config as configuration
from dicom_ai_node import encode, tasks
from dicom_ai_node.complete.evidence import Patience
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.folder import FolderSender
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.domain.destination import Destination, DimsePeer, FolderPeer, WebPeer
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.limits import Limits
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.ports import Sender
from dicom_ai_node.domain.study import Arrival, Series
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.encode.made import objects_in
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.executor import LocalProcesses
from dicom_ai_node.infer.trust import trusting
from dicom_ai_node.orders import OrderBook
from dicom_ai_node.pipeline import Dispatch, Reception, Work
from dicom_ai_node.receive import server
from dicom_ai_node.receive.batch import Batcher
from dicom_ai_node.receive.desk import Inbox
from dicom_ai_node.receive.dimse import DimseListener
from dicom_ai_node.receive.peers import AllowedPeer
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.histories import Histories
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.patients import Patients
from dicom_ai_node.store.places import Places
from dicom_ai_node.store.retention import Policy, Retention
from dicom_ai_node.store.schema import migrate
from dicom_ai_node.workers import encoding_worker, inference_worker

SHIPPED_MODELS = Path(dicom_ai_node.__file__).parent / "bundles"


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
    """Bring the tables up to date and sweep away what a crash has left half written."""
    config.store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for destination in configuration.destinations(config).values():
        if isinstance(destination, FolderPeer):
            # Only here: one that vanishes later is a share that is no longer mounted.
            destination.folder.mkdir(parents=True, exist_ok=True)
    database = open_database(config.store.database_url)
    migrate(database)
    database.close()
    FolderBlobs(config.store.folder).sweep()


def node_serial(config: NodeConfig) -> str:
    """Return the number of this installation, made once: Device Serial Number (0018,1000)."""
    path = config.store.folder / "node_serial"
    if not path.exists():
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


# receive


def reception(config: NodeConfig) -> Reception:
    """Return the desk that takes instances in."""

    def quiet(arrival: Arrival) -> timedelta:
        modality = arrival.instance.attributes.get("Modality", "")
        return timedelta(seconds=config.complete.times(modality).quiet_seconds)

    return Reception(
        blobs=blobs(config),
        ledger=ledger(config),
        quiet=quiet,
        released_quiet=timedelta(seconds=config.complete.released_quiet_seconds),
        keep_free_bytes=config.store.min_free_bytes,
        now=now,
    )


def listener(config: NodeConfig) -> DimseListener:
    """Return the listener of one receiver process, not yet listening."""
    desk, receive, known = reception(config), config.receive, catalog(config)
    return DimseListener(
        ae_title=AETitle(receive.ae_title),
        accept_from=[
            AllowedPeer(
                ae_title=AETitle(peer.ae_title),
                network=None if peer.address is None else ip_network(peer.address, strict=False),
            )
            for peer in receive.accept_from
        ],
        blobs=desk.blobs,
        inbox=Inbox(
            room=desk.room,
            arrive=Batcher(desk.record).submit,
            released=desk.released,
            refused=desk.refused,
            own_device_uids=known.device_uids(),
        ),
        limits=server.Limits(
            associations=receive.max_associations,
            instance_bytes=receive.max_instance_bytes,
            pdu_bytes=receive.max_pdu_bytes,
            request_seconds=receive.deadlines.association_seconds,
            pdu_seconds=receive.deadlines.pdu_seconds,
            idle_seconds=receive.deadlines.idle_seconds,
        ),
    )


def listening_socket(config: NodeConfig, descriptor: int | None) -> socket.socket:
    """Return the socket that the supervisor has opened, or a new one.

    Raises
    ------
    ConfigError
        If nobody can listen there.
    """
    if descriptor is not None:
        return socket.socket(fileno=descriptor)
    host, port = config.receive.host, config.receive.port
    try:
        return server.listening_socket(host, port)
    except OSError as error:
        raise ConfigError(f"receive: cannot listen on {host}:{port}: {error.strerror}") from error


# complete, route, infer, encode


def limits(config: NodeConfig) -> Limits:
    """Return how long things may take."""
    return Limits(
        lease=timedelta(seconds=config.infer.lease_seconds),
        lost_attempts=config.infer.attempts,
    )


def work(config: NodeConfig) -> Work:
    """Return the desk that turns series into objects, with its workers starting."""

    def patience(series: Series) -> Patience:
        times = config.complete.times(series.attributes.get("Modality", ""))
        return Patience(
            quiet=timedelta(seconds=times.quiet_seconds),
            released_quiet=timedelta(seconds=times.released_quiet_seconds),
            longest=timedelta(seconds=times.patience_seconds),
        )

    way = senders(config)
    routes = configuration.routes(config)
    the_blobs, the_ledger, folder = blobs(config), ledger(config), config.store.folder / "work"
    return Work(
        blobs=the_blobs,
        ledger=the_ledger,
        folder=folder,
        routes=routes,
        models=models(config),
        inference=LocalProcesses(
            config.infer.devices, partial(inference_worker, config, model_folders(config))
        ),
        encoding=LocalProcesses(
            ["encoder"],
            partial(encoding_worker, config, model_folders(config), node_serial(config)),
        ),
        orders=OrderBook(
            blobs=the_blobs,
            ledger=the_ledger,
            folder=folder,
            routes=routes,
            accepts=lambda name, sop_class_uid: way[name].accepts(sop_class_uid),
            limit_seconds=config.infer.limit_seconds,
            before=Histories(the_ledger, the_blobs, patients(config)).before,
            priors=the_ledger.priors,
        ),
        objects_in=objects_in,
        place=Places(the_ledger, the_blobs, patients(config)).enter,
        patience=patience,
        limits=limits(config),
        now=now,
    )


def retention(config: NodeConfig) -> Callable[[], object]:
    """Return the chore that removes what has been delivered and is old, or is in the way."""
    policy = Policy(
        keep=timedelta(days=config.store.keep_days),
        # Begin to make room before the receivers have to say no.
        min_free_bytes=2 * config.store.min_free_bytes,
    )
    chore = Retention(ledger(config), blobs(config), policy)

    def run() -> None:
        chore.run(now())
        chore.sweep(now())

    return run


# deliver


def sender(destination: Destination) -> Sender:
    """Return the way to one destination."""
    match destination:
        case DimsePeer():
            return DimseSender(destination)
        case WebPeer():
            return WebSender(destination)
        case FolderPeer():
            return FolderSender(destination)


def senders(config: NodeConfig) -> Mapping[str, Sender]:
    """Return the way to every destination, by name."""
    found = configuration.destinations(config)
    return {name: sender(destination) for name, destination in found.items()}


def dispatch(config: NodeConfig) -> Dispatch:
    """Return the desk that brings objects to their destinations."""
    return Dispatch(
        blobs=blobs(config),
        ledger=ledger(config),
        senders=senders(config),
        limits=limits(config),
        now=now,
        jitter=random.random,
    )
