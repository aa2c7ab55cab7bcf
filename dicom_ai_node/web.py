"""What runs in the process that answers HTTP. No other process carries FastAPI."""

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from importlib.metadata import version

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from dicom_ai_node import compose
from dicom_ai_node.compose.console import console_desk
from dicom_ai_node.config import NodeConfig, serve_token
from dicom_ai_node.config.serving import Serve
from dicom_ai_node.domain.accounts import GIVEN, Role
from dicom_ai_node.domain.errors import ConfigError, NodeError
from dicom_ai_node.receive.server import listening_socket
from dicom_ai_node.receive.web import store_router
from dicom_ai_node.serve.access import Access, needs
from dicom_ai_node.serve.api import api_router
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.audited import Audited
from dicom_ai_node.serve.console import console_routers
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.counted import Counted
from dicom_ai_node.serve.deadlines import Patient
from dicom_ai_node.serve.dicomweb.capabilities import capabilities_router
from dicom_ai_node.serve.dicomweb.commitment import commitment_router
from dicom_ai_node.serve.dicomweb.delete import delete_router
from dicom_ai_node.serve.dicomweb.retrieve import retrieve_routers
from dicom_ai_node.serve.dicomweb.search import search_router
from dicom_ai_node.serve.dicomweb.sending import STALLED_SECONDS
from dicom_ai_node.serve.dicomweb.workitem_watching import channel_router, watching_router
from dicom_ai_node.serve.dicomweb.workitems import workitems_router
from dicom_ai_node.serve.doors import OpenDoor
from dicom_ai_node.serve.forwarded import Forwarded
from dicom_ai_node.serve.health import health_router
from dicom_ai_node.serve.login import AccountsDoor, Stay
from dicom_ai_node.serve.login_pages import login_router
from dicom_ai_node.serve.metrics import metrics_router
from dicom_ai_node.serve.openapi import openapi_router
from dicom_ai_node.serve.password_check import PasswordCheck
from dicom_ai_node.serve.passwords import Passwords
from dicom_ai_node.serve.pictures import pictures_router
from dicom_ai_node.serve.refusals import forbidden, unknown
from dicom_ai_node.serve.shield import Shield
from dicom_ai_node.serve.similar import similar_router
from dicom_ai_node.serve.tokens import Bearer, Provider
from dicom_ai_node.serve.viewer.router import viewer_router
from dicom_ai_node.tls.renewal import Renewal
from dicom_ai_node.watch import metrics
from dicom_ai_node.watch.alarms import Alarms
from dicom_ai_node.watch.notebook import Notebook
from dicom_ai_node.watch.requests import Requests

log = structlog.get_logger()

MOST_CONNECTIONS = 512
"""With more than that open, whoever asks hears 503."""
GRACE_SECONDS = 5
"""How long an answer that has begun may take after the signal to stop."""

MEASURED = timedelta(minutes=3)
"""A device that was measured last before that is no longer there, or nobody measures it."""

MOST_SOCKET_BYTES = 64 * 1024
"""Of one message over a WebSocket: whoever listens for reports has little to say."""


def guarded(config: NodeConfig, told: Notebook) -> ASGIApp:
    """Return what a server runs: the application, with what stands before every route of it."""
    requests = Requests()
    inner = Audited(served(config, requests, Alarms(told, compose.now)), told, compose.now)
    shield = Shield(inner, names(config))
    return Forwarded(Counted(shield, requests.answered), _section(config).behind_proxy)


def served(
    config: NodeConfig, requests: Requests | None = None, alarms: Alarms | None = None
) -> FastAPI:
    """Return what answers: every wing behind the same door."""
    alarms = alarms or Alarms(compose.trail(config), compose.now)
    opened, all_wings = door(config, alarms), wings(config, requests or Requests())
    if not isinstance(opened, AccountsDoor):
        return application(opened, list(all_wings))
    app = application(opened, [login_router(opened), *all_wings])
    app.add_exception_handler(401, unknown)
    app.add_exception_handler(403, forbidden)
    return app


def door(config: NodeConfig, alarms: Alarms) -> Access:
    """Return what knows who asks."""
    serve = _section(config)
    if serve.login == "none":
        return OpenDoor()
    accounts = compose.accounts(config)
    return AccountsDoor(
        accounts,
        PasswordCheck(accounts, Passwords(), compose.now, alarms.login),
        Bearer(accounts, serve_token(config), provider(config), compose.now),
        compose.now,
        Stay(
            idle=timedelta(minutes=serve.idle_minutes), longest=timedelta(hours=serve.session_hours)
        ),
    )


