"""What runs in the process that answers HTTP. No other process carries FastAPI."""

import threading

import uvicorn
from fastapi import FastAPI

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig, serve_token
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.receive.server import listening_socket
from dicom_ai_node.serve.api import api

GRACE_SECONDS = 5
"""How long an answer that has begun may take after the signal to stop."""


def application(config: NodeConfig) -> FastAPI:
    """Return what answers."""
    model = compose.similar_model(config).digest
    return api(compose.ledger(config), model, serve_token(config))


class WebServer(threading.Thread):
    """Listens and answers until it is closed.

    Raises
    ------
    ConfigError
        If nobody can listen there, or there is no token.
    """

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(daemon=True)
        if config.serve is None:
            raise ConfigError("there is no section `serve`")
        host, port = config.serve.host, config.serve.port
        # Nothing of a request reaches a log: a path holds UIDs.
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(config),
                log_config=None,
                access_log=False,
                server_header=False,
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
