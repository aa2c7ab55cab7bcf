"""The simple methods that a network has to be better than do what their names say."""

import numpy as np
import pytest

from dicom_ai_node.training.pair import Method, Pair, psnr
from dicom_ai_node.training.simple import (
    after,
    bicubic,
    clahe,
    gamma,
    gaussian,
    median,
    non_local_means,
    subtracted,
    unsharp,
)

ENDS = (0.0, 100.0)


def _pair(side: int = 48) -> Pair:
    random = np.random.default_rng(1)
    wanted = np.full((side, side), 20, np.float32)
    wanted[:, side // 2 :] = 80
    noisy = wanted + random.normal(0, 6, wanted.shape).astype(np.float32)
    return Pair(given=noisy, wanted=wanted, ends=ENDS, group="")


@pytest.mark.parametrize(
    "methods",
    [
        pytest.param(non_local_means((0.9,)), id="non-local means"),
        pytest.param(median((3,)), id="median"),
        pytest.param(gaussian((0.8,)), id="Gaussian"),
    ],
)
def test_each_of_them_takes_noise_away(methods: list[Method]) -> None:
    """On an edge between two even halves."""
    pair = _pair()
    (method,) = methods
    found = method(pair)
    assert found.shape == pair.given.shape
    assert psnr(found, pair.wanted, ENDS) > psnr(pair.given, pair.wanted, ENDS) + 3


def test_interpolation_gives_as_many_pixels_as_are_wanted() -> None:
    """Plain first, then ever sharper."""
    plain, *sharper = [method(_pair()) for method in bicubic(2)]
    assert plain.shape == (96, 96)
    spreads = [float(image.std()) for image in (plain, *sharper)]
    assert spreads == sorted(spreads)


@pytest.mark.parametrize(
    "methods",
    [
        pytest.param(unsharp((20.0,), (0.6,)), id="unsharp mask"),
        pytest.param(clahe((0.003,)), id="CLAHE"),
        pytest.param(gamma((1.2,)), id="gamma"),
        pytest.param(subtracted((0.5,)), id="scatter subtracted"),
        pytest.param(after(non_local_means((0.9,))[0], unsharp((20.0,), (0.6,))), id="both"),
    ],
)
def test_contrast_changes_while_black_and_the_window_stay(methods: list[Method]) -> None:
    """As a network has to keep them, so that they are compared on the same terms."""
    pair = _pair()
    pair.given[:6] = 0
    (method,) = methods
    found = method(pair)
    there = pair.given > 0
    assert not found[~there].any()
    assert found[there].mean() == pytest.approx(pair.given[there].mean(), rel=1e-4)
    assert found[there].std() == pytest.approx(pair.given[there].std(), rel=1e-4)
    assert np.abs(found - pair.given).max() > 3
