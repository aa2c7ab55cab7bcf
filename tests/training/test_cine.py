"""Made cines: the tissue is where the motion says, and what belongs to the probe stays."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Generator

from dicom_ai_node.training.cine import (
    INSET_PX,
    Motion,
    breathing,
    cine,
    origin_px,
    path_px,
    sector,
    yields,
)

SHAPE = (96, 128)
MOTION = Motion(
    shift_px=torch.tensor([[0.0, 0.0], [3.0, -5.0], [-4.5, 6.0]]),
    turn=torch.tensor([0.0, 0.1, -0.05]),
    yields_px=torch.zeros((*SHAPE, 2)),
    yielding=torch.tensor([0.0, 1.0, 0.5]),
    period_frames=None,
    speckle=0.0,
    renewed=0.5,
    out_of_plane=0.0,
)


def _still() -> torch.Tensor:
    noise = np.random.default_rng(1).normal(size=SHAPE)
    return torch.from_numpy(np.clip(0.5 + gaussian_filter(noise, 2) * 2, 0.1, 1)).float()


def test_where_a_point_goes_is_where_it_comes_from() -> None:
    """Forth and back is the same place, turn and all."""
    start = torch.tensor([[20.0, 30.0], [60.0, 100.0]])
    path = path_px(SHAPE, MOTION, start)
    assert torch.allclose(path[0], start)
    for shift, turn, places in zip(MOTION.shift_px, MOTION.turn, path, strict=True):
        assert torch.allclose(origin_px(SHAPE, shift, turn, places), start, atol=1e-3)


def test_tissue_that_yields_goes_where_its_field_says() -> None:
    """Besides the stiff motion, by what the field says where it ends."""
    field = yields(SHAPE, 3.0, Generator().manual_seed(4))
    assert float(field.norm(dim=-1).max()) == pytest.approx(3.0, abs=1e-4)
    assert float(field.diff(dim=0).norm(dim=-1).max()) < 0.5
    motion = replace(MOTION, yields_px=field)
    start = torch.tensor([[40.0, 30.0], [60.0, 90.0]])
    stiff, path = path_px(SHAPE, MOTION, start), path_px(SHAPE, motion, start)
    for index, share in enumerate(motion.yielding):
        for place, before in zip(path[index], stiff[index], strict=True):
            row, column = place.round().int().tolist()
            assert torch.allclose(place, before + share * field[row, column], atol=0.2)


@pytest.mark.parametrize("size_px", [0.0, 3.0])
def test_the_tissue_is_seen_where_it_went(size_px: float) -> None:
    """Grey values around the middle move along the path, but for noise and gain."""
    motion = replace(MOTION, yields_px=yields(SHAPE, size_px, Generator().manual_seed(4)))
    frames = cine(_still(), sector(_still()), motion, Generator().manual_seed(1))
    start = torch.tensor([[48.0, 64.0]])
    patch = frames[0, 40:57, 56:73].flatten()
    for frame, place in zip(frames[1:], path_px(SHAPE, motion, start)[1:, 0], strict=True):
        row, column = place.round().int().tolist()
        seen = frame[row - 8 : row + 9, column - 8 : column + 9].flatten()
        there = float(torch.corrcoef(torch.stack([patch, seen]))[0, 1])
        stayed = frame[40:57, 56:73].flatten()
        here = float(torch.corrcoef(torch.stack([patch, stayed]))[0, 1])
        assert there > 0.6
        assert there > here + 0.3


def test_the_edge_of_the_sector_stays() -> None:
    """Outside of it every frame is dark, and the tissue moves under it."""
    still = _still()
    inside = sector(still)
    assert inside[INSET_PX + 1 : -INSET_PX - 1, INSET_PX + 1 : -INSET_PX - 1].all()
    assert not inside[:INSET_PX].any()
    frames = cine(still, inside, MOTION, Generator().manual_seed(2))
    assert float(frames[:, ~inside].abs().max()) == 0
    assert not sector(torch.zeros(SHAPE)).any()


def test_speckle_and_other_tissue_change_what_is_seen() -> None:
    """The more, the less a frame looks like the first one where nothing has moved."""
    still = MOTION.shift_px * 0
    quiet = replace(MOTION, shift_px=still, turn=MOTION.turn * 0)
    changed = replace(quiet, speckle=0.4)

    def likeness(motion: Motion) -> float:
        frames = cine(_still(), sector(_still()), motion, Generator().manual_seed(3))[
            :, 30:60, 40:80
        ]
        return float(torch.corrcoef(frames[:2].flatten(1))[0, 1])

    assert likeness(changed) < likeness(quiet) - 0.02


@pytest.mark.parametrize("seed", range(5))
def test_a_breath_comes_back_after_its_period(seed: int) -> None:
    """At least twice, never too fast for a search, and always from the start."""
    motion = breathing(SHAPE, 40, Generator().manual_seed(seed))
    assert motion.period_frames is not None
    assert 10 <= motion.period_frames <= 40 / 2.4
    assert float(motion.shift_px[0].norm()) < 1e-6
    assert float(motion.shift_px.diff(dim=0).norm(dim=1).max()) < 6
