"""Fit a network that sorts pictures, and keep the weights that validation liked best."""

import time
from collections.abc import Sequence
from copy import deepcopy
from typing import TypeAlias

import structlog
import torch
from torch import Generator, Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dicom_ai_node.training.augment import retouch, warp
from dicom_ai_node.training.fit import Fitted, Judge, Plan, rate

log = structlog.get_logger()

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
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(plan.ema), use_buffers=True)
    best, best_score, step, progress = deepcopy(averaged.module), float("-inf"), 0, 0.0
    begun = time.monotonic()
    while progress < 1:
        step += 1
        progress = max(step / plan.steps, (time.monotonic() - begun) / 60 / plan.minutes)
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * rate(min(progress, 1.0))
        images, labels = draw(examples, plan, generator)
        network.train()
        loss = loss_of(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        averaged.update_parameters(network)
        if step % plan.judge_every == 0 or progress >= 1:
            averaged.module.eval()
            score = judge(averaged.module)
            minutes = round((time.monotonic() - begun) / 60, 2)
            log.info(
                "judged",
                step=step,
                loss=round(float(loss.detach()), 4),
                score=round(score, 4),
                minutes=minutes,
            )
            if score > best_score:
                best, best_score = deepcopy(averaged.module), score
    minutes = (time.monotonic() - begun) / 60
    return Fitted(network=best.eval(), steps=step, minutes=minutes, validation=best_score)
