"""How near a restoration comes is told by two measures that everybody knows."""

import numpy as np
import pytest

from dicom_ai_node.training.pair import psnr, ssim, to_unit

ENDS = (0.0, 100.0)


def test_psnr_is_that_of_the_mean_square_error() -> None:
    """An error of a tenth of the range everywhere is 20 dB."""
    wanted = np.full((16, 16), 50, np.float32)
    assert psnr(wanted + 10, wanted, ENDS) == pytest.approx(20, abs=1e-3)
    assert psnr(wanted, wanted, ENDS) > 100


def test_what_lies_beyond_the_window_does_not_count() -> None:
    """Nobody sees it."""
    wanted = np.full((16, 16), 200, np.float32)
    assert psnr(wanted + 500, wanted, ENDS) > 100
    assert to_unit(wanted, ENDS).max() == 1


def test_ssim_is_1_for_the_same_image_and_falls_with_noise() -> None:
    """Structure counts, not brightness alone."""
    random = np.random.default_rng(1)
    wanted = random.uniform(0, 100, (32, 32)).astype(np.float32)
    noisy = wanted + random.normal(0, 20, (32, 32)).astype(np.float32)
    assert ssim(wanted, wanted, ENDS) == pytest.approx(1)
    assert ssim(noisy, wanted, ENDS) < 0.95
