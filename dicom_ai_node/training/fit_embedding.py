"""Fit a network whose vectors lie near each other where the pictures are of one class."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim import AdamW

from dicom_ai_node.training.augment import retouch, warp
from dicom_ai_node.training.fit import Fitted, Judge, Plan, descend
from dicom_ai_node.training.fit_classes import Labelled

SHARPNESS = 16.0
"""Cosines are multiplied by this before softmax (Zhai and Wu 2019 use 20)."""
SMOOTHING = 0.05


def chances(examples: Sequence[Labelled]) -> Tensor:
    """Return how probable each example is in a draw: a class by the root of its size.

    Evened out completely, a class of a few pictures would be seen so often as to be learnt by
    heart; as it is, it would hardly be seen.
    """
    sizes = Counter(label for _, label in examples)
    return torch.tensor([sizes[label] ** -0.5 for _, label in examples])


def draw(
    examples: Sequence[Labelled], weights: Tensor, plan: Plan, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Return a batch (batch, 1, rows, columns) float32 with its classes (batch,) int64."""
    chosen = torch.multinomial(weights, plan.batch, replacement=True, generator=generator).tolist()
    images = torch.stack([examples[n][0] for n in chosen])[:, None]
    images, _ = warp(images, torch.zeros_like(images[:, 0]).long(), plan.warp, generator)
    labels = torch.tensor([examples[n][1] for n in chosen])
    return retouch(images, plan.touch, generator), labels


def fit_embedding(
    network: nn.Module, examples: Sequence[Labelled], judge: Judge, plan: Plan
) -> Fitted:
    """Fit `network` and return the averaged weights that `judge` liked best.

    Normalised softmax (Zhai and Wu 2019): each class has a direction of its own, which is learnt
    along with the network and thrown away afterwards; a vector is drawn to that of its class.
    """
    torch.manual_seed(plan.seed)
    generator = Generator().manual_seed(plan.seed)
    with torch.no_grad():
        length = network(examples[0][0][None, None].repeat(2, 1, 1, 1)).shape[1]
    directions = nn.Parameter(torch.randn(1 + max(label for _, label in examples), length))
    optimizer = AdamW(
        [
            {"params": network.parameters(), "weight_decay": 2e-2},
            {"params": [directions], "weight_decay": 0.0},
        ],
        lr=plan.learning_rate,
    )
    loss_of = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    weights = chances(examples)

    def loss() -> Tensor:
        images, labels = draw(examples, weights, plan, generator)
        cosines = functional.normalize(network(images)) @ functional.normalize(directions).T
        found: Tensor = loss_of(SHARPNESS * cosines, labels)
        return found

    return descend(network, optimizer, loss, judge, plan)
