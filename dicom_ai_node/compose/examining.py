"""The doctor, put together: which checks there are, and what each of them looks at."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

from pydicom.uid import UID
from pynetdicom.presentation import build_context

import dicom_ai_node
from dicom_ai_node import config as configuration
from dicom_ai_node.compose.ground import catalog, now, settings
from dicom_ai_node.compose.secured import dicom_pairs
from dicom_ai_node.compose.window import https_pair
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.config.watching import MailTarget
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.doctor import beyond, keys, ledger, machine, ports, processes, store
from dicom_ai_node.doctor.finding import Check, Finding, fault, ok
from dicom_ai_node.domain.destination import (
    Destination,
    DimsePeer,
    FolderPeer,
    WebPeer,
    proving,
)
from dicom_ai_node.domain.errors import ConfigError, PeerUnavailable
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.infer.sealed import SealedFolder
from dicom_ai_node.store.backup import RESTORING
from dicom_ai_node.store.blobs import blob_path, verify
from dicom_ai_node.store.inspection import Inspection
from dicom_ai_node.tls.files import Pair

PACKAGE = "dicom-ai-node"
_VERIFICATION = UID("1.2.840.10008.1.1")
_CONNECT_SECONDS = 5.0
_FILES_PER_ASSOCIATION = 4
_FILES_BESIDE = 512


def examination(
    path: Path, judge: Callable[[NodeConfig], object], *, thorough: bool = False
) -> list[Check]:
    """Return everything to look at for the configuration at `path`, in the order of the report.

    `judge` raises `ConfigError` for what a configuration that can be read still has wrong.
    """
    checks = [*_of_the_machine(), Check("configuration", partial(_configuration, path, judge))]
    try:
        config = settings(path)
    except ConfigError:
        return [*checks, *_of_a_folder(configuration.store_folder(path))]
    return [*checks, *_of_the_node(config, thorough=thorough)]


def _of_the_machine() -> Iterator[Check]:
    package = Path(dicom_ai_node.__file__).parent
    tested = (package / "constraints.txt", package.parent / "constraints.txt")
    yield Check("python", machine.python)
    yield Check("packages", partial(machine.packages, PACKAGE, tested))
    yield Check("clock", partial(machine.clock, now, machine.synchronized))
    yield Check("time zone", machine.time_zone)
    yield Check("systemd", partial(machine.service, machine.unit))


def _configuration(path: Path, judge: Callable[[NodeConfig], object]) -> Iterator[Finding]:
    try:
        judge(settings(path))
    except ConfigError as mistakes:
        for line in str(mistakes).splitlines():
            yield fault(
                "configuration", line, "mend this line; `dicom-ai-node check` looks at it again"
            )
    else:
        yield ok("configuration", f"{path}, read by version {version(PACKAGE)}")


def _of_a_folder(folder: Path | None) -> Iterator[Check]:
    """Yield what can be asked even where the configuration is broken."""
    if folder is None:
        return
    yield Check("node", partial(machine.running, folder))
    yield Check("store", lambda: store.folder(folder, processes.account_of_node(folder)))
    yield Check("store", partial(store.own_files, folder))
    yield Check("restore", partial(store.restoration, folder, RESTORING))
    yield Check("file system", partial(store.one_file_system, folder))
    yield Check("disk", partial(store.durable, folder))


def _of_the_node(config: NodeConfig, *, thorough: bool) -> Iterator[Check]:
    receive, infer, folder = config.receive, config.infer, config.store.folder
    needed = receive.max_associations * _FILES_PER_ASSOCIATION + _FILES_BESIDE
    yield Check("open files", partial(machine.open_files, needed))
    wanted = infer.max_pixels_bytes * len(infer.devices)
    yield Check("memory", partial(machine.memory, wanted))
    yield from _of_a_folder(folder)
    keep_free = config.store.min_free_bytes
    yield Check("room", partial(store.room, folder, keep_free))
    look = cache(lambda: Inspection(config.store.database_url, thorough=thorough))
    yield from _of_the_ledger(config, look, thorough=thorough)
    yield Check("room", partial(store.promises, folder, keep_free, lambda: look().promised))
    for number in receive.ports:
        yield Check("ports", partial(ports.port, "receive.port", receive.host, number, folder))
    if config.serve is not None:
        serve = config.serve
        yield Check("ports", partial(ports.port, "serve.port", serve.host, serve.port, folder))
    yield from _of_keys(config)
    yield from _of_what_lies_beyond(config, look)
    yield Check("torch", partial(beyond.gpus, infer.devices, beyond.ask_torch))


def _of_the_ledger(
    config: NodeConfig, inspect: Callable[[], Inspection], *, thorough: bool
) -> Iterator[Check]:
    def seen() -> ledger.Seen:
        found = inspect()
        return ledger.Seen(
            schema=found.schema,
            known=found.head,
            is_known=found.schema in found.revisions,
            damage=found.damage,
            newest=found.newest,
            digests=found.digests,
        )

    def read(digest: Sha256) -> None:
        verify(blob_path(config.store.folder, digest))

    yield Check("ledger", partial(ledger.ledger, seen, now))
    named = partial(ledger.objects, lambda: seen().digests, read, all_of_them=thorough)
    yield Check("objects", named)


def _of_keys(config: NodeConfig) -> Iterator[Check]:
    for one in _pairs(config):
        yield Check("certificates", partial(keys.certificate, one, now))
    for where, said in configuration.secrets_in(config):
        place = ".".join(map(str, where))
        if said.file is not None:
            yield Check("secrets", partial(keys.secret, place, said.file))
        elif said.environment is not None:
            yield Check("secrets", partial(keys.secret_in_environment, place, said.environment))
        elif said.credential is not None:
            yield Check("secrets", partial(keys.secret_of_the_unit, place, said.credential))


def _pairs(config: NodeConfig) -> Iterator[Pair]:
    if (pair := https_pair(config)) is not None:
        yield pair
    with suppress(ConfigError):  # a secret of a destination is not there, which is said elsewhere
        yield from dicom_pairs(config)


def _of_what_lies_beyond(config: NodeConfig, look: Callable[[], Inspection]) -> Iterator[Check]:
    try:
        found: Mapping[str, Destination] = configuration.destinations(config)
    except ConfigError:  # a secret is not there, which another check has said
        found = {}
    for name, peer in found.items():
        yield Check("destinations", partial(beyond.destination, name, partial(_answer_of, peer)))
    for name in proving(found):
        yield Check("proofs", partial(beyond.proofs, name, partial(_in_vain, look, name)))
    for place, host, port in _services(config):
        yield Check("services", partial(beyond.connects, place, host, port))
    names = {route.model for route in config.routes}
    for name in sorted(names):
        yield Check("models", partial(beyond.model, name, partial(_vouched, config, name)))


def _in_vain(look: Callable[[], Inspection], name: str) -> tuple[int, datetime | None, str]:
    found = look().unproven.get(name)
    return (0, None, "") if found is None else (found.objects, found.since, found.note)


def _services(config: NodeConfig) -> Iterator[tuple[str, str, int]]:
    said = config.audit.to
    if said is not None and said.transport != "udp":
        yield "audit.to", said.host, said.port
    for name, target in config.watch.notify.items():
        if isinstance(target, MailTarget):
            yield f"watch.notify.{name}", target.host, target.port


def _answer_of(peer: Destination) -> str:
    match peer:
        case DimsePeer():
            sender = DimseSender(peer, connect_seconds=_CONNECT_SECONDS, dimse_seconds=10.0)
            with sender.associate([build_context(_VERIFICATION)]) as association:
                status = association.send_c_echo().get("Status")
            if status != 0:
                raise PeerUnavailable(f"{peer.ae_title} does not answer C-ECHO with success")
            return f"{peer.ae_title} has answered C-ECHO"
        case WebPeer():
            if not WebSender(peer, connect_seconds=_CONNECT_SECONDS, answer_seconds=10.0).accepts(
                ""
            ):
                raise PeerUnavailable(f"{peer.url} does not answer, or does not let us in")
            return f"{peer.url} has answered"
        case FolderPeer():
            return beyond.folder_takes(peer.folder)


def _vouched(config: NodeConfig, name: str) -> str:
    found = catalog(config)
    found.verify(name)
    trust, sealed = found.trust, SealedFolder(found.folder(name))
    format_ = found.facts(name).network.format
    trust.require(sealed, format_)
    return trust.of(sealed, format_)
