"""Fit a network that sorts pictures, and show it in training where to look.

One of its layers has to tell, place by place, what is there. What tells it is thrown away
afterwards: the network that is shipped has never had more than pictures to answer from. Where
classes differ in a small spot, it learns from hundreds of pictures what else needs thousands.
"""

from collections.abc import Sequence
from typing import TypeAlias, cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim import AdamW

from dicom_ai_node.training.augment import retouch, warp
from dicom_ai_node.training.fit import Fitted, Judge, Plan, descend
from dicom_ai_node.training.fit_classes import SMOOTHING

Outlined: TypeAlias = tuple[Tensor, int, Tensor]
"""A scaled picture (rows, columns) float32 on the model's grid, padded, its class, and (rows,
columns) bool: where that class shows. All else is of the first class, which is that of nothing."""

INSIDE_WEIGHT = 9.0
"""How much more a place counts that lies inside an outline; most places lie outside of all."""


def draw(
    examples: Sequence[Outlined], plan: Plan, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a batch (batch, 1, rows, columns), its classes (batch,) and (batch, rows, columns).

    The last one is the class of every pixel.
    """
    chosen = torch.randint(len(examples), (plan.batch,), generator=generator).tolist()
    images = torch.stack([examples[n][0] for n in chosen])[:, None]
    labels = torch.tensor([examples[n][1] for n in chosen])
    outlines = torch.stack([examples[n][2] for n in chosen]).long()
    images, outlines = warp(images, outlines, plan.warp, generator)
    return retouch(images, plan.touch, generator), labels, outlines * labels[:, None, None]


def place_loss(told: Tensor, pixels: Tensor) -> Tensor:
    """Return how far (batch, classes, rows, columns) logits are from the classes of the pixels.

    A place stands for many pixels and is as much of each class as they are.
    """
    classes = told.shape[1]
    parts = functional.one_hot(pixels, classes).movedim(-1, 1).float()
    parts = functional.adaptive_avg_pool2d(parts, (told.shape[2], told.shape[3]))
    surprise = -(parts * told.log_softmax(1)).sum(1)
    weight = 1 + INSIDE_WEIGHT * (1 - parts[:, 0])
    return (surprise * weight).sum() / weight.sum()


def fit_outlined(
    network: nn.Module, examples: Sequence[Outlined], judge: Judge, plan: Plan, layer: str
) -> Fitted:
    """Fit `network` on `examples` and return the averaged weights that `judge` liked best.

    `layer` names the module whose map of features has to tell what is where.
    """
    torch.manual_seed(plan.seed)
    generator = Generator().manual_seed(plan.seed)
    loss_of = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    module, seen = network.get_submodule(layer), list[Tensor]()

    def logits_of(images: Tensor) -> Tensor:
        seen.clear()
        hook = module.register_forward_hook(lambda _layer, _given, output: seen.append(output))
        try:
            return cast("Tensor", network(images))
        finally:
            hook.remove()

    with torch.no_grad():
        images, _, _ = draw(examples, plan, generator)
        classes = logits_of(images).shape[1]
    teller = nn.Conv2d(seen[0].shape[1], classes, 1)
    optimizer = AdamW(
        [*network.parameters(), *teller.parameters()], lr=plan.learning_rate, weight_decay=2e-2
    )

    def loss() -> Tensor:
        images, labels, pixels = draw(examples, plan, generator)
        return cast("Tensor", loss_of(logits_of(images), labels)) + place_loss(
            teller(seen[0]), pixels
        )

    return descend(network, optimizer, loss, judge, plan)
