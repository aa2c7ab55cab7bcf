"""What those who ask by HTTP need, and what an operator should know of it. Brings no FastAPI."""

import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime

from dicom_ai_node import config as configuration
from dicom_ai_node.compose.secured import dicom_expiry, ends, expiry_advice
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.store.accounts import SqlAccounts
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.schema import is_current
from dicom_ai_node.tls.files import Pair
from dicom_ai_node.tls.server import https_context

SHORTEST_TOKEN = 16


def accounts(config: NodeConfig) -> SqlAccounts:
    """Return who may log in."""
    return SqlAccounts(open_database(config.store.database_url))


def tls(config: NodeConfig) -> ssl.SSLContext | None:
    """Return what speaks TLS; `None` if the node itself does not.

    Raises
    ------
    ConfigError
        If the certificate or its key cannot be used.
    """
    pair = https_pair(config)
    return None if pair is None else https_context(pair)


def https_pair(config: NodeConfig) -> Pair | None:
    """Return the certificate that browsers see; `None` if the node itself speaks no TLS."""
    if config.serve is None or config.serve.tls is None:
        return None
    said = config.serve.tls
    return Pair(place="serve.tls", certificate=said.certificate, key=said.key)


def expiry(config: NodeConfig) -> Mapping[str, datetime]:
    """Return until when all certificates hold that the node shows, by their place."""
    pair = https_pair(config)
    return {**ends([] if pair is None else [pair]), **dicom_expiry(config)}


def advice(config: NodeConfig) -> list[str]:
    """Return what an operator should do about `serve`, one sentence each; nothing of it is wrong.

    Raises
    ------
    ConfigError
        If a file is not where the configuration says.
    """
    return list(_advice(config))


def _advice(config: NodeConfig) -> Iterator[str]:
    serve = config.serve
    if serve is None:
        return
    token = configuration.serve_token(config)
    if serve.login == "users" and token is None and serve.oidc is None and not _has_people(config):
        yield "serve: nobody can log in yet; run `dicom-ai-node users add NAME --role admin`"
    if token is not None and len(token) < SHORTEST_TOKEN:
        yield f"serve.token: less than {SHORTEST_TOKEN} characters can be guessed; make it longer"
    if (pair := https_pair(config)) is not None:
        yield from expiry_advice({pair.place: pair.expires_at()})


def _has_people(config: NodeConfig) -> bool:
    """Return whether anybody has an account or a token; make nothing."""
    if not is_current(config.store.database_url):
        return False
    database = open_database(config.store.database_url)
    try:
        known = SqlAccounts(database)
        return bool(known.accounts() or known.tokens())
    finally:
        database.close()
