"""Made variety keeps image and labels together and stays within its limits."""

import pytest
import torch
from torch import Generator

from dicom_ai_node.training.augment import Touch, Warp, retouch, warp

STILL = Warp(degrees=0, zoom=(1, 1), shift=0)


def ball(*shape: int, count: int = 1) -> torch.Tensor:
    """Return (count, 1, *shape) with a bright ball a little off the middle."""
    axes = torch.meshgrid(*(torch.arange(n) - 0.45 * n for n in shape), indexing="ij")
    distance = torch.stack([axis**2 for axis in axes]).sum(0).sqrt()
    return (distance < min(shape) / 5).float().expand(count, 1, *shape).clone()


def seeded(seed: int = 0) -> Generator:
    """Return a generator that starts the same every time."""
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(24, 40), (16, 24, 20)], ids=["two axes", "three axes"])
def test_without_limits_nothing_moves(shape: tuple[int, ...]) -> None:
    """A warp of nothing is the identity, on grids that are no squares too."""
    image = ball(*shape)
    moved, labels = warp(image, image[:, 0].long(), STILL, seeded())
    assert torch.allclose(moved, image, atol=1e-4)
    assert labels.equal(image[:, 0].long())


@pytest.mark.parametrize("shape", [(48, 80), (24, 40, 32)], ids=["two axes", "three axes"])
def test_labels_move_with_their_image(shape: tuple[int, ...]) -> None:
    """After any warp the labels still lie on what they label."""
    image = ball(*shape, count=6)
    limits = Warp(degrees=30, zoom=(0.7, 1.4), shift=0.1, stretch=1.3, mirror=(-1,))
    moved, labels = warp(image, image[:, 0].long(), limits, seeded())
    ours, theirs = moved[:, 0] > 0.5, labels > 0
    assert ours.sum() > 0
    assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > 0.93
    assert not torch.allclose(moved, image)


def test_a_turn_on_an_oblong_grid_keeps_a_circle_round() -> None:
    """Angles are in pixels, not in parts of the image: nothing is sheared."""
    image = ball(64, 128, count=8)
    moved, _ = warp(image, image[:, 0].long(), Warp(degrees=90, zoom=(1, 1), shift=0), seeded())
    for picture in moved[:, 0]:
        spread = torch.cov((picture > 0.5).nonzero().float().T)
        assert float(spread[0, 0] / spread[1, 1]) == pytest.approx(1, abs=0.1)


def test_only_the_named_axis_is_mirrored_and_only_sometimes() -> None:
    """Of many images some are mirrored from left to right, none from top to bottom."""
    image = torch.zeros((32, 1, 8, 8))
    image[:, :, 0, 0] = 1.0
    moved, _ = warp(
        image, image[:, 0].long(), Warp(degrees=0, zoom=(1, 1), shift=0, mirror=(-1,)), seeded()
    )
    left, right = (moved[:, 0, 0, 0] > 0.5).sum(), (moved[:, 0, 0, -1] > 0.5).sum()
    assert left + right == 32
    assert min(int(left), int(right)) > 5


def test_a_stretch_changes_the_aspect() -> None:
    """So that a model sees bodies of more proportions than there are patients."""
    image = ball(64, 64, count=16)
    limits = Warp(degrees=0, zoom=(1, 1), shift=0, stretch=1.6)
    moved, _ = warp(image, image[:, 0].long(), limits, seeded())
    spreads = [torch.cov((picture > 0.5).nonzero().float().T) for picture in moved[:, 0]]
    aspects = [float((s[0, 0] / s[1, 1]).sqrt()) for s in spreads]
    assert min(aspects) < 0.9
    assert max(aspects) > 1.1
    assert 1 / 1.7 < min(aspects) <= max(aspects) < 1.7


def test_what_comes_in_from_outside_is_never_brighter_than_nothing() -> None:
    """For z-scores the outside lies between the lowest value of the image and 0."""
    image = torch.randn((8, 1, 16, 16), generator=seeded()) + 3
    limits = Warp(degrees=0, zoom=(0.5, 0.5), shift=0, background=None)
    moved, _ = warp(image, torch.zeros((8, 16, 16), dtype=torch.int64), limits, seeded())
    corners = moved[:, 0, 0, 0]
    assert (corners <= 1e-6).all()
    assert (corners >= image.flatten(1).amin(1).clamp(max=0) - 1e-6).all()


def test_a_touch_stays_between_black_and_white() -> None:
    """With `clip`, values stay where the scaling of a model puts them."""
    touch = Touch(gain=0.5, offset=0.5, gamma=2, noise=0.3, speckle=0.5, bias_field=0.5, blur=0.5)
    touched = retouch(ball(32, 32, count=8), touch, seeded())
    assert float(touched.min()) >= 0
    assert float(touched.max()) <= 1


def test_the_same_seed_makes_the_same_variety() -> None:
    """Training can be repeated."""
    image = ball(16, 16, 16, count=2)
    touch = Touch(bias_field=0.3, blur=1.0, clip=False)
    assert retouch(image, touch, seeded(5)).equal(retouch(image, touch, seeded(5)))
    assert not retouch(image, touch, seeded(5)).equal(retouch(image, touch, seeded(6)))
