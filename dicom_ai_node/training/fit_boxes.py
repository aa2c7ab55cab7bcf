"""Fit a network that finds boxes by their centres, and keep what validation liked best."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim import AdamW

from dicom_ai_node.domain.boxes import BORDERS
from dicom_ai_node.training.fit import Example, Fitted, Judge, Plan, descend, draw

SPREAD = 0.08
"""How far the heat of a box spreads around its centre, as a part of its height and width."""

NEAR = 0.3
"""Pixels that hot in the target learn where the borders are."""

COLD = 1e-4
"""Less heat than this is none."""

COLD_LOGIT = -5.0
"""The heat that a fresh network says everywhere."""

SMALLEST_PX = 12
"""What is left of an object at the edge of an image and has fewer pixels is no object."""


def targets(labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return what the network should say about a batch.

    Parameters
    ----------
    labels
        (batch, rows, columns) int64; 0 is background, object k of class c has 1 + c + k * classes.

    Returns
    -------
    tuple
        Heat (batch, classes, rows, columns) in 0..1, and distances to the borders (batch, 4, rows,
        columns) as parts of the rows and columns, of the object whose heat is strongest there.
    """
    count, rows, columns = labels.shape
    heat = torch.zeros(count, classes, rows, columns)
    borders = torch.zeros(count, BORDERS, rows, columns)
    down = torch.arange(rows)[:, None] + 0.5
    along = torch.arange(columns)[None, :] + 0.5
    for item in range(count):
        hottest = torch.zeros(rows, columns)
        for number in labels[item].unique().tolist():
            where = (labels[item] == number).nonzero()
            if number == 0 or len(where) < SMALLEST_PX:
                continue
            top, left = (float(end) for end in where.amin(0))
            bottom, right = (float(end) + 1 for end in where.amax(0))
            height, width = bottom - top, right - left
            warmth = torch.exp(
                -0.5 * ((down - (top + bottom) / 2) / (SPREAD * height)) ** 2
                - 0.5 * ((along - (left + right) / 2) / (SPREAD * width)) ** 2
            )
            # The pixels next to the centre are the centre, and far from it there is no heat:
            # numbers that are nearly 0 would only be slow.
            warmth = torch.where(warmth > COLD, warmth / warmth.max(), 0.0)
            of = (number - 1) % classes
            heat[item, of] = torch.maximum(heat[item, of], warmth)
            ends = torch.stack(
                [
                    ((down - top) / rows).expand(rows, columns),
                    ((along - left) / columns).expand(rows, columns),
                    ((bottom - down) / rows).expand(rows, columns),
                    ((right - along) / columns).expand(rows, columns),
                ]
            )
            borders[item] = torch.where(warmth > hottest, ends, borders[item])
            hottest = torch.maximum(hottest, warmth)
    return heat, borders


def loss_of(answer: Tensor, heat: Tensor, borders: Tensor) -> Tensor:
    """Return the loss: focal for the heat (Zhou et al. 2019), -log(IoU) for the borders.

    Pixels near a centre are hardly punished for being hot.
    """
    logits = answer[:, :-BORDERS]
    chance = logits.sigmoid()
    is_centre = heat >= 1 - 1e-6
    hit = (1 - chance) ** 2 * functional.logsigmoid(logits)
    miss = (1 - heat) ** 4 * chance**2 * functional.logsigmoid(-logits)
    focal = -torch.where(is_centre, hit, miss).sum() / max(int(is_centre.sum()), 1)
    weight = heat.amax(1)
    weight = torch.where((weight > NEAR) & (borders > 0).all(1), weight, 0.0)
    overlap = _iou(answer[:, -BORDERS:].sigmoid(), borders)
    fit = -(weight * overlap.clamp(min=1e-4).log()).sum() / weight.sum().clamp(min=1.0)
    return focal + 2 * fit


def _iou(one: Tensor, other: Tensor) -> Tensor:
    """Return the overlap (batch, rows, columns) of boxes around the same pixels."""
    least = torch.minimum(one, other)
    shared = (least[:, 0] + least[:, 2]) * (least[:, 1] + least[:, 3])
    areas = [(box[:, 0] + box[:, 2]) * (box[:, 1] + box[:, 3]) for box in (one, other)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-9)


def cool(network: nn.Module, classes: int) -> None:
    """Let a fresh network begin cold, for nearly every pixel is no centre.

    To learn that first would spoil what it may know already.
    """
    for name, values in reversed(list(network.named_parameters())):
        if name.endswith("bias") and len(values) == classes + BORDERS:
            with torch.no_grad():
                values[:classes] = COLD_LOGIT
            return


def fit_boxes(
    network: nn.Module, examples: Sequence[Example], classes: int, judge: Judge, plan: Plan
) -> Fitted:
    """Fit `network` on `examples`, labelled as `targets` wants it, after what `judge` likes."""
    torch.manual_seed(plan.seed)
    generator = Generator().manual_seed(plan.seed)
    cool(network, classes)
    optimizer = AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-3)

    def loss() -> Tensor:
        images, labels = draw(examples, plan, generator)
        return loss_of(network(images), *targets(labels, classes))

    return descend(network, optimizer, loss, judge, plan)
