"""Where in an image or a volume a network found what speaks for its answer.

Three ways to ask. Grad-CAM reads it off a layer and is coarse and quick. Integrated gradients
follow the answer from an empty image to this one, pixel by pixel. Occlusion covers place after
place and sees how much is lost; it needs nothing but answers, and most time.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch.nn import functional

from dicom_ai_node.domain.errors import ModelUnusable, TaskFailed
from dicom_ai_node.domain.explaining import Explain
from dicom_ai_node.domain.pictures import Explained
from dicom_ai_node.domain.progress import along, share

Score = Callable[[torch.Tensor], torch.Tensor]
"""Runs the network on (items, channels, *axes), two or three axes, and gives one number for each:
how much speaks for the answer that is explained."""

ANSWERED = 0.3
"""Which part of a task that also explains its answer is done when it has one; a guess."""
STEPS = 24
"""Between the empty image and this one, for integrated gradients."""
SMOOTH_PX = 5
"""Their heat is the mean over so many pixels along each axis: single pixels mean nothing."""
PLACES = {2: 16, 3: 8}
"""How many places occlusion covers along an axis, by the number of axes."""


class Explainer:
    """Asks one network by one method.

    Parameters
    ----------
    name
        Of the model, for what is said if something is wrong.

    Raises
    ------
    ModelUnusable
        If the network has no module of the name in `how`.
    """

    def __init__(self, how: Explain, network: torch.nn.Module, name: str) -> None:
        self.method = how.method
        self._layer = dict(network.named_modules()).get(how.layer)
        if self.method is Explained.GRAD_CAM and self._layer is None:
            raise ModelUnusable(f"{name}: there is no layer {how.layer}")

    def heat(self, score: Score, groups: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return (items, *axes), 0 to 1 on the CPU: 1 is the strongest place of all items.

        `groups` are batches of items as the network takes them.

        Raises
        ------
        TaskFailed
            If the layer gives no map, runs more than once or decides nothing.
        """
        parts = []
        for place, items in enumerate(groups):
            with share(place, len(groups)):
                parts.append(self._of(score, items).cpu())
        heat = torch.cat(parts)
        strongest = float(heat.max())
        return heat / strongest if strongest > 0 else heat

    def _of(self, score: Score, items: torch.Tensor) -> torch.Tensor:
        match self.method:
            case Explained.GRAD_CAM:
                if self._layer is None:
                    raise TaskFailed("there is no layer to explain by")
                return grad_cam(score, items, self._layer)
            case Explained.INTEGRATED_GRADIENTS:
                return _smooth(integrated_gradients(score, items).sum(1).relu())
            case Explained.OCCLUSION:
                return occlusion(score, items).relu()


def grad_cam(score: Score, items: torch.Tensor, layer: torch.nn.Module) -> torch.Tensor:
    """Return (items, *axes), 0 or more: Grad-CAM (Selvaraju et al. 2017).

    Parameters
    ----------
    layer
        The module of that network whose map of features is looked at.

    Raises
    ------
    TaskFailed
        If the layer gives no map, runs more than once or decides nothing.
    """
    features: list[torch.Tensor] = []

    def cut(_layer: torch.nn.Module, _given: object, output: object) -> torch.Tensor:
        if not isinstance(output, torch.Tensor) or output.ndim != items.ndim:
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
    axes = tuple(range(2, items.ndim))
    weights = gradient.mean(axes, keepdim=True)
    cam = (weights * features[0].detach()).sum(1, keepdim=True).relu()
    mode = "bilinear" if len(axes) == 2 else "trilinear"  # noqa: PLR2004
    return functional.interpolate(cam, items.shape[2:], mode=mode, align_corners=False)[:, 0]


def integrated_gradients(score: Score, items: torch.Tensor, steps: int = STEPS) -> torch.Tensor:
    """Return (items, channels, *axes): how much each value adds to the score, or takes from it.

    After Sundararajan et al. 2017, from `emptied` to the items. What an item's values add up to is
    its score less that of the emptied one, but for the error of summing over `steps`.

    Raises
    ------
    TaskFailed
        If the score does not depend on the items.
    """
    empty = emptied(items)
    total = torch.zeros_like(items)
    for step in along(range(steps)):
        with torch.enable_grad():
            here = (empty + (step + 0.5) / steps * (items - empty)).requires_grad_()
            answer = score(here).sum()
            if not answer.requires_grad:
                raise TaskFailed("the answer to explain does not depend on the image")
            total += torch.autograd.grad(answer, here)[0]
    return total / steps * (items - empty)


def occlusion(score: Score, items: torch.Tensor) -> torch.Tensor:
    """Return (items, *axes): how much the score loses where a patch is empty (Zeiler, Fergus 2014).

    Patches overlap by half; a place has the mean of those over it.
    """
    shape = items.shape[2:]
    lost = torch.zeros((len(items), *shape), device=items.device)
    covered = torch.zeros(shape, device=items.device)
    empty = emptied(items)
    with torch.inference_mode():
        whole = score(items)
        for patch in along(list(patches(tuple(shape)))):
            here = items.clone()
            place = (slice(None), slice(None), *patch)
            here[place] = empty[place]
            less = (whole - score(here)).to(lost.dtype)
            lost[(slice(None), *patch)] += less.reshape(-1, *(1,) * len(shape))
            covered[patch] += 1
        return lost / covered


def emptied(items: torch.Tensor) -> torch.Tensor:
    """Return items on which nothing is to be seen: each at its darkest everywhere."""
    return items.amin(tuple(range(2, items.ndim)), keepdim=True).expand_as(items)


def patches(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield patches that cover the axes, `PLACES` along each, each reaching into the next one."""
    places = PLACES[len(shape)]
    along = []
    for length in shape:
        step = max(1, -(-length // places))
        along.append([slice(at, min(at + 2 * step, length)) for at in range(0, length, step)])
    yield from product(*along)


def _smooth(heat: torch.Tensor) -> torch.Tensor:
    """Return (items, *axes) averaged over `SMOOTH_PX` along each axis."""
    pool = functional.avg_pool2d if heat.ndim == 3 else functional.avg_pool3d  # noqa: PLR2004
    return pool(heat[:, None], SMOOTH_PX, stride=1, padding=SMOOTH_PX // 2)[:, 0]
