"""Where in an image a network found what speaks for its answer."""

from collections.abc import Callable

import torch
from torch.nn.functional import interpolate

from dicom_ai_node.domain.errors import TaskFailed

FEATURE_AXES = 4
"""Of a 2-D feature map: (batch, channels, rows, columns)."""


def grad_cam(
    score: Callable[[torch.Tensor], torch.Tensor], items: torch.Tensor, layer: torch.nn.Module
) -> torch.Tensor:
    """Return (items, rows, columns), 0 or more: Grad-CAM (Selvaraju et al. 2017).

    Parameters
    ----------
    score
        Runs the network on `items`, (items, channels, rows, columns), and gives one number for
        each: how much speaks for the answer that is explained.
    layer
        The module of that network whose 2-D feature map is looked at.

    Raises
    ------
    TaskFailed
        If the layer gives no map, runs more than once or decides nothing.
    """
    features: list[torch.Tensor] = []

    def cut(_layer: torch.nn.Module, _given: object, output: object) -> torch.Tensor:
        if not isinstance(output, torch.Tensor) or output.ndim != FEATURE_AXES:
            raise TaskFailed("the layer to explain by gives no map")
        features.append(output.detach().requires_grad_())
        # A copy, because what follows may compute in place.
        return features[-1].clone()

    hook = layer.register_forward_hook(cut)
    try:
        # The gradient is needed only from the layer on; the weights need none.
        with torch.enable_grad():
            total = score(items).sum()
            if len(features) != 1:
                raise TaskFailed("the layer to explain by runs twice")
            gradient = torch.autograd.grad(total, features, allow_unused=True)[0]
    finally:
        hook.remove()
    if gradient is None:
        raise TaskFailed("the layer to explain by decides nothing")
    weights = gradient.mean((2, 3), keepdim=True)
    cam = (weights * features[0].detach()).sum(1, keepdim=True).relu()
    return interpolate(cam, items.shape[2:], mode="bilinear", align_corners=False)[:, 0]
