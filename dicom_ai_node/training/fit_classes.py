"""Fit a network that sorts pictures, and keep the weights that validation liked best."""

from collections.abc import Sequence
from typing import TypeAlias, cast

import torch
from torch import Generator, Tensor, nn
from torch.optim import AdamW

from dicom_ai_node.training.augment import retouch, warp
from dicom_ai_node.training.fit import Fitted, Judge, Plan, descend

Labelled: TypeAlias = tuple[Tensor, int]
"""A scaled picture (rows, columns) float32 on the model's grid, padded, and its class."""

SMOOTHING = 0.05
"""Part of the target that is spread over all classes, against certainty that nothing backs."""


def draw(examples: Sequence[Labelled], plan: Plan, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return a batch (batch, 1, rows, columns) float32 with its classes (batch,) int64.

    Classes are drawn as often as they occur: evened out, probabilities would speak of another
    mixture than the one they are calibrated on.
    """
    chosen = torch.randint(len(examples), (plan.batch,), generator=generator).tolist()
    images = torch.stack([examples[n][0] for n in chosen])[:, None]
    images, _ = warp(images, torch.zeros_like(images[:, 0]).long(), plan.warp, generator)
    labels = torch.tensor([examples[n][1] for n in chosen])
    return retouch(images, plan.touch, generator), labels


def fit_classes(
    network: nn.Module, examples: Sequence[Labelled], judge: Judge, plan: Plan
) -> Fitted:
    """Fit `network` on `examples` and return the averaged weights that `judge` liked best."""
    torch.manual_seed(plan.seed)
    generator = Generator().manual_seed(plan.seed)
    loss_of = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    optimizer = AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=2e-2)

    def loss() -> Tensor:
        images, labels = draw(examples, plan, generator)
        return cast("Tensor", loss_of(network(images), labels))

    return descend(network, optimizer, loss, judge, plan)
