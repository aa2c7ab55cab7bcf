"""Our own format: a MONAI bundle whose weights are safetensors."""

import json

import safetensors
import safetensors.torch
import torch

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.model import NetworkFacts
from dicom_ai_node.infer.formats.definition import network_of, ready
from dicom_ai_node.infer.sealed import SealedFolder

DEFINITION = "configs/inference.json"
WEIGHTS = "models/model.safetensors"


def load(sealed: SealedFolder, _facts: NetworkFacts, device: str) -> torch.nn.Module:
    """Return the network with its weights, ready to predict.

    Raises
    ------
    ModelUnusable
        If a file differs from SHA256SUMS, the definition names something that is not allowed, or
        the weights do not fit it.
    """
    name = sealed.folder.name
    try:
        definition = json.loads(sealed.read(DEFINITION))["network_def"]
    except (ValueError, KeyError, TypeError) as wrong:
        raise ModelUnusable(f"{name}: {DEFINITION} has no network_def") from wrong
    built = network_of(name, definition)
    try:
        built.load_state_dict(safetensors.torch.load(sealed.read(WEIGHTS)), strict=True)
    except (safetensors.SafetensorError, RuntimeError) as wrong:
        raise ModelUnusable(f"{name}: {WEIGHTS} does not fit {DEFINITION}") from wrong
    return ready(built, device)
