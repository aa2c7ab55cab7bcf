"""Made motion: stills of real tissue that move along a path which is known exactly.

What is fixed to the probe stays where it is (the edge of the sector, shading, shadows); the tissue
moves under it, as a whole and yielding more in one place than in another. Its speckle changes as it
moves, and with the motion it leaves the plane.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from skimage.morphology import convex_hull_image
from torch import Generator, Tensor
from torch.nn import functional

from dicom_ai_node.training.augment import Touch, retouch

STEP_MS = 40.0
"""Time between two frames of a made cine."""
INSET_PX = 18
"""Tissue that moves by more than this would bare the edge of the still."""
MOST_YIELD_PX = 3.0
"""So far from where a stiff motion would take it tissue goes, at most."""
SETTLES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How tissue moves, and how much of its look is lost on the way.

    Attributes
    ----------
    shift_px
        (frames, 2): by how much the middle of the image has moved, rows and columns.
    turn
        (frames,) angles in radians about the middle, from rows to columns.
    yields_px
        (rows, columns, 2): where tissue goes besides, rows and columns, where `yielding` is 1.
    yielding
        (frames,): how much of that it has gone.
    period_frames
        After how many frames the motion repeats, or `None` if it does not.
    speckle
        Standard deviation of speckle that does not move with the tissue.
    renewed
        How much of that speckle is new on the next frame, 0..1.
    out_of_plane
        How much of the tissue is seen through other tissue where the motion is largest, 0..1.
    resting
        How much of what is seen lies before or behind and does not move, 0..1: a projection.
    """

    shift_px: Tensor
    turn: Tensor
    yields_px: Tensor
    yielding: Tensor
    period_frames: float | None
    speckle: float
    renewed: float
    out_of_plane: float
    resting: float = 0.0


def uniform(low: float, high: float, generator: Generator) -> float:
    """Return a number between `low` and `high`."""
    return low + (high - low) * float(torch.rand(1, generator=generator))


def breathing(shape: tuple[int, int], frames: int, generator: Generator) -> Motion:
    """Return a motion that repeats: along one direction, with a rest at one end, a slow drift.

    Tissue is squeezed with it by up to `MOST_YIELD_PX`, which repeats as well.
    """
    time = torch.arange(frames)
    period = uniform(10, frames / 2.4, generator)
    phase = uniform(0, math.tau, generator)
    wave = ((math.tau * time / period + phase).sin() + 1) / 2
    wave = wave ** uniform(1, 2, generator)
    wave = wave - wave[0]
    # No faster than a follower may look for it.
    size = min(uniform(4, 16, generator), 1.2 * period)
    angle = uniform(0, math.tau, generator)
    drift = torch.randn(2, generator=generator) * 2 * time[:, None] / frames
    along = torch.tensor([math.sin(angle), math.cos(angle)])
    return Motion(
        shift_px=size * wave[:, None] * along + drift,
        turn=math.radians(uniform(-7, 7, generator)) * wave,
        yields_px=yields(shape, uniform(0, MOST_YIELD_PX, generator), generator),
        yielding=wave,
        period_frames=period,
        speckle=uniform(0.05, 0.35, generator),
        renewed=uniform(0.3, 1.0, generator),
        out_of_plane=uniform(0.0, 0.5, generator),
    )


def sector(still: Tensor) -> Tensor:
    """Return (rows, columns) bool: the part of a still under which tissue can move."""
    lit = functional.avg_pool2d(still[None, None], 5, 1, 2)[0, 0] > 0.03  # noqa: PLR2004
    hull = torch.from_numpy(convex_hull_image(lit.numpy())) if lit.any() else lit
    # Beyond the image there is nothing, so that its border counts as an edge.
    inner = ndimage.minimum_filter(hull.numpy(), 2 * INSET_PX + 1, mode="constant", cval=0)
    return torch.from_numpy(np.asarray(inner, np.bool_))


def yields(shape: tuple[int, int], size_px: float, generator: Generator) -> Tensor:
    """Return (rows, columns, 2) smooth displacements of which the largest is `size_px` long."""
    field = elastic(shape, 4, generator)[0]
    yielded: Tensor = field * size_px / field.norm(dim=-1).max()
    return yielded


def elastic(shape: tuple[int, int], cells: int, generator: Generator) -> Tensor:
    """Return (1, rows, columns, 2) random displacements, about 1 pixel large and smooth."""
    coarse = torch.randn((1, 2, cells, cells), generator=generator)
    wide = functional.interpolate(coarse, shape, mode="bicubic", align_corners=True)
    return wide.movedim(1, -1)


