"""Fit a network within a budget of minutes, and keep the weights that validation liked best."""

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeAlias, cast

import structlog
import torch
from monai.losses import DiceCELoss
from torch import Generator, Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dicom_ai_node.training.augment import Touch, Warp, retouch, warp

log = structlog.get_logger()

Example: TypeAlias = tuple[Tensor, Tensor]
"""A scaled image (*axes) float32 on the model's grid, and its labels (*axes) uint8."""

Judge: TypeAlias = Callable[[nn.Module], float]
"""Scores a network on the validation part; more is better."""

WARM_UP = 0.05
"""Part of the training over which the learning rate rises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a network is fitted.

    `patch` is the shape of what the network sees at once; `oversample` the chance that a patch
    is taken around a labelled pixel. Training ends after `steps`, or sooner when `minutes` of
    processor time are over, so that a busy machine takes longer and not fewer steps: the learning
    rate follows whichever is further. `bfloat16` lets the network, but for its weights and its
    loss, calculate with half the digits: on a processor that does so itself, several times as fast.
    """

    steps: int
    batch: int
    patch: tuple[int, ...]
    warp: Warp
    touch: Touch
    learning_rate: float = 2e-3
    minutes: float = 30.0
    seed: int = 20260
    judge_every: int = 200
    oversample: float = 0.5
    ema: float = 0.995
    bfloat16: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The best weights and how they came about."""

    network: nn.Module
    steps: int
    minutes: float
    validation: float


def cut(example: Example, plan: Plan, generator: Generator) -> tuple[Tensor, Tensor]:
    """Cut a patch out of an example at random, padded where the example is smaller.

    A larger patch than the example puts it anywhere inside, for padding that a model has only
    ever seen at one end is a landmark.
    """
    image, labels = example
    starts: list[int] = []
    for axis, length in enumerate(plan.patch):
        spare = image.shape[axis] - length
        low, high = min(spare, 0), max(spare, 0)
        starts.append(int(torch.randint(low, high + 1, (1,), generator=generator)))
    marked = labels.nonzero()
    if len(marked) and float(torch.rand(1, generator=generator)) < plan.oversample:
        middle = marked[int(torch.randint(len(marked), (1,), generator=generator))]
        for axis, length in enumerate(plan.patch):
            spare = image.shape[axis] - length
            if spare > 0:
                starts[axis] = min(max(int(middle[axis]) - length // 2, 0), spare)
    outside = plan.warp.background
    if outside is None:
        outside = min(0.0, float(image.min())) * float(torch.rand(1, generator=generator))
    patch = torch.full(plan.patch, outside)
    marks = torch.zeros(plan.patch, dtype=torch.int64)
    there = tuple(
        slice(max(-s, 0), max(-s, 0) + min(n, length))
        for s, n, length in zip(starts, image.shape, plan.patch, strict=True)
    )
    here = tuple(
        slice(max(s, 0), max(s, 0) + (t.stop - t.start)) for s, t in zip(starts, there, strict=True)
    )
    patch[there] = image[here]
    marks[there] = labels[here].long()
    return patch, marks


def draw(examples: Sequence[Example], plan: Plan, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return a batch (batch, 1, *patch) float32 with its labels (batch, *patch) int64."""
    chosen = torch.randint(len(examples), (plan.batch,), generator=generator)
    cuts = [cut(examples[int(n)], plan, generator) for n in chosen]
    images = torch.stack([image for image, _ in cuts])[:, None]
    labels = torch.stack([marks for _, marks in cuts])
    images, labels = warp(images, labels, plan.warp, generator)
    return retouch(images, plan.touch, generator), labels


def rate(progress: float) -> float:
    """Return the learning rate as a part of its maximum: up quickly, then down nearly straight."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.02)
    left = (1 - progress) / (1 - WARM_UP)
    return max(float(left**0.9), 1e-3)


def fit(network: nn.Module, examples: Sequence[Example], judge: Judge, plan: Plan) -> Fitted:
    """Fit `network` on `examples` and return the averaged weights that `judge` liked best."""
    torch.manual_seed(plan.seed)
    generator = Generator().manual_seed(plan.seed)
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
    # This memory layout is a fifth faster on a CPU.
    layout = torch.channels_last if len(plan.patch) == 2 else torch.channels_last_3d  # noqa: PLR2004
    network.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4)

    def loss() -> Tensor:
        images, labels = draw(examples, plan, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.bfloat16):
            found = network(images.contiguous(memory_format=layout))
        return cast("Tensor", loss_of(found.float(), labels[:, None]))

    return descend(network, optimizer, loss, judge, plan)


def descend(
    network: nn.Module,
    optimizer: Optimizer,
    loss_of: Callable[[], Tensor],
    judge: Judge,
    plan: Plan,
) -> Fitted:
    """Take steps down `loss_of`, one fresh batch a call, until the plan's steps or time are over.

    Returns the running average of the weights at the step that `judge` liked best.
    """
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(plan.ema), use_buffers=True)
    best, best_score, step, progress = deepcopy(averaged.module), float("-inf"), 0, 0.0
    begun = time.process_time()
    while progress < 1:
        step += 1
        progress = max(step / plan.steps, (time.process_time() - begun) / 60 / plan.minutes)
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * rate(min(progress, 1.0))
        network.train()
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        averaged.update_parameters(network)
        if step % plan.judge_every == 0 or progress >= 1:
            averaged.module.eval()
            score = judge(averaged.module)
            log.info(
                "judged",
                step=step,
                loss=round(float(loss.detach()), 4),
                score=round(score, 4),
                minutes=round((time.process_time() - begun) / 60, 2),
            )
            if score > best_score:
                best, best_score = deepcopy(averaged.module), score
    minutes = (time.process_time() - begun) / 60
    return Fitted(network=best.eval(), steps=step, minutes=minutes, validation=best_score)
