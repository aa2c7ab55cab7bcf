"""The audit trail, put together: who tells, where patients are looked up, and the way to it."""

import random
import socket
import ssl
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from dicom_ai_node import config as configuration
from dicom_ai_node.compose.ground import archive, now
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.config.auditing import Repository as Said
from dicom_ai_node.deliver.backoff import next_try
from dicom_ai_node.domain.archive import Key, Level, Query
from dicom_ai_node.domain.audit import Participant
from dicom_ai_node.domain.destination import DimsePeer, FolderPeer, WebPeer
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.store.audit import SqlTrail
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.watch.audit_message import Source
from dicom_ai_node.watch.auditor import Auditor
from dicom_ai_node.watch.notebook import Notebook
from dicom_ai_node.watch.syslog import Repository, Syslog

_STUDY, _PATIENT_ID = "0020000D", "00100020"


def trail(config: NodeConfig) -> SqlTrail:
    """Return the audit trail as one process uses it."""
    return SqlTrail(open_database(config.store.database_url))


def notebook(config: NodeConfig) -> Notebook:
    """Return where those who answer HTTP write down who has looked; it has to be started."""
    return Notebook(trail(config))


def auditor(config: NodeConfig) -> Auditor:
    """Return the desk that keeps the trail.

    Raises
    ------
    ConfigError
        If a certificate is not where the file says.
    """
    held, source = archive(config), _source(config)

    def patient(study: str) -> str:
        # Asking the archive makes it read headers, and names, which a node that answers nobody
        # has no reason to keep.
        if config.serve is None:
            return ""
        query = Query(level=Level.STUDY, keys=(Key(path=(_STUDY,), value=study),), limit=1)
        for header in held.search(query):
            return str(next(iter(header.get(_PATIENT_ID, {}).get("Value", [])), ""))
        return ""

    def later(attempts: int, at: datetime) -> datetime:
        return next_try(attempts, at, random.random())  # noqa: S311 - so that not all come at once

    days = config.audit.keep_days
    return Auditor(
        trail=trail(config),
        source=source,
        patient=patient,
        peers=_peers(config),
        way=audit_way(config),
        keep=None if days is None else timedelta(days=days),
        now=now,
        next_try=later,
    )


def audit_way(config: NodeConfig) -> Syslog | None:
    """Return the way to the audit repository, `None` without one.

    Raises
    ------
    ConfigError
        If a certificate cannot be used.
    """
    said = config.audit.to
    if said is None:
        return None
    repository = Repository(
        host=said.host,
        port=said.port,
        transport=said.transport,
        context=_context(said) if said.transport == "tls" else None,
    )
    source = _source(config)
    return Syslog(repository, host=source.host, process=source.process)


def _context(said: Said) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=said.trusted)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if said.certificate is not None:
            context.load_cert_chain(said.certificate, said.key, lambda: b"")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"audit.to: a certificate or a key cannot be used ({type(error).__name__})"
        ) from error
    return context


def _source(config: NodeConfig) -> Source:
    return Source.here(config.receive.ae_title, socket.gethostname())


def _peers(config: NodeConfig) -> Mapping[str, Participant]:
    found: dict[str, Participant] = {}
    for name, peer in configuration.destinations(config).items():
        match peer:
            case DimsePeer():
                told = Participant(name=peer.ae_title, ae_title=peer.ae_title, address=peer.host)
            case WebPeer():
                told = Participant(name=name, address=urlsplit(peer.url).hostname or "")
            case FolderPeer():
                told = Participant(name=name)
        found[name] = told
    return found
