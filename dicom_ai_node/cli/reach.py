"""Ways from the command line to a node: its ledger, its jobs, and how to send to it."""

import re
import socket

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig, read_once, routes, secrets_in
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import ConfigError, ModelUnusable, NeedsAttention
from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.ports import Sender
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.infer.sealed import SealedFolder
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import has_ledger

MOST_NAMED = 5
"""How many jobs an ambiguous name is answered with."""


_PLACELESS = frozenset({"CR", "DX", "ES", "GM", "IO", "MG", "PX", "RF", "SM", "US", "XA", "XC"})
"""Modalities whose images have no place in the patient."""


def check(config: NodeConfig) -> None:
    """Look at what a configuration points to: secrets, keys, and every model in a route.

    Raises
    ------
    ConfigError
        If a secret or a key is not there, or a model folder says something that cannot be, is of
        another kind than its route runs, or can run code and nobody vouches for it.
    """
    read_once(secret for _, secret in secrets_in(config))
    trust, models = compose.catalog(config).trust, compose.models(config)
    mistakes = [
        f"routes.{route.name}: {route.model} is of kind {kind}, so write `run: {kind}`"
        for route in config.routes
        if route.run != (kind := models[route.model].kind)
    ]
    mistakes += [
        f"routes: {route.name}: {misfits}"
        for route in routes(config)
        if (misfits := models[route.model].misfits([one.name for one in route.inputs]))
    ]
    mistakes += [
        f"routes.{route.name}: a parametric map needs images with a frame of reference, and "
        f"{route.model} looks at {', '.join(models[route.model].modality)}"
        for route in config.routes
        if "parametric_map" in route.write and set(models[route.model].modality) <= _PLACELESS
    ]
    for facts in models.values():
        try:
            trust.require(SealedFolder(facts.folder), facts.network.format)
        except ModelUnusable as no:
            mistakes.append(str(no))
    try:
        unguarded(config)
    except ConfigError as wrong:
        mistakes.append(str(wrong))
    if config.similar is not None and compose.similar_model(config).kind != "retrieve":
        mistakes.append(f"similar: {config.similar.model} is not of kind retrieve")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    compose.tls(config)
    compose.check_dicom_tls(config)
    compose.audit_way(config)


def judge_settings(config: NodeConfig) -> None:
    """Let the kind of every model that a route names read the settings of that model.

    Raises
    ------
    ConfigError
        With every mistake, one a line.
    """
    from dicom_ai_node.infer.kinds import settings_of  # noqa: PLC0415 - it brings torch

    mistakes = []
    for facts in compose.models(config).values():
        try:
            settings_of(facts)
        except ConfigError as wrong:
            mistakes.append(str(wrong))
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def unguarded(config: NodeConfig) -> list[str]:
    """Return the routes whose model has no guard.

    Raises
    ------
    ConfigError
        If such a route says what its guard shall do; one mistake a line.
    """
    facts = compose.models(config)
    found = [route for route in config.routes if facts[route.model].guard is None]
    asked = [route for route in found if route.guard in {"warn", "purify", "refuse"}]
    if asked:
        raise ConfigError(
            "\n".join(f"routes.{one.name}.guard: {one.model} has no guard" for one in asked)
        )
    return [route.name for route in found]


def ledger_of(config: NodeConfig) -> SqlLedger:
    """Return the ledger of a node that has run before; make nothing.

    Raises
    ------
    NeedsAttention
        If it has not.
    """
    if not has_ledger(config.store.database_url):
        raise NeedsAttention(
            f"there is no ledger for {config.store.folder}: this node has never been started"
        )
    return compose.ledger(config)


def job_called(ledger: SqlLedger, name: str) -> Job:
    """Return the job whose key begins with `name`.

    Raises
    ------
    NeedsAttention
        If there is none, or more than one.
    """
    found = ledger.jobs_called(name.strip().lower(), MOST_NAMED + 1)
    match list(found):
        case [one]:
            return one
        case []:
            raise NeedsAttention(f"no job is called {name}; `dicom-ai-node jobs` lists them")
        case several:
            names = ", ".join(one.name for one in several[:MOST_NAMED])
            more = " and more" if len(several) > MOST_NAMED else ""
            raise NeedsAttention(f"{name} is the start of several jobs: {names}{more}")


def is_listening(config: NodeConfig) -> bool:
    """Return whether anything listens on the port of the node."""
    try:
        with socket.create_connection((_here(config), config.receive.ports[0]), timeout=1.0):
            return True
    except OSError:
        return False


def _here(config: NodeConfig) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.receive.host, config.receive.host)  # noqa: S104 - not bound, asked


def sender_to(config: NodeConfig, to: str, calling: str) -> Sender:
    """Return the way to `HOST:PORT/AE_TITLE`, or to this node, then over TLS if it must be.

    Raises
    ------
    ConfigError
        If `to` is not of this form.
    """
    form = re.fullmatch(r"(?P<host>.+):(?P<port>[0-9]+)/(?P<ae_title>.{1,16})", to)
    if to and form is None:
        raise ConfigError(f"{to} is not of the form HOST:PORT/AE_TITLE")
    here = _here(config), str(config.receive.ports[0]), config.receive.ae_title
    host, port, ae_title = form.group("host", "port", "ae_title") if form else here
    known = [p.ae_title for p in config.receive.accept_from if p.ae_title != "*"]
    return compose.sender(
        DimsePeer(
            ae_title=AETitle(ae_title),
            host=host,
            port=int(port),
            calling_ae_title=AETitle(calling or (known or ["DICOM_AI_NODE"])[0]),
            tls=None if form else compose.tls_to_itself(config),
        )
    )
