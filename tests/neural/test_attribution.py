"""Attribution, held to properties that it must have whatever the network is."""

import pytest
import torch
from torch import nn

from dicom_ai_node.domain.errors import ModelUnusable, TaskFailed
from dicom_ai_node.domain.explaining import Explain
from dicom_ai_node.domain.pictures import Explained
from dicom_ai_node.neural.attribution import (
    Explainer,
    Score,
    emptied,
    grad_cam,
    integrated_gradients,
    occlusion,
    patches,
)

SHAPES = {2: (48, 40), 3: (24, 32, 32)}
WINDOWS = {2: (slice(8, 20), slice(22, 36)), 3: (slice(4, 8), slice(6, 12), slice(18, 24))}
REACH = 8
"""So far from its window a method may still put heat: the size of a patch, or of a coarse pixel."""
EVERY_AXES = pytest.mark.parametrize("axes", [2, 3], ids=["an image", "a volume"])


class Tunnel(nn.Module):
    """A deep network that sees nothing but one window of its input."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        conv, pool = (nn.Conv2d, nn.AvgPool2d) if axes == 2 else (nn.Conv3d, nn.AvgPool3d)
        self.window = (slice(None), slice(None), *WINDOWS[axes])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(axes)
            self.features = nn.Sequential(conv(1, 6, 3, padding=1, bias=False), nn.SiLU(), pool(2))
            self.head = nn.Linear(6, 3)
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        seen = torch.zeros_like(items)
        seen[self.window] = items[self.window]
        features = self.features(seen)
        pixels = seen[0, 0][WINDOWS[items.ndim - 2]].numel()
        return self.head((features.flatten(2).sum(2) / pixels) ** 2) * 1e4


def _items(axes: int, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.rand((count, 1, *SHAPES[axes]), generator=generator)


def _score(network: nn.Module, of: int) -> Score:
    return lambda items: network(items)[:, of]


def _inside(heat: torch.Tensor, axes: int, reach: int) -> float:
    """Return which part of the heat lies in the window, or no further from it than `reach`."""
    near = torch.zeros(heat.shape[1:], dtype=torch.bool)
    near[tuple(slice(max(s.start - reach, 0), s.stop + reach) for s in WINDOWS[axes])] = True
    amount = heat.abs()
    return float(amount[:, near].sum() / amount.sum())


@EVERY_AXES
def test_integrated_gradients_add_up_to_what_the_image_adds(axes: int) -> None:
    """Their sum is the score of the image less that of the empty one: nothing is lost or made up."""
    network, items = Tunnel(axes), _items(axes)
    for of in range(3):
        score = _score(network, of)
        found = integrated_gradients(score, items)
        gained = score(items) - score(emptied(items))
        assert gained.abs().min() > 0.1
        assert torch.allclose(found.flatten(1).sum(1), gained, rtol=1e-2)


@EVERY_AXES
def test_integrated_gradients_are_nothing_where_the_network_cannot_see(axes: int) -> None:
    """Not little: nothing."""
    found = integrated_gradients(_score(Tunnel(axes), 0), _items(axes))[:, 0]
    assert found.abs().sum() > 0
    assert _inside(found, axes, 0) == pytest.approx(1, abs=1e-6)


@EVERY_AXES
@pytest.mark.parametrize("method", list(Explained))
def test_heat_lies_where_the_network_looks(axes: int, method: Explained) -> None:
    """All of it, but for the size of a patch; a map of chance has two fifths there."""
    network = Tunnel(axes)
    how = Explain(method=method, layer="features")
    best = int(network(_items(axes))[0].argmax())
    heat = Explainer(how, network, "tunnel").heat(_score(network, best), [_items(axes)])
    window = torch.ones_like(heat)
    assert heat.shape == (2, *SHAPES[axes])
    assert _inside(window, axes, REACH) < 0.4
    assert _inside(heat, axes, REACH) > 0.99
    assert float(heat.max()) == pytest.approx(1)
    assert float(heat.min()) >= 0


@EVERY_AXES
def test_occlusion_of_a_sum_is_what_was_covered(axes: int) -> None:
    """A network that adds up its pixels loses with each patch what the patch had."""
    items = torch.zeros((1, 1, *SHAPES[axes]))
    items[(0, 0, *(s.start for s in WINDOWS[axes]))] = 3.0
    found = occlusion(lambda given: given.flatten(1).sum(1), items)
    assert float(found.max()) == pytest.approx(3)
    covering = [
        patch
        for patch in patches(SHAPES[axes])
        if all(p.start <= s.start < p.stop for p, s in zip(patch, WINDOWS[axes], strict=True))
    ]
    assert covering
    anywhere = torch.zeros(SHAPES[axes], dtype=torch.bool)
    for patch in covering:
        anywhere[patch] = True
    assert torch.equal(found[0] > 0, anywhere)


@EVERY_AXES
def test_patches_leave_nothing_uncovered(axes: int) -> None:
    """Also where the size is no multiple of anything."""
    shape = tuple(length + 1 for length in SHAPES[axes])
    seen = torch.zeros(shape)
    for patch in patches(shape):
        seen[patch] += 1
    assert seen.min() >= 1


@pytest.mark.parametrize("method", list(Explained))
def test_batches_are_an_inner_matter(method: Explained) -> None:
    """Items explained two at a time are as warm as those explained together."""
    network = Tunnel(2)
    explainer = Explainer(Explain(method=method, layer="features"), network, "tunnel")
    items = _items(2, count=4)
    one = explainer.heat(_score(network, 1), [items])
    two = explainer.heat(_score(network, 1), list(items.split(2)))
    assert torch.allclose(one, two, atol=1e-5)


def test_grad_cam_of_a_volume_finds_the_slice_that_decides() -> None:
    """Trilinear, on the axes of the volume."""
    volume = torch.zeros((1, 1, 12, 16, 16))
    volume[0, 0, 9, 4:8, 8:12] = 1.0
    layer = nn.AvgPool3d(2)
    found = grad_cam(lambda given: layer(given).flatten(1).sum(1), volume, layer)
    assert found.shape == (1, 12, 16, 16)
    slice_, row, column = (int(n) for n in torch.nonzero(found[0] == found.max())[0])
    assert slice_ in {8, 9}
    assert 4 <= row < 8
    assert 8 <= column < 12


def test_an_answer_that_does_not_depend_on_the_image_has_no_explanation() -> None:
    """It is a mistake of the network, not a dark map."""
    with pytest.raises(TaskFailed, match="does not depend"):
        integrated_gradients(lambda items: torch.ones(len(items)), _items(2))


def test_a_layer_that_is_not_there_is_found_before_any_patient_comes() -> None:
    """Only Grad-CAM needs one."""
    with pytest.raises(ModelUnusable, match="there is no layer attic"):
        Explainer(Explain(method=Explained.GRAD_CAM, layer="attic"), Tunnel(2), "tunnel")
    Explainer(Explain(method=Explained.OCCLUSION), Tunnel(2), "tunnel")
