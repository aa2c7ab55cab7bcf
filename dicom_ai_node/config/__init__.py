"""ae_config.yaml: read once, checked in full, frozen.

Nothing below `compose` ever sees these classes, so that pydantic stays at the edge.
"""

from dicom_ai_node.config.node import NodeConfig
from dicom_ai_node.config.read import load, model_folders, store_folder
from dicom_ai_node.config.secret import read_once, secrets_in
from dicom_ai_node.config.translate import destinations, routes, serve_token

__all__ = [
    "NodeConfig", "destinations", "load", "model_folders", "read_once", "routes", "secrets_in",
    "serve_token", "store_folder",
]  # fmt: skip
