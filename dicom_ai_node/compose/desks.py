"""The desks along the way of a study, each as one process uses it, and what they are made of."""

import random
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from ipaddress import ip_network

from dicom_ai_node import config as configuration
from dicom_ai_node.complete.evidence import Patience
from dicom_ai_node.compose.auditing import trail
from dicom_ai_node.compose.bells import Bells, bells
from dicom_ai_node.compose.ground import (
    blobs,
    catalog,
    ledger,
    model_folders,
    models,
    node_serial,
    now,
    patients,
)
from dicom_ai_node.compose.outbox import outbox
from dicom_ai_node.compose.proofs import notary
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.folder import FolderSender
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.domain.destination import Destination, DimsePeer, FolderPeer, WebPeer, proving
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.limits import Limits
from dicom_ai_node.domain.ports import Sender
from dicom_ai_node.domain.study import Arrival, Received, Series
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.encode.made import objects_in
from dicom_ai_node.infer.executor import LocalProcesses
from dicom_ai_node.infer.gpu import by_library
from dicom_ai_node.infer.tidings import Tidings
from dicom_ai_node.infer.usage import Sampler
from dicom_ai_node.orders import OrderBook
from dicom_ai_node.pipeline import Dispatch, Reception, Work
from dicom_ai_node.receive import server
from dicom_ai_node.receive.batch import Batcher, Releases
from dicom_ai_node.receive.depot import Depot
from dicom_ai_node.receive.desk import Inbox
from dicom_ai_node.receive.dimse import DimseListener
from dicom_ai_node.receive.peers import AllowedPeer, May
from dicom_ai_node.store.histories import Histories
from dicom_ai_node.store.places import Places
from dicom_ai_node.store.retention import Policy, Retention
from dicom_ai_node.tls.server import KeptTls
from dicom_ai_node.watch.alarms import Alarms
from dicom_ai_node.workers import encoding_worker, inference_worker

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
        wake=bells(config).complete.ring,
    )


def inbox(config: NodeConfig, desk: Reception) -> Inbox:
    """Return where the instances go that reach one process, by whatever way."""
    return _inbox(config, desk, Batcher(desk.record).submit)


def _inbox(config: NodeConfig, desk: Reception, arrive: Callable[[Arrival], Received]) -> Inbox:
    return Inbox(
        room=desk.room,
        arrive=arrive,
        released=desk.released,
        refused=desk.refused,
        own_device_uids=catalog(config).device_uids(),
        turned_away=Alarms(trail(config), now),
    )


def depot(config: NodeConfig, desk: Reception) -> Depot:
    """Return where the instances go that come by HTTP."""
    batcher = Batcher(desk.record)
    return Depot(
        blobs=desk.blobs,
        inbox=replace(_inbox(config, desk, batcher.submit), released=Releases(desk.released)),
        called=AETitle(config.receive.ae_title),
        record=desk.record,
        record_along=batcher.submit_all,
        limits=guest_limits(config),
    )


def guest_limits(config: NodeConfig) -> server.Limits:
    """Return what one process grants those who send."""
    receive = config.receive
    return server.Limits(
        associations=receive.max_associations,
        instance_bytes=receive.max_instance_bytes,
        pdu_bytes=receive.max_pdu_bytes,
        request_seconds=receive.deadlines.association_seconds,
        pdu_seconds=receive.deadlines.pdu_seconds,
        idle_seconds=receive.deadlines.idle_seconds,
    )


def listener(config: NodeConfig) -> DimseListener:
    """Return the listener of one receiver process, not yet listening."""
    desk, receive = reception(config), config.receive
    listens = DimseListener(
        ae_title=AETitle(receive.ae_title),
        accept_from=[
            AllowedPeer(
                ae_title=AETitle(peer.ae_title),
                network=None if peer.address is None else ip_network(peer.address, strict=False),
                certificate=peer.certificate,
                may=frozenset(map(May, peer.may)),
            )
            for peer in receive.accept_from
        ],
        blobs=desk.blobs,
        inbox=inbox(config, desk),
        limits=guest_limits(config),
    )
    listens.commit_with(notary(config))
    if any("query" in peer.may for peer in receive.accept_from):
        listens.answer_from(outbox(config))
    return listens


def listening_sockets(config: NodeConfig) -> list[socket.socket]:
    """Return sockets for the ports of the node, the one in clear text first.

    Raises
    ------
    ConfigError
        If nobody can listen there.
    """
    host, found = config.receive.host, []
    for port in config.receive.ports:
        try:
            found.append(server.listening_socket(host, port))
        except OSError as error:
            for one in found:
                one.close()
            raise ConfigError(
                f"receive: cannot listen on {host}:{port}: {error.strerror}"
            ) from error
    return found


def entrances(
    config: NodeConfig, listening: Sequence[socket.socket], tls: KeptTls | None
) -> list[server.Entrance]:
    """Return the sockets of `listening_sockets` with what is spoken on each."""
    spoken = [None] * (config.receive.port is not None) + [tls] * (tls is not None)
    return [server.Entrance(*one) for one in zip(listening, spoken, strict=True)]


# complete, route, infer, encode


def limits(config: NodeConfig) -> Limits:
    """Return how long things may take."""
    return Limits(
        lease=timedelta(seconds=config.infer.lease_seconds),
        lost_attempts=config.infer.attempts,
    )


def work(config: NodeConfig, woken: Bells | None = None) -> Work:
    """Return the desk that turns series into objects, with its workers starting.

    Its workers are not waited for while one of `woken` rings.
    """

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
            config.infer.devices,
            partial(inference_worker, config, model_folders(config)),
            ear=None if woken is None else woken.infer,
        ),
        encoding=LocalProcesses(
            ["encoder"],
            partial(encoding_worker, config, model_folders(config), node_serial(config)),
            ear=None if woken is None else woken.encode,
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


def tidings(config: NodeConfig, desk: Work) -> Tidings:
    """Return the chore that enters in the ledger how far what is at work is."""
    return Tidings((desk.inference, desk.encoding), ledger(config).note_progress)


def sampler(config: NodeConfig, desk: Work) -> Sampler:
    """Return the chore that measures how busy the devices are."""
    return Sampler(
        machine=socket.gethostname(),
        executors=(desk.inference, desk.encoding),
        look_up=by_library(),
        keep=ledger(config).note_use,
        now=now,
    )


def retention(config: NodeConfig) -> Callable[[], object]:
    """Return the chore that removes what has been delivered and is old, or is in the way."""
    policy = Policy(
        keep=timedelta(days=config.store.keep_days),
        # Begin to make room before the receivers have to say no.
        min_free_bytes=2 * config.store.min_free_bytes,
        proving=frozenset(proving(configuration.destinations(config))),
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
