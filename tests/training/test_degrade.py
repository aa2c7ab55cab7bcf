"""What is made worse is made worse as physics would, and by as much as is asked."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import default_rng
from scipy import ndimage

from dicom_ai_node.training.degrade import (
    Haze,
    halved,
    with_ct_noise,
    with_haze,
    with_pet_noise,
    with_speckle,
)


def _disc(side: int, inside: float, outside: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where(np.hypot(y, x) < 0.4 * side, inside, outside).astype(np.float32)


def test_ct_noise_has_the_level_that_is_asked_for() -> None:
    """In tissue, around a mean that does not move."""
    clean = _disc(96, 40, -1000)
    noise = with_ct_noise(clean, 2.0, 25.0, default_rng(1)) - clean
    assert noise[clean > 0].std() == pytest.approx(25, rel=0.01)
    assert abs(noise[clean > 0].mean()) < 5


def test_ct_noise_is_strongest_where_fewest_photons_arrive() -> None:
    """In the middle of a body, and along its long axis."""
    y, x = np.mgrid[:96, :96] - 47.5
    clean = np.where((y / 20) ** 2 + (x / 44) ** 2 < 1, 40, -1000).astype(np.float32)
    middle, rim = np.hypot(y, x) < 10, (np.abs(x) > 32) & (np.abs(y) < 8)
    noises = [with_ct_noise(clean, 4.0, 25.0, default_rng(n)) - clean for n in range(4)]
    assert np.std([n[middle] for n in noises]) > 1.1 * np.std([n[rim] for n in noises])
    # Streaks along the long axis: neighbours in a row are more alike than those in a column.
    (noise, *_) = noises
    along = np.corrcoef(noise[:, :-4].ravel(), noise[:, 4:].ravel())[0, 1]
    across = np.corrcoef(noise[:-4].ravel(), noise[4:].ravel())[0, 1]
    assert along > across


def test_a_ct_slice_need_not_be_square() -> None:
    """A region of interest is none."""
    clean = np.full((40, 64), 40, np.float32)
    assert with_ct_noise(clean, 1.0, 10.0, default_rng(1)).shape == (40, 64)


def test_pet_noise_follows_the_root_of_the_uptake() -> None:
    """Four times the uptake has twice the noise, and nothing falls below 0."""
    clean = np.full((128, 128), 4.0, np.float32)
    clean[:, :64] = 1.0
    noisy = with_pet_noise(clean, 0.1, 2.5, default_rng(1))
    low, high = noisy[:, :56].std(), noisy[:, 72:].std()
    assert high / low == pytest.approx(np.sqrt(4.25 / 1.25), rel=0.15)
    assert noisy[:, 72:].mean() == pytest.approx(4, rel=0.02)
    assert with_pet_noise(clean * 0.01, 3.0, 2.5, default_rng(1)).min() >= 0


def test_pet_noise_keeps_the_counts() -> None:
    """However few they are, and although nothing falls below 0."""
    clean = _disc(64, 3.0, 0.0)
    for level in (0.1, 0.6):
        assert with_pet_noise(clean, level, 2.0, default_rng(2)).sum() == pytest.approx(clean.sum())


def test_pet_noise_has_the_level_that_is_asked_for() -> None:
    """As a part of the mean uptake."""
    clean = np.full((128, 128), 5.0, np.float32)
    noisy = with_pet_noise(clean, 0.15, 2.5, default_rng(1))
    assert noisy.std() / 5 == pytest.approx(0.15, rel=0.1)


def test_speckle_of_one_look_is_that_of_an_exponential_intensity() -> None:
    """5.57 dB of standard deviation, whatever the echo; the mean logarithm stays (Burckhardt)."""
    clean = np.full((160, 160), 128, np.float32)
    noise = with_speckle(clean, 1, (0.6, 0.6), default_rng(1)) - clean
    assert noise.std() * 60 / 255 == pytest.approx(5.57, rel=0.06)
    assert abs(noise.mean()) < 1.5


def test_more_looks_have_less_speckle_and_black_stays_black() -> None:
    """Compounding averages it away; where there is no echo there is none."""
    clean = np.full((96, 96), 128, np.float32)
    clean[:, :20] = 0
    one, five = (with_speckle(clean, looks, (0.6, 1.0), default_rng(1)) for looks in (1, 5))
    assert five[:, 20:].std() < 0.6 * one[:, 20:].std()
    assert not one[:, :20].any()


def _chest(side: int = 128) -> np.ndarray:
    """Return fields of 40 and 200 with stripes of 20, a black shutter of 12 pixels around them."""
    grey = np.full((side, side), 40, np.float32)
    grey[:, side // 2 :] = 200
    grey[:, ::8] += 20
    grey[:12] = grey[-12:] = grey[:, :12] = grey[:, -12:] = 0
    return grey


def _hazy(clean: np.ndarray, **changes: float) -> np.ndarray:
    sharp = Haze(scatter_to_primary=1.0, spread_px=60.0, blur_px=0.1, quanta=1e7, electrons=0.0)
    return with_haze(clean, replace(sharp, **changes), default_rng(1))


def _contrast(image: np.ndarray, stripe: int) -> float:
    line = image[40:88].mean(0)
    return float(line[stripe] - (line[stripe - 4] + line[stripe + 4]) / 2)


def test_scatter_takes_contrast_away_where_least_comes_through() -> None:
    """A stripe behind bone keeps less of itself than one behind lung, and more scatter takes more."""
    clean = _chest()
    some, much = _hazy(clean), _hazy(clean, scatter_to_primary=3.0)
    lung, bone = 32, 96
    for hazy in (some, much):
        assert _contrast(hazy, bone) < _contrast(hazy, lung) < _contrast(clean, lung)
    assert _contrast(much, bone) < _contrast(some, bone) < 0.7 * _contrast(clean, bone)
    assert np.abs(_hazy(clean, scatter_to_primary=0.0) - clean).max() < 2


def test_haze_keeps_the_mean_and_black_stays_black() -> None:
    """Shutters are no part of the image, and nothing shines into them."""
    clean = _chest()
    hazy = _hazy(clean)
    assert not hazy[clean == 0].any()
    assert hazy[clean > 0].mean() == pytest.approx(clean[clean > 0].mean(), abs=0.5)
    black = np.zeros((16, 16), np.float32)
    assert np.array_equal(_hazy(black), black)


def test_fewer_quanta_are_more_noise_and_most_behind_bone() -> None:
    """A quarter of the dose doubles it."""
    clean = _chest()
    clean[clean > 0] = np.where(np.arange(128) < 64, 40, 200)[None].repeat(128, 0)[clean > 0]
    full, quarter = (
        _hazy(clean, quanta=q, scatter_to_primary=0.0) - clean for q in (20000.0, 5000.0)
    )
    bone, lung = (slice(20, 108), slice(76, 108)), (slice(20, 108), slice(20, 52))
    assert quarter[bone].std() == pytest.approx(2 * full[bone].std(), rel=0.15)
    assert full[bone].std() > 1.7 * full[lung].std()


def test_halving_keeps_the_mean_and_loses_the_detail() -> None:
    """A pixel of twice the side collects what its four had."""
    image = default_rng(1).normal(100, 10, (32, 40)).astype(np.float32)
    small = halved(image, 0.0)
    assert small.shape == (16, 20)
    assert small.mean() == pytest.approx(image.mean(), rel=1e-5)
    assert small.std() == pytest.approx(image.std() / 2, rel=0.15)
    assert halved(image, 1.0).std() < small.std()
    assert np.allclose(halved(image, 0.0)[0, 0], ndimage.uniform_filter(image, 2)[1, 1], rtol=1e-5)
