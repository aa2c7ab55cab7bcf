"""Fine detail: what it is, how strong, and whether it goes along with something."""

import pytest
import torch

from dicom_ai_node.neural.detail import alignment, denoised, evened, smooth, strengths

CHANCE = torch.Generator().manual_seed(3)
NOISE = torch.rand((2, 1, 32, 32), generator=CHANCE)


@pytest.mark.parametrize("shape", [(1, 1, 9, 7), (1, 1, 6, 9, 7)], ids=["an image", "a volume"])
def test_smoothing_keeps_what_is_even_and_spreads_a_dot(shape: tuple[int, ...]) -> None:
    """The border is no edge, and of a dot half stays along each axis."""
    assert torch.equal(smooth(torch.full(shape, 0.3)), torch.full(shape, 0.3))
    dot = torch.zeros(shape)
    middle = (0, 0, *(length // 2 for length in shape[2:]))
    dot[middle] = 1
    assert smooth(dot)[middle] == 0.5 ** (len(shape) - 2)
    assert float(smooth(dot).sum()) == pytest.approx(1)


def test_faint_noise_is_taken_away_and_an_edge_stays() -> None:
    """What is no stronger than noise is noise."""
    step = torch.zeros(1, 1, 16, 16)
    step[..., 8:] = 1
    faint = step + 0.002 * (NOISE[:1, :, :16, :16] - 0.5)
    cleaned = denoised(faint)
    assert float((cleaned[..., :6] - step[..., :6]).std()) < float(
        (faint[..., :6] - step[..., :6]).std()
    )
    assert float(cleaned[0, 0, 8, 8]) > 0.95


def test_stronger_detail_has_larger_numbers() -> None:
    """Every quantile at every scale rises with the noise; an even image has the lowest."""
    weak, strong = strengths(0.5 + 0.02 * NOISE), strengths(0.5 + 0.2 * NOISE)
    assert weak.shape == (2, 30)
    assert bool((strong > weak).all())
    assert bool((strengths(torch.full((1, 1, 32, 32), 0.5)) < weak[:1]).all())


def test_detail_that_follows_a_direction_stands_out() -> None:
    """Chance is about 1 away from nothing; the direction itself as far as there are pixels."""
    direction = (NOISE[:1] - 0.5).sign()
    other = (NOISE[1:] - 0.5).sign()
    assert float(alignment(other, direction)) < 4
    assert float(alignment(direction, direction)) == pytest.approx(32)
    assert float(alignment(-direction, direction)) == pytest.approx(32)


def test_evened_detail_is_as_strong_at_an_edge_as_elsewhere() -> None:
    """One bright border must not speak for a whole image."""
    uneven = (NOISE[:1] - 0.5) * torch.linspace(0.1, 1, 32)
    even = evened(uneven)
    assert float(even[..., 24:].std() / even[..., :8].std()) < 1.5
    assert float(uneven[..., 24:].std() / uneven[..., :8].std()) > 3
