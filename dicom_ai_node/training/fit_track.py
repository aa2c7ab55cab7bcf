"""Fit a network whose features tell places apart."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim import AdamW

from dicom_ai_node.neural.follow import Rules, patches, peaks, similarities
from dicom_ai_node.training.augment import warp
from dicom_ai_node.training.cine import (
    MOST_YIELD_PX,
    Motion,
    cine,
    path_px,
    sector,
    uniform,
    yields,
)
from dicom_ai_node.training.fit import Fitted, Judge, Plan, descend

Pair: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Two frames (2, rows, columns), points (points, 2) on the first, and where they are next."""

NEAR_PX = 2.0
"""A place that is this near to the truth is right."""
POINTS = 16
"""Places that are looked for in one pair of frames."""
SHARPNESS = 30.0
"""Similarities times this are what a softmax takes its chances from."""
LEAST_TEXTURE = 0.03
"""Standard deviation of grey values below which there is nothing that could be found again."""


def places(still: Tensor, inside: Tensor, count: int, generator: Generator) -> Tensor:
    """Return (count, 2) float32: whole pixels `inside` where there is something to see."""
    mean = functional.avg_pool2d(still[None, None], 15, 1, 7)
    square = functional.avg_pool2d(still[None, None] ** 2, 15, 1, 7)
    texture = (square - mean**2).clamp(min=0).sqrt()[0, 0]
    there = (inside & (texture > LEAST_TEXTURE)).nonzero()
    if not len(there):
        there = inside.nonzero()
    if not len(there):
        there = torch.tensor([[still.shape[0] // 2, still.shape[1] // 2]])
    chosen = torch.randint(len(there), (count,), generator=generator)
    return there[chosen].float()


def jump(shape: tuple[int, int], generator: Generator, reach_px: float) -> Motion:
    """Return a motion of two frames as far apart as a search may have to bridge."""
    angle, size = uniform(0, math.tau, generator), uniform(0, reach_px, generator)
    shift = size * torch.tensor([math.sin(angle), math.cos(angle)])
    return Motion(
        shift_px=torch.stack([torch.zeros(2), shift]),
        turn=torch.tensor([0.0, math.radians(uniform(-10, 10, generator))]),
        yields_px=yields(shape, uniform(0, MOST_YIELD_PX, generator), generator),
        yielding=torch.tensor([0.0, 1.0]),
        period_frames=None,
        speckle=uniform(0.0, 0.5, generator),
        renewed=uniform(0.3, 1.0, generator),
        out_of_plane=uniform(0.0, 0.7, generator),
    )


def not_found(before: Tensor, after: Tensor, points: Tensor, truth: Tensor, rules: Rules) -> Tensor:
    """Return the cross-entropy of where `points` of one frame are found in the next.

    `before` and `after` are (channels, rows, columns) features; `points` and `truth` (points, 2).
    """
    reach = rules.search_px
    spread = torch.rand(truth.shape) * 2 * (reach - 1) - (reach - 1)
    middle = (truth + spread).round()
    windows = patches(after, middle, rules.template_px + 2 * reach)
    maps = similarities(windows, patches(before, points, rules.template_px))
    steps = torch.arange(-reach, reach + 1)
    away = truth - middle
    # The chance is shared by the pixels around the place, each by how near it is.
    by_axis = [(1 - (steps - away[:, axis, None]).abs()).clamp(min=0) for axis in (0, 1)]
    target = by_axis[0][:, :, None] * by_axis[1][:, None, :]
    chances = (SHARPNESS * maps).flatten(1).log_softmax(1)
    return -(target.flatten(1) * chances).sum(1).mean()


def found_again(network: nn.Module, pairs: Sequence[Pair], rules: Rules) -> float:
    """Return which share of the points of `pairs` is found in the second frame, to NEAR_PX."""
    right = []
    for frames, points, truth in pairs:
        with torch.inference_mode():
            before, after = network(frames[:, None])
        middle = points.round()
        windows = patches(after, middle, rules.template_px + 2 * rules.search_px)
        moved, _ = peaks(similarities(windows, patches(before, points, rules.template_px)))
        right.append(((middle + moved - truth).norm(dim=1) <= NEAR_PX).float().mean())
    return float(torch.stack(right).mean())


def pair(still: Tensor, generator: Generator, reach_px: float) -> Pair:
    """Return two frames of a still that has moved, points on the first, and where they went."""
    shape, inside = (still.shape[0], still.shape[1]), sector(still)
    motion = jump(shape, generator, reach_px)
    start = places(still, inside, POINTS, generator)
    return cine(still, inside, motion, generator), start, path_px(shape, motion, start)[1]


def fit_track(
    network: nn.Module, stills: Sequence[Tensor], rules: Rules, judge: Judge, plan: Plan
) -> Fitted:
    """Fit `network` so that its channels are features by which places are found again.

    `stills` are scaled images (rows, columns) float32 on the model's grid, padded.
    """
    torch.manual_seed(plan.seed)
    generator = Generator().manual_seed(plan.seed)
    optimizer = AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4)

    def loss() -> Tensor:
        pairs = [_drawn(stills, rules, plan, generator) for _ in range(plan.batch)]
        features = network(torch.cat([frames for frames, _, _ in pairs])[:, None])
        found = [
            not_found(features[2 * n], features[2 * n + 1], start, truth, rules)
            for n, (_, start, truth) in enumerate(pairs)
        ]
        return torch.stack(found).mean()

    return descend(network, optimizer, loss, judge, plan)


def _drawn(stills: Sequence[Tensor], rules: Rules, plan: Plan, generator: Generator) -> Pair:
    image = stills[int(torch.randint(len(stills), (1,), generator=generator))][None, None]
    nothing = torch.zeros_like(image[0], dtype=torch.int64)
    turned, _ = warp(image, nothing, plan.warp, generator)
    return pair(turned[0, 0], generator, rules.search_px)
