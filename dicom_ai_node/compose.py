"""The one place where things are put together. If it is constructed, it is constructed here."""

import os
import random
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from pkgutil import iter_modules
from typing import cast

import dicom_ai_node
from dicom_ai_node import config as configuration
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.destination import DimsePeer, FolderPeer, WebPeer
from dicom_ai_node.domain.ports import Blobs, Encoder, Ledger, Sender
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger

PACKAGE = Path(dicom_ai_node.__file__).parent
SHIPPED_MODELS = PACKAGE / "bundles"


def now() -> datetime:
    """Return the present time, UTC and aware."""
    return datetime.now(UTC)
