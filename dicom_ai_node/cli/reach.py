"""Ways from the command line to a node: is it there, and how to send to it."""

import re
import socket

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.ports import Sender
from dicom_ai_node.domain.uids import AETitle


def is_listening(config: NodeConfig) -> bool:
    """Return whether anything listens on the port of the node."""
    try:
        with socket.create_connection((_here(config), config.receive.port), timeout=1.0):
            return True
    except OSError:
        return False


def _here(config: NodeConfig) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.receive.host, config.receive.host)  # noqa: S104 - not bound, asked


def sender_to(config: NodeConfig, to: str, calling: str) -> Sender:
    """Return the way to `HOST:PORT/AE_TITLE`, or to this node if `to` is empty.

    Raises
    ------
    ConfigError
        If `to` is not of this form.
    """
    form = re.fullmatch(r"(?P<host>.+):(?P<port>[0-9]+)/(?P<ae_title>.{1,16})", to)
    if to and form is None:
        raise ConfigError(f"{to} is not of the form HOST:PORT/AE_TITLE")
    here = _here(config), str(config.receive.port), config.receive.ae_title
    host, port, ae_title = form.group("host", "port", "ae_title") if form else here
    known = [p.ae_title for p in config.receive.accept_from if p.ae_title != "*"]
    return compose.sender(
        DimsePeer(
            ae_title=AETitle(ae_title),
            host=host,
            port=int(port),
            calling_ae_title=AETitle(calling or (known or ["DICOM_AI_NODE"])[0]),
        )
    )
