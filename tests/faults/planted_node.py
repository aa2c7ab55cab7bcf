"""A small node in one process, with faults planted by its environment: what `entry` runs.

Every desk is the product's own, with the real ledger, blobs, executor, receivers and senders; only
the workers are light. `DAN_CRASH` names the point at which it dies, `DAN_POWER` lets the unsynced
go with it, `DAN_PLANT` names what it does wrong, and the file in `DAN_CLOCK` says how many seconds
its clock is ahead.
"""

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import structlog
import uvicorn

from dicom_ai_node import compose, log
from dicom_ai_node import config as configuration
from dicom_ai_node.complete.evidence import Patience
from dicom_ai_node.compose.desks import guest_limits, inbox
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.domain.destination import DimsePeer, WebPeer
from dicom_ai_node.domain.orders import Before
from dicom_ai_node.domain.ports import Blobs, Ledger, Sender  # noqa: TC001 - one way to import
from dicom_ai_node.domain.study import Arrival, Received  # noqa: TC001 - one way to import
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.encode.made import objects_in
from dicom_ai_node.infer.executor import LocalProcesses
from dicom_ai_node.orders import OrderBook
from dicom_ai_node.pipeline import Dispatch, Reception, Work
from dicom_ai_node.receive.dimse import DimseListener
from dicom_ai_node.receive.peers import AllowedPeer
from dicom_ai_node.receive.server import Entrance, listening_socket
from dicom_ai_node.receive.web import store_router
from dicom_ai_node.roles import Loop
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.doors import OpenDoor
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.supervise import Stop, die_with_parent
from tests.faults import planted
from tests.faults.failing_sync import be_traced
from tests.faults.planted import DyingBlobs, Fuse, PowerCut
from tests.faults.workers import Encoding, Inference


@dataclass(frozen=True, slots=True, kw_only=True)
class DyingReception(Reception):
    """A desk that may die between the commit and the answer."""

    fuse: Fuse

    def record(self, arrivals: "list[Arrival]") -> "list[Received]":  # type: ignore[override]
        """Record, and perhaps die."""
        received = Reception.record(self, arrivals)
        self.fuse("recorded")
        return list(received)


