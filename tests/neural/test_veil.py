"""Scatter is taken off by arithmetic: a network tells how much of it there is, and no more."""

import pytest
import torch
from torch import Tensor

from dicom_ai_node.neural.veil import BLACK, SPREADS_PX, Veil


def _veil() -> Veil:
    torch.manual_seed(1)
    return Veil().eval()


def _chest(side: int = 256) -> Tensor:
    """Return a bright middle between two dark fields with fine ribs, black at the top."""
    across = torch.linspace(-3, 3, side)
    smooth = 0.35 + 0.4 * torch.exp(-(across**2))
    ribs = 0.05 * torch.sign(torch.sin(torch.linspace(0, 60, side)))
    image = smooth[None, :] + ribs[:, None]
    image[: side // 8] = 0
    return image[None, None]


def _fixed(network: Veil, strength: float, nepers: float = 2.5) -> None:
    """Let a network tell this of every image."""

    def told(copy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shares = torch.full((1, len(SPREADS_PX), 1, 1), 1 / len(SPREADS_PX))
        return torch.full_like(copy, strength), shares, torch.full((1, 1, 1, 1), nepers)

    network._told = told  # type: ignore[method-assign]


@pytest.mark.parametrize("shape", [(256, 256), (100, 260), (17, 33)])
def test_it_gives_one_change_per_pixel_of_any_image(shape: tuple[int, int]) -> None:
    """Of several at once, each by itself."""
    network, images = _veil(), torch.rand(3, 1, *shape)
    together = network(images)
    assert together.shape == images.shape
    assert bool(torch.isfinite(together).all())
    assert torch.allclose(together[1:2], network(images[1:2]), atol=1e-5)


def test_black_stays_and_so_do_mean_and_deviation_of_the_rest() -> None:
    """How wide the window is, is for whoever looks at it."""
    image = _chest()
    restored = image + _veil()(image).detach()
    there = image > BLACK
    assert torch.equal(restored[image == 0], image[image == 0])
    assert float(restored[there].mean()) == pytest.approx(float(image[there].mean()), abs=1e-4)
    assert float(restored[there].std()) == pytest.approx(float(image[there].std()), rel=1e-3)


def test_no_veil_is_no_change_and_more_veil_is_more_contrast_of_details() -> None:
    """Ribs gain beside the broad middle, most where least came through."""
    network, image, found = _veil(), _chest(), []
    for strength in (0.0, 0.3, 0.6):
        _fixed(network, strength)
        restored = (image + network(image).detach())[0, 0, 64:]
        rows = restored - restored.mean(0)
        found.append((float(rows[:, 120:136].std()), float(rows.std() / restored.std())))
    assert found[0][0] == pytest.approx(0.05, rel=0.05)
    middle, everywhere = zip(*found, strict=True)
    assert sorted(middle) == list(middle)
    assert sorted(everywhere) == list(everywhere)
    assert middle[2] > 1.2 * middle[0]


def test_an_image_of_nothing_stays() -> None:
    """There is neither a mean nor a deviation to keep."""
    assert not _veil()(torch.zeros(1, 1, 64, 64)).any()
    flat = torch.full((1, 1, 64, 64), 0.5)
    assert float(_veil()(flat).detach().abs().max()) < 0.05