def provider(config: NodeConfig) -> Provider | None:
    """Return what knows the tokens of an identity provider.

    Raises
    ------
    ConfigError
        If what reads them is not installed.
    """
    oidc = _section(config).oidc
    if oidc is None:
        return None
    try:
        from dicom_ai_node.serve.oidc import Issuer, Jwks, JwtProvider  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError("serve.oidc: pip install 'dicom-ai-node[oidc]'") from error
    issuer = Issuer(
        name=oidc.issuer,
        audience=oidc.audience,
        roles_claim=oidc.roles_claim,
        roles={one: Role(one) for one in GIVEN}
        if oidc.roles is None
        else {said: Role(role) for said, role in oidc.roles.items()},
        name_claim=oidc.name_claim,
    )
    return JwtProvider(issuer, Jwks(oidc.jwks_url or oidc.jwks_file or ""), compose.now)


def names(config: NodeConfig) -> frozenset[str]:
    """Return what the node is called in URLs: as configured, by the machine, in its certificate."""
    serve = _section(config)
    own = {*serve.names, socket.gethostname().lower()}
    if (pair := compose.https_pair(config)) is not None:
        own |= pair.names()
    return frozenset(own)


def wings(config: NodeConfig, requests: Requests) -> Iterator[APIRouter]:
    """Yield the routers of everything that is served."""
    ledger = compose.ledger(config)
    reception = compose.reception(config)

    def troubles() -> list[str]:
        try:
            reception.room()
            ledger.pending()
        except NodeError as trouble:
            return [str(trouble)]
        return []

    def exposition() -> bytes:
        free_bytes, now = reception.blobs.free_bytes(), compose.now()
        return metrics.exposition([
            metrics.Node(ledger.numbers(), free_bytes, version("dicom-ai-node"), now),
            metrics.Devices(ledger.device_use(now - MEASURED)),
            metrics.Certificates(compose.expiry(config)),
            requests,
        ])  # fmt: skip

    archive, path = compose.archive(config), compose.blobs(config).path
    darkroom = compose.darkroom(config)
    # Routes are tried in this order: what is asked for a thousand times a minute comes first.
    yield store_router(compose.depot(config, reception), needs(Role.SENDER))
    yield from retrieve_routers(archive, path, darkroom)
    yield search_router(archive)
    yield health_router(troubles)
    yield metrics_router(exposition, metrics.CONTENT_TYPE)
    yield openapi_router()
    yield capabilities_router()
    yield pictures_router(archive, path, darkroom)
    yield viewer_router(compose.viewer(config))
    yield delete_router(compose.deletion(config))
    worklist = compose.worklist(config)
    yield workitems_router(worklist, compose.now)
    yield watching_router(worklist)
    yield channel_router(worklist)
    yield commitment_router(compose.commitments(config), compose.now)
    if config.similar is not None:
        yield similar_router(ledger, compose.similar_model(config).digest)
    yield from desk_wings(console_desk(config))


def desk_wings(desk: Desk) -> Iterator[APIRouter]:
    """Yield the two ways in which the desk is seen: as JSON, and as pages."""
    yield api_router(desk)
    yield from console_routers(desk)


class WebServer(threading.Thread):
    """Listens and answers until it is closed.

    Raises
    ------
    ConfigError
        If nobody can listen there, or the certificate cannot be used.
    """

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(daemon=True)
        serve = _section(config)
        host, port = serve.host, serve.port
        context, pair = compose.tls(config), compose.https_pair(config)
        self.renewal: Renewal | None = None
        if context is not None and pair is not None:
            self.renewal = Renewal(pair.files, partial(pair.load, context))
        self.notebook = compose.notebook(config)
        # Nothing of a request reaches a log: a path holds UIDs.
        self._server = uvicorn.Server(
            uvicorn.Config(
                guarded(config, self.notebook),
                log_config=None,
                access_log=False,
                server_header=False,
                ssl_context_factory=None if context is None else lambda *_: context,
                proxy_headers=False,  # `Forwarded` reads them
                http=Patient,
                limit_concurrency=MOST_CONNECTIONS,
                loop="uvloop",
                lifespan="off",
                ws="websockets-sansio",
                ws_max_size=MOST_SOCKET_BYTES,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        for advice in compose.advice(config):
            log.warning("serve_advice", reason=advice)
        try:
            self._socket = listening_socket(host, port)
            impatient(self._socket, STALLED_SECONDS)
        except OSError as error:
            raise ConfigError(f"serve: cannot listen on {host}:{port}: {error.strerror}") from error

    def run(self) -> None:
        """Answer."""
        self.notebook.start()
        if self.renewal is not None:
            self.renewal.start()
        self._server.run(sockets=[self._socket])

    def close(self) -> None:
        """Finish what has begun."""
        if self.renewal is not None:
            self.renewal.close()
        self._server.should_exit = True
        self.join(2 * GRACE_SECONDS)
        self.notebook.close()


def _section(config: NodeConfig) -> Serve:
    if config.serve is None:
        raise ConfigError("there is no section `serve`")
    return config.serve


def impatient(listening: socket.socket, seconds: float) -> None:
    """Let the kernel end connections whose other side takes nothing for so long.

    An answer notices that, too, but what it has handed over by then would wait for ever.
    """
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))
