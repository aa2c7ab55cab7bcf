"""From the definition and the weights in a model folder to a network, without running its code.

MONAI's own parser instantiates whatever `_target_` names and evaluates `$` expressions; here a
definition is JSON with the name of a network that is on the list below, and nothing else.
"""

import json
from types import MappingProxyType
from typing import Any

import safetensors
import safetensors.torch
import torch
from monai.networks import nets

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.infer.sealed import SealedFolder

DEFINITION = "configs/inference.json"
WEIGHTS = "models/model.safetensors"

ALLOWED = MappingProxyType(
    {
        f"monai.networks.nets.{network.__name__}": network
        for network in (
            nets.AttentionUnet,
            nets.BasicUNet,
            nets.BasicUNetPlusPlus,
            nets.DenseNet,
            nets.DynUNet,
            nets.HighResNet,
            nets.ResNet,
            nets.SegResNet,
            nets.SwinUNETR,
            nets.UNet,
            nets.UNETR,
            nets.VNet,
        )
    }
)
"""Networks that a definition may name: they compute, and do not read files or the network."""


def network(facts: ModelFacts, device: str = "cpu") -> torch.nn.Module:
    """Return the network of a model with its weights, ready to predict on `device`.

    Raises
    ------
    ModelUnusable
        If a file differs from SHA256SUMS, the definition names something that is not allowed, or
        the weights do not fit it.
    """
    sealed = SealedFolder(facts.folder)
    if sealed.digest != facts.digest:
        raise ModelUnusable(f"{facts.name}: the folder has changed, expected {facts.digest}")
    built = _built(facts.name, sealed.read(DEFINITION))
    try:
        weights = safetensors.torch.load(sealed.read(WEIGHTS))
        built.load_state_dict(weights, strict=True)
    except (safetensors.SafetensorError, RuntimeError) as wrong:
        raise ModelUnusable(f"{facts.name}: {WEIGHTS} does not fit {DEFINITION}") from wrong
    return built.to(device).eval().requires_grad_(requires_grad=False)


def _built(name: str, definition: bytes) -> torch.nn.Module:
    try:
        arguments: Any = dict(json.loads(definition)["network_def"])
        target = arguments.pop("_target_")
    except (ValueError, KeyError, TypeError) as wrong:
        raise ModelUnusable(f"{name}: {DEFINITION} has no network_def with a _target_") from wrong
    if target not in ALLOWED:
        raise ModelUnusable(f"{name}: {target} is not one of the networks that may be built")
    _refuse_code(name, arguments)
    try:
        built: torch.nn.Module = ALLOWED[target](**arguments)
    except Exception as wrong:
        # MONAI checks its arguments with many kinds of exceptions.
        raise ModelUnusable(f"{name}: {target} cannot be built as {DEFINITION} says") from wrong
    return built


def _refuse_code(name: str, value: object) -> None:
    """Raise `ModelUnusable` if MONAI's parser would do more with `value` than pass it on."""
    match value:
        case dict():
            if any(str(key).startswith("_") and str(key).endswith("_") for key in value):
                raise ModelUnusable(f"{name}: {DEFINITION} builds more than one object")
            for inner in value.values():
                _refuse_code(name, inner)
        case list():
            for inner in value:
                _refuse_code(name, inner)
        case str() if value.startswith(("$", "@", "%")):
            raise ModelUnusable(f"{name}: {DEFINITION} holds an expression, which is never run")
        case _:
            pass