def sampled(image: Tensor, where_px: Tensor) -> Tensor:
    """Return (1, 1, rows, columns): `image` (1, 1, rows, columns) at (1, rows, columns, 2)."""
    lengths = torch.tensor(image.shape[2:], dtype=torch.float32)
    where = ((2 * where_px + 1) / lengths - 1).flip(-1)
    return functional.grid_sample(
        image, where, mode="bicubic", padding_mode="reflection", align_corners=False
    )


def pixels(shape: tuple[int, int]) -> Tensor:
    """Return (1, rows, columns, 2): the row and column of every pixel."""
    return torch.stack(
        torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij"), dim=-1
    )[None].float()


def origin_px(shape: tuple[int, int], shift_px: Tensor, turn: Tensor, points: Tensor) -> Tensor:
    """Return where in the still what is seen at `points` (..., 2) comes from."""
    middle = (torch.tensor(shape) - 1) / 2
    return (points - middle - shift_px) @ _rotation(-turn).T + middle


def path_px(shape: tuple[int, int], motion: Motion, start: Tensor) -> Tensor:
    """Return (frames, points, 2): where points (points, 2) of the still are on every frame."""
    middle = (torch.tensor(shape) - 1) / 2
    field = motion.yields_px.movedim(-1, 0)[None]
    paths = []
    for shift, turn, share in zip(motion.shift_px, motion.turn, motion.yielding, strict=True):
        stiff = (start - middle) @ _rotation(turn).T + middle + shift
        place = stiff
        # The field says what it does at the place that is looked for; it is flat enough to settle.
        for _ in range(SETTLES):
            place = stiff + share * sampled(field, place[None, None])[0, :, 0].T
        paths.append(place)
    return torch.stack(paths)


def _rotation(turn: Tensor) -> Tensor:
    return torch.stack(
        [torch.stack([turn.cos(), -turn.sin()]), torch.stack([turn.sin(), turn.cos()])]
    )


def grain(shape: tuple[int, int], generator: Generator) -> Tensor:
    """Return (1, 1, rows, columns) of speckle: standard deviation 1, wider than it is deep."""
    fine = torch.randn((1, 1, *shape), generator=generator)
    soft = functional.avg_pool2d(fine, (3, 3), 1, 1)
    soft = functional.avg_pool2d(soft, (1, 3), 1, (0, 1))
    return soft / soft.std()


def cine(still: Tensor, inside: Tensor, motion: Motion, generator: Generator) -> Tensor:
    """Return (frames, rows, columns) in 0..1: `still` (rows, columns) moved and made to change.

    It is seen where `inside` (rows, columns), the part that `sector` tells, is true.
    """
    shape = (still.shape[0], still.shape[1])
    image, all_pixels = still[None, None], pixels(shape)
    # Neighbouring tissue looks much the same and is not in the same place.
    other = sampled(image, all_pixels + 4.0 * elastic(shape, 16, generator)).clamp(0, 1)
    # Gain that hangs on depth, and shadows, belong to the probe.
    shade = 1 + 0.25 * elastic(shape, 4, generator)[..., 0]
    far = motion.shift_px.norm(dim=1) / motion.shift_px.norm(dim=1).max().clamp(min=1e-6)
    speckle = grain(shape, generator)
    frames = []
    for index, (shift, turn) in enumerate(zip(motion.shift_px, motion.turn, strict=True)):
        stiff = all_pixels - motion.yielding[index] * motion.yields_px
        where = origin_px(shape, shift, turn, stiff)
        share = motion.out_of_plane * float(far[index])
        seen = (1 - share) * sampled(image, where) + share * sampled(other, where)
        # Attenuations add up, so that what shines through is a product.
        seen = seen.clamp(0, 1) * (1 - motion.resting * (1 - other))
        kept = math.sqrt(1 - motion.renewed**2)
        speckle = kept * speckle + motion.renewed * grain(shape, generator)
        frame = seen * (motion.speckle * speckle).exp() * shade
        frames.append(retouch(frame, TOUCH, generator)[0, 0] * inside.float())
    return torch.stack(frames)


def moved(frames: Tensor, motion: Motion) -> Tensor:
    """Return real frames (frames, rows, columns) moved besides, each by its part of a motion."""
    shape = (frames.shape[1], frames.shape[2])
    steps = zip(frames, motion.shift_px, motion.turn, motion.yielding, strict=True)
    return torch.stack(
        [
            sampled(
                frame[None, None],
                origin_px(shape, shift, turn, pixels(shape) - share * motion.yields_px),
            )[0, 0].clamp(0, 1)
            for frame, shift, turn, share in steps
        ]
    )


TOUCH = Touch(gain=0.15, offset=0.03, gamma=1.15, noise=0.03)
"""How differently two frames of one cine may come out."""
