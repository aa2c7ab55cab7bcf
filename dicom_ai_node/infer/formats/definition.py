"""From the definition of a network to a network without weights, and without running its code.

MONAI's own parser instantiates whatever `_target_` names and evaluates `$` expressions; here a
definition names a network that is on the list below, and nothing else.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from monai.networks import nets

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.neural.fusion import LateFusion
from dicom_ai_node.neural.veil import Veil

_PREFIX = "monai.networks.nets."

ALLOWED: Mapping[str, type[torch.nn.Module]] = MappingProxyType(
    {
        f"{_PREFIX}{network.__name__}": network
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
    | {f"{ours.__module__}.{ours.__name__}": ours for ours in (LateFusion, Veil)}
)
"""Networks that a definition may name: they compute, and do not read files or the network."""


def network_of(name: str, definition: object) -> torch.nn.Module:
    """Return the network that `network_def` of the model called `name` defines.

    Raises
    ------
    ModelUnusable
        If it names a network that is not allowed, holds an expression, or cannot be built.
    """
    try:
        arguments: dict[str, Any] = dict(definition)  # type: ignore[call-overload]
        target = str(arguments.pop("_target_"))
    except (ValueError, KeyError, TypeError) as wrong:
        raise ModelUnusable(f"{name}: there is no network_def with a _target_") from wrong
    # Bundles of the zoo leave out where MONAI's networks are.
    allowed = ALLOWED.get(target) or ALLOWED.get(f"{_PREFIX}{target}")
    if allowed is None:
        raise ModelUnusable(f"{name}: {target} is not one of the networks that may be built")
    _refuse_code(name, arguments)
    try:
        return allowed(**arguments)
    except Exception as wrong:
        # MONAI checks its arguments with many kinds of exceptions.
        raise ModelUnusable(f"{name}: {target} cannot be built as network_def says") from wrong


def ready(network: torch.nn.Module, device: str) -> torch.nn.Module:
    """Return a network on its device that only predicts."""
    return network.to(device).eval().requires_grad_(requires_grad=False)


def _refuse_code(name: str, value: object) -> None:
    """Raise `ModelUnusable` if MONAI's parser would do more with `value` than pass it on."""
    match value:
        case dict():
            if any(str(key).startswith("_") and str(key).endswith("_") for key in value):
                raise ModelUnusable(f"{name}: network_def builds more than one object")
            for inner in value.values():
                _refuse_code(name, inner)
        case list():
            for inner in value:
                _refuse_code(name, inner)
        case str() if value.startswith(("$", "@", "%")):
            raise ModelUnusable(
                f"{name}: network_def holds the expression {value}, which is never run; "
                "write its value in its place"
            )
        case _:
            pass
