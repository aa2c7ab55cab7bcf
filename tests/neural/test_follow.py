"""Points are followed by what lies around them, and it is known when they are lost."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift
from torch import Tensor
from torch.nn import functional

from dicom_ai_node.neural.follow import Rules, follow, patches, peaks, similarities

RULES = Rules(
    template_px=9, search_px=6, first_weight=0.5, half_at=0.6, per_similarity=20.0, per_px=1.0
)


def tissue(seed: int = 1) -> NDArray[np.float64]:
    """Return a texture (48, 64) in which every place looks different."""
    noise = np.random.default_rng(seed).normal(size=(48, 64))
    return np.asarray(gaussian_filter(noise, 1.5) * 8)


def features(frames: Sequence[NDArray[np.float64]]) -> list[Tensor]:
    """Return features of length 1: the values themselves and how they change."""
    stack = [
        np.stack([frame, *np.gradient(frame), *np.gradient(np.gradient(frame)[0])])
        for frame in frames
    ]
    return list(functional.normalize(torch.from_numpy(np.stack(stack)).float(), dim=1))


def test_a_patch_is_cut_around_a_point_and_nothing_lies_beyond_the_border() -> None:
    """On a pixel it holds the pixels themselves; between two it holds their mean."""
    ramp = torch.arange(30.0).reshape(1, 5, 6)
    points = torch.tensor([[2.0, 3.0], [2.0, 2.5], [0.0, 0.0]])
    cut = patches(ramp, points, 3)
    assert cut.shape == (3, 1, 3, 3)
    assert torch.allclose(cut[0, 0], ramp[0, 1:4, 2:5], atol=1e-4)
    assert torch.allclose(cut[1, 0, 1, 1], torch.tensor(14.5), atol=1e-4)
    assert cut[2, 0, 0].abs().max() < 1e-4


def test_the_similarity_is_the_correlation_at_every_place() -> None:
    """Over all channels together, each without its mean; brightness and contrast do not count."""
    torch.manual_seed(1)
    windows, templates = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 3, 3)
    found = similarities(windows, templates)
    assert found.shape == (2, 6, 6)
    one, other = (
        part - part.mean(dim=(1, 2), keepdim=True)
        for part in (windows[1, :, 2:5, 4:7], templates[1])
    )
    by_hand = (one * other).sum() / (one.norm() * other.norm())
    assert float(found[1, 2, 4]) == pytest.approx(float(by_hand), abs=1e-5)
    assert torch.allclose(similarities(3 * windows + 1, templates), found, atol=1e-4)
    assert float(similarities(windows * 0, templates).abs().max()) < 1e-3


def test_a_peak_is_found_to_parts_of_a_pixel() -> None:
    """And at the border to whole ones."""
    y, x = torch.meshgrid(torch.arange(7.0), torch.arange(7.0), indexing="ij")
    maps = torch.stack([-((y - 2.3) ** 2) - (x - 4.2) ** 2, y + x])
    where, height = peaks(maps)
    assert torch.allclose(where[0], torch.tensor([-0.7, 1.2]), atol=1e-4)
    assert where[1].tolist() == [3.0, 3.0]
    assert float(height[1]) == 12.0


def test_points_are_followed_along_a_known_path() -> None:
    """Within a third of a pixel, and sure of it."""
    way = [(0.0, 0.0), (1.5, -2.0), (3.25, -4.0), (4.0, -6.5), (2.0, -5.0)]
    frames = features([shift(tissue(), step, order=3, mode="nearest") for step in way])
    start = torch.tensor([[20.0, 30.0], [26.5, 40.25]])
    found = follow(frames, start, RULES)
    truth = start + torch.tensor(way)[:, None]
    assert float((found.points - truth).norm(dim=2).max()) < 0.34
    assert float(found.confidence.min()) > 0.9
    assert found.confidence[0].tolist() == [1.0, 1.0]


def test_a_point_that_is_gone_is_lost_where_it_was_and_found_again() -> None:
    """While other tissue is shown nothing is claimed; then it is seen twice as far away."""
    here, gone = tissue(), tissue(2)
    back = shift(here, (8, 0), order=3, mode="nearest")
    found = follow(features([here, gone, gone, back]), torch.tensor([[18.0, 30.0]]), RULES)
    assert bool((found.confidence[1:3] < RULES.least).all())
    assert found.points[1:3, 0].tolist() == [[18.0, 30.0]] * 2
    assert float((found.points[3, 0] - torch.tensor([26.0, 30.0])).norm()) < 0.3
    assert float(found.confidence[3]) > 0.5


@pytest.mark.parametrize(("first_alone", "is_found"), [(0.9, True), (2.0, False)])
def test_what_looks_as_on_the_first_frame_is_found_again_from_far(
    first_alone: float, is_found: bool
) -> None:
    """What is lost may come back elsewhere; without that vote it is looked for nearby only."""
    here, gone = tissue(), tissue() * 0
    back = shift(here, (0, 17), order=3, mode="nearest")
    rules = replace(RULES, first_alone=first_alone)
    found = follow(features([here, gone, gone, back]), torch.tensor([[24.0, 20.0]]), rules)
    assert bool((found.confidence[1:3] < RULES.least).all())
    off_px = float((found.points[3, 0] - torch.tensor([24.0, 37.0])).norm())
    assert (off_px < 0.3) is is_found
    assert (float(found.confidence[3]) > 0.5) is is_found


def test_a_point_that_is_astray_without_knowing_it_comes_home() -> None:
    """At once, and sure of it, although it seems to have jumped."""
    here, other = tissue(), tissue(3)
    away = [(1 - n / 4) * here + n / 4 * shift(other, (0.0, 5.0 * n)) for n in range(5)]
    start = torch.tensor([[24.0, 22.0]])
    rules = replace(RULES, first_weight=0.0, first_alone=0.9)
    path = follow(features([*away, shift(here, (0, 14), order=3, mode="nearest")]), start, rules)
    assert float((path.points[-1, 0] - torch.tensor([24.0, 36.0])).norm()) < 0.3
    assert float(path.confidence[-1]) > 0.5


def test_the_first_patch_decides_alone_where_all_looks_as_it_did() -> None:
    """A recent one that has slid along with something else is outvoted."""
    here, other = tissue(), tissue(3)
    blends = [here, *(0.55 * here + 0.45 * shift(other, (0.0, n)) for n in range(1, 5)), here]
    start = torch.tensor([[20.0, 30.0]])
    ends = [
        float((follow(features(blends), start, replace(RULES, first_weight=0.0,
               first_alone=alone, least=0.0)).points[-1] - start).norm())
        for alone in (0.9, 2.0)
    ]  # fmt: skip
    assert ends[0] < 0.05
    assert ends[0] < ends[1]


def test_no_point_jumps_further_than_it_can_move() -> None:
    """Only what is lost is looked for further away."""
    here = tissue()
    far = shift(here, (9, 0), order=3, mode="nearest")
    found = follow(features([here, far]), torch.tensor([[18.0, 30.0]]), replace(RULES, least=0.0))
    assert float((found.points[1] - found.points[0]).abs().max()) <= RULES.search_px


def test_the_first_patch_keeps_the_recent_one_from_drifting() -> None:
    """Tissue that fades into other tissue is not followed into it."""
    here, other = tissue(), tissue(3)
    blends = [
        (1 - part) * here + part * shift(other, (0.0, 4 * part)) for part in np.linspace(0, 1, 9)
    ]
    found = follow(features(blends), torch.tensor([[20.0, 30.0]]), RULES)
    assert float((found.points - found.points[0]).norm(dim=2).max()) < 2.5


def test_without_frames_there_is_nothing_to_follow() -> None:
    """That is said, and no empty answer given."""
    with pytest.raises(ValueError, match="no frames"):
        follow([], torch.zeros(1, 2), RULES)
