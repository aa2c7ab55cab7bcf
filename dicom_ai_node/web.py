"""What runs in the process that answers HTTP. No other process carries FastAPI."""

import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI

from dicom_ai_node import compose
from dicom_ai_node.compose.window import console_desk
from dicom_ai_node.config import NodeConfig, serve_token
from dicom_ai_node.config.sections import Tls
from dicom_ai_node.domain.errors import ConfigError, NodeError
from dicom_ai_node.receive.server import listening_socket
from dicom_ai_node.serve.access import Access
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.console import console_routers
from dicom_ai_node.serve.doors import OpenDoor, TokenDoor
from dicom_ai_node.serve.health import health_router
from dicom_ai_node.serve.metrics import metrics_router
from dicom_ai_node.serve.similar import similar_router
from dicom_ai_node.watch import metrics

GRACE_SECONDS = 5
"""How long an answer that has begun may take after the signal to stop."""


def served(config: NodeConfig) -> FastAPI:
    """Return what answers: every wing behind the same door."""
    return application(door(config), list(wings(config)))


def door(config: NodeConfig) -> Access:
    """Return what knows who asks.

    Raises
    ------
    ConfigError
        If nobody could come in.
    """
    if config.serve is None:
        raise ConfigError("there is no section `serve`")
    if config.serve.login == "none":
        return OpenDoor()
    token = serve_token(config)
    if token is None:
        raise ConfigError("serve: nobody could come in; give a token, or login: none on loopback")
    return TokenDoor(token)


def wings(config: NodeConfig) -> Iterator[APIRouter]:
    """Yield the routers of everything that is served."""
    ledger = compose.ledger(config)
    reception = compose.reception(config)

    def troubles() -> list[str]:
        try:
            reception.room()
            ledger.counts()
        except NodeError as trouble:
            return [str(trouble)]
        return []

    def exposition() -> bytes:
        free_bytes = reception.blobs.free_bytes()
        return metrics.exposition(
            ledger.numbers(), free_bytes, version("dicom-ai-node"), compose.now()
        )

    yield health_router(troubles)
    yield metrics_router(exposition, metrics.CONTENT_TYPE)
    if config.similar is not None:
        yield similar_router(ledger, compose.similar_model(config).digest)
    yield from console_routers(console_desk(config))


class WebServer(threading.Thread):
    """Listens and answers until it is closed.

    Raises
    ------
    ConfigError
        If nobody can listen there, or nobody could come in.
    """

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(daemon=True)
        if config.serve is None:
            raise ConfigError("there is no section `serve`")
        host, port = config.serve.host, config.serve.port
        # Nothing of a request reaches a log: a path holds UIDs.
        self._server = uvicorn.Server(
            uvicorn.Config(
                served(config),
                log_config=None,
                access_log=False,
                server_header=False,
                **_tls(config.serve.tls),
                proxy_headers=bool(config.serve.behind_proxy),
                forwarded_allow_ips=[str(one) for one in config.serve.behind_proxy],
                lifespan="off",
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        try:
            self._socket = listening_socket(host, port)
        except OSError as error:
            raise ConfigError(f"serve: cannot listen on {host}:{port}: {error.strerror}") from error

    def run(self) -> None:
        """Answer."""
        self._server.run(sockets=[self._socket])

    def close(self) -> None:
        """Finish what has begun."""
        self._server.should_exit = True
        self.join(2 * GRACE_SECONDS)


def _tls(tls: Tls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    return {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
