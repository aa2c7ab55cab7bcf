"""Made variety: the images a scanner might have given had it stood elsewhere or been set otherwise.

All of it on batches, (batch, 1, *axes) float32 after intensity scaling and (batch, *axes) int64,
with two or three axes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Warp:
    """How far an image may be moved, the same for all of its axes.

    `shift` is a part of the image's size, `stretch` the largest factor between its axes (its
    inverse the smallest), `mirror` names axes that may be reversed (-1 is
    columns), `background` is what comes in from outside; `None` draws it for every image between
    its lowest value and 0, for z-scores have no lowest value that all share.
    """

    degrees: float = 15.0
    zoom: tuple[float, float] = (0.8, 1.25)
    shift: float = 0.05
    stretch: float = 1.0
    mirror: tuple[int, ...] = ()
    background: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """How far values may be changed; each is the end of a range, drawn anew for every image.

    `gain` and `bias_field` are factors' distance from 1, `gamma` the largest exponent (its
    inverse is the smallest; only for values in 0..1), `noise` and `speckle` standard deviations,
    `blur` the chance that an image loses its fine detail. `clip` keeps values in 0..1.
    """

    gain: float = 0.2
    offset: float = 0.1
    gamma: float = 1.0
    noise: float = 0.05
    speckle: float = 0.0
    bias_field: float = 0.0
    blur: float = 0.0
    clip: bool = True


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _rotations(count: int, axes: int, degrees: float, generator: Generator) -> Tensor:
    """Return (count, axes, axes) rotations, about every axis where there are three."""
    turned = torch.eye(axes).repeat(count, 1, 1)
    planes = [(0, 1)] if axes == 2 else [(0, 1), (0, 2), (1, 2)]  # noqa: PLR2004
    for first, second in planes:
        angle = _uniform(count, -math.radians(degrees), math.radians(degrees), generator)
        step = torch.eye(axes).repeat(count, 1, 1)
        step[:, first, first] = step[:, second, second] = angle.cos()
        step[:, first, second] = -angle.sin()
        step[:, second, first] = angle.sin()
        turned = turned @ step
    return turned


def _outside(images: Tensor, background: float | None, generator: Generator) -> Tensor:
    """Return what lies outside each image, (batch, 1, 1, ...)."""
    wide = (images.shape[0], *(1,) * (images.dim() - 1))
    if background is not None:
        return torch.full(wide, background)
    lowest = images.flatten(1).amin(1).clamp(max=0.0)
    return (lowest * _uniform(images.shape[0], 0.0, 1.0, generator)).reshape(wide)


def warp(
    images: Tensor, labels: Tensor, limits: Warp, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Turn, zoom, shift and mirror every image at random, its labels with it."""
    count, axes = images.shape[0], images.dim() - 2
    # affine_grid counts its axes from the last one, each from -1 to 1 over its own length.
    lengths = torch.tensor(images.shape[:1:-1], dtype=torch.float32)
    matrix = _rotations(count, axes, limits.degrees, generator)
    zoom = _uniform(count, math.log(limits.zoom[0]), math.log(limits.zoom[1]), generator).exp()
    matrix = matrix / zoom[:, None, None]
    if limits.stretch > 1:
        end = math.log(limits.stretch) / 2
        factors = _uniform(count * axes, -end, end, generator).exp()
        matrix = matrix * factors.reshape(count, 1, axes)
    matrix = matrix * lengths[None, None, :] / lengths[None, :, None]
    for axis in limits.mirror:
        flip = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)  # noqa: PLR2004
        matrix[:, :, -axis - 1] *= flip[:, None]
    shift = _uniform(count * axes, -2 * limits.shift, 2 * limits.shift, generator)
    theta = torch.cat([matrix, shift.reshape(count, axes, 1)], dim=2)
    where = functional.affine_grid(theta, list(images.shape), align_corners=False)
    outside = _outside(images, limits.background, generator)
    moved = functional.grid_sample(images - outside, where, align_corners=False)
    marks = functional.grid_sample(
        labels[:, None].float(), where, mode="nearest", align_corners=False
    )
    return moved + outside, marks[:, 0].long()


def _smooth_noise(shape: Sequence[int], cells: int, generator: Generator) -> Tensor:
    """Return noise of (batch, 1, *axes) that changes over about 1/`cells` of the image."""
    axes = len(shape) - 2
    coarse = torch.randn((shape[0], 1, *(cells,) * axes), generator=generator)
    mode = "bilinear" if axes == 2 else "trilinear"  # noqa: PLR2004
    return functional.interpolate(coarse, tuple(shape[2:]), mode=mode, align_corners=True)


def _blurred(images: Tensor, chance: float, generator: Generator) -> Tensor:
    axes = images.dim() - 2
    mode = "bilinear" if axes == 2 else "trilinear"  # noqa: PLR2004
    factor = float(_uniform(1, 0.35, 0.8, generator))
    small = [max(2, round(length * factor)) for length in images.shape[2:]]
    soft = functional.interpolate(images, tuple(small), mode=mode)
    soft = functional.interpolate(soft, tuple(images.shape[2:]), mode=mode)
    chosen = torch.rand(images.shape[0], generator=generator) < chance
    return torch.where(chosen.reshape(-1, *(1,) * (axes + 1)), soft, images)


def retouch(images: Tensor, limits: Touch, generator: Generator) -> Tensor:
    """Change brightness, contrast, gamma, noise, speckle, shading and sharpness at random."""
    count, axes = images.shape[0], images.dim() - 2
    wide = (count, *(1,) * (axes + 1))
    if limits.blur:
        images = _blurred(images, limits.blur, generator)
    if limits.gamma > 1:
        end = math.log(limits.gamma)
        images = images.clamp(0, 1) ** _uniform(count, -end, end, generator).exp().reshape(wide)
    if limits.bias_field:
        field = _smooth_noise(images.shape, 4, generator) * limits.bias_field / 2
        images = images * field.exp()
    if limits.speckle:
        # Speckle has a grain larger than a pixel and follows the brightness.
        fine = torch.randn(images.shape, generator=generator)
        grain = functional.avg_pool2d(fine, 3, 1, 1) * 2 if axes == 2 else fine  # noqa: PLR2004
        images = images * (1 + grain * _uniform(count, 0, limits.speckle, generator).reshape(wide))
    gain = _uniform(count, 1 - limits.gain, 1 + limits.gain, generator).reshape(wide)
    offset = _uniform(count, -limits.offset, limits.offset, generator).reshape(wide)
    level = _uniform(count, 0, limits.noise, generator).reshape(wide)
    noise = torch.randn(images.shape, generator=generator) * level
    images = images * gain + offset + noise
    return images.clamp(0, 1) if limits.clip else images
