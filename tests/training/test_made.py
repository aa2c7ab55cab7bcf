"""Made spots are as large as they claim, and made noise is as strong."""

import numpy as np
import pytest

from dicom_ai_node.training.made import blob, blurred, grain, uptake

SPACING_MM = (2.0, 1.0, 1.0)


@pytest.mark.parametrize("radius_mm", [5.0, 9.0])
def test_a_lump_has_about_the_volume_of_its_ball(radius_mm: float) -> None:
    """However it is stretched and bumped, so that its size means something."""
    random = np.random.default_rng(1)
    volumes = [
        blob((30, 60, 60), (15, 30, 30), radius_mm, SPACING_MM, random).sum() * 2 for _ in range(12)
    ]
    assert np.mean(volumes) == pytest.approx(4 / 3 * np.pi * radius_mm**3, rel=0.12)
    assert np.std(volumes) > 0


def test_noise_has_a_mean_of_0_and_a_deviation_of_1() -> None:
    """Whatever the size of its grains; the same seed gives the same."""
    for fwhm_mm in (2.0, 12.0):
        noise = grain((20, 40, 40), fwhm_mm, SPACING_MM, np.random.default_rng(2))
        assert abs(noise.mean()) < 1e-4
        assert noise.std() == pytest.approx(1, abs=1e-4)
    again = grain((20, 40, 40), 12.0, SPACING_MM, np.random.default_rng(2))
    assert np.array_equal(noise, again)


def test_a_scanner_spreads_and_loses_nothing() -> None:
    """A point becomes as wide as the scanner's point spread, along axes of any spacing."""
    point = np.zeros((41, 81, 81), np.float32)
    point[20, 40, 40] = 1
    seen = blurred(point, 8.0, SPACING_MM)
    assert seen.sum() == pytest.approx(1, rel=1e-3)
    for line in (seen[20, 40], seen[20, :, 40]):
        assert (line >= line.max() / 2).sum() == pytest.approx(8, abs=1)
    assert (seen[:, 40, 40] >= seen.max() / 2).sum() == pytest.approx(4, abs=1)


def test_made_uptake_follows_the_anatomy_that_it_was_given() -> None:
    """Equal grey takes up equally, air next to nothing; the same seed gives the same."""
    anatomy = np.zeros((48, 48), np.float32)
    anatomy[8:40, 8:24], anatomy[8:40, 24:40] = 0.4, 0.8
    found = [uptake(anatomy, 2.0, np.random.default_rng(n)) for n in range(8)]
    assert np.array_equal(found[3], uptake(anatomy, 2.0, np.random.default_rng(3)))
    for image in found:
        assert image[:4].max() < 0.2 * image.max()
        left, right = np.median(image[12:36, 11:21]), np.median(image[12:36, 27:37])
        assert np.median(np.abs(image[12:36, 11:21] - left)) < 0.05
        assert left > 0.03
        assert right > 0.03
    assert max(float(image.max()) for image in found) > 1.2
    assert not uptake(np.zeros((16, 16), np.float32), 2.0, np.random.default_rng(1)).any()