class PlantedNode:
    """What runs in this process."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.stop = Stop()
        self.plant = os.environ.get("DAN_PLANT", "")
        power = PowerCut(config.store.folder)
        lost = power.cut if os.environ.get("DAN_POWER") else lambda: None
        self.fuse = Fuse(os.environ.get("DAN_CRASH", ""), lost)
        kind = planted.BLOBS.get(self.plant, DyingBlobs)
        self.blobs: Blobs = kind(config.store.folder, self.fuse)
        if os.environ.get("DAN_POWER"):
            power.install()
        database = open_database(config.store.database_url)
        planted.dies_before_commit(database, self.fuse)
        self.ledger: Ledger = planted.planted_ledger(self.plant, database, self.fuse)
        self.clock = Path(os.environ["DAN_CLOCK"])

    def now(self) -> datetime:
        """Return the time by the clock of this node."""
        return compose.now() + timedelta(seconds=float(self.clock.read_text() or 0))

    def reception(self) -> Reception:
        """Return the desk that takes instances in."""
        desk = compose.reception(self.config)
        return DyingReception(
            blobs=self.blobs, ledger=self.ledger, quiet=desk.quiet,
            released_quiet=desk.released_quiet, keep_free_bytes=desk.keep_free_bytes,
            now=self.now, wake=desk.wake, fuse=self.fuse,
        )  # fmt: skip

    def listener(self, desk: Reception) -> DimseListener:
        """Return the listener for DIMSE."""
        return DimseListener(
            ae_title=AETitle(self.config.receive.ae_title),
            accept_from=[
                AllowedPeer(
                    ae_title=AETitle(peer.ae_title),
                    network=None if peer.address is None else ip_network(peer.address),
                )
                for peer in self.config.receive.accept_from
            ],
            blobs=desk.blobs,
            inbox=inbox(self.config, desk),
            limits=guest_limits(self.config),
        )

    def web(self, desk: Reception) -> uvicorn.Server:
        """Return the server for STOW-RS."""
        depot = compose.depot(self.config, desk)
        app = application(OpenDoor(), [store_router(depot, needs(Role.SENDER))])
        assert self.config.serve is not None
        answers = uvicorn.Config(
            app, host="127.0.0.1", port=self.config.serve.port, log_config=None,
            access_log=False, lifespan="off",
        )  # fmt: skip
        return uvicorn.Server(answers)

    def work(self) -> Work:
        """Return the desk between reception and delivery."""
        config, routes = self.config, configuration.routes(self.config)
        folder = config.store.folder / "work"
        times = config.complete.times("CT")
        patience = Patience(
            quiet=timedelta(seconds=times.quiet_seconds),
            released_quiet=timedelta(seconds=times.released_quiet_seconds),
            longest=timedelta(seconds=times.patience_seconds),
        )
        return Work(
            blobs=self.blobs, ledger=self.ledger, folder=folder, routes=routes,
            models=compose.models(config),
            inference=LocalProcesses(list(config.infer.devices), Inference),
            encoding=LocalProcesses(["encoder"], Encoding),
            orders=OrderBook(
                blobs=self.blobs, ledger=self.ledger, folder=folder, routes=routes,
                accepts=lambda _name, _uid: True, limit_seconds=config.infer.limit_seconds,
                before=lambda _: Before(), priors=lambda *_: (),
            ),
            objects_in=objects_in, place=lambda *_: None, patience=lambda _: patience,
            limits=compose.limits(config), now=self.now,
        )  # fmt: skip

    def dispatch(self) -> Dispatch:
        """Return the desk that delivers; it waits less long for a silent peer."""
        senders: dict[str, Sender] = {}
        for name, peer in configuration.destinations(self.config).items():
            match peer:
                case DimsePeer():
                    senders[name] = DimseSender(peer, connect_seconds=2, dimse_seconds=3)
                case WebPeer():
                    senders[name] = WebSender(peer)
                case _:
                    senders[name] = compose.sender(peer)
            if self.plant == planted.A_SECOND_UID:
                senders[name] = planted.TwofoldSender(senders[name], self.config.store.folder)
        found = compose.dispatch(self.config)
        return replace(found, blobs=self.blobs, ledger=self.ledger, senders=senders, now=self.now)

    def run(self) -> int:
        """Run until SIGTERM."""
        signal.signal(signal.SIGTERM, lambda *_: self.stop.set())
        desk, work, dispatch = self.reception(), self.work(), self.dispatch()
        listener, web = self.listener(desk), self.web(desk)
        listener.commit_with(compose.notary(self.config))
        listening = listening_socket("127.0.0.1", self.config.receive.port)
        threading.Thread(target=listener.serve, args=([Entrance(listening)],), daemon=True).start()
        threading.Thread(target=web.run, daemon=True).start()
        while not web.started:  # else who sends at once finds nobody there
            time.sleep(0.01)
        proving = replace(compose.proving_desk(self.config), ledger=self.ledger, now=self.now)
        heard_since = self.now()
        loop = partial(Loop, stop=self.stop, rest=lambda _: 0.25)
        loops = [
            loop(lambda: work.infer() + work.collect(work.inference, 0.1)),
            loop(lambda: work.encode() + work.collect(work.encoding, 0.1)),
            loop(lambda: work.settle(heard_since)),
            loop(work.keep_alive),
            *(loop(partial(dispatch.deliver, name)) for name in dispatch.senders),
            *(loop(partial(proving.ask, name)) for name in proving.askers),
        ]
        for each in loops:
            each.start()
        self._misbehave()
        structlog.get_logger().info("node_ready")
        while not self.stop.wait(0.2) and all(each.is_alive() for each in loops):
            pass
        status = 0 if self.stop.is_set() else 1
        self.stop.set()
        listener.close(grace_seconds=5)
        web.should_exit = True
        for each in loops:
            each.join(10)
        work.inference.close()
        work.encoding.close()
        work.give_back()
        return status

    def _misbehave(self) -> None:
        if self.plant == planted.A_LEAK:
            threading.Timer(3.0, planted.leak_descriptors).start()
        if self.plant == planted.AN_ORPHAN:
            planted.leave_a_child()
        if self.plant == planted.A_NAME:
            from tests.phantoms import CANARY  # noqa: PLC0415 - it is slow to import

            sys.stderr.write(f"stored {CANARY}\n")


def serve(path: Path) -> int:
    """Read the configuration and run, no longer than who has started it."""
    die_with_parent()
    be_traced()
    log.configure(debug=True)
    config = compose.settings(path)
    compose.prepare(config)
    return PlantedNode(config).run()
