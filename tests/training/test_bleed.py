"""Made bleedings: as dense as blood, inside the skull, and the only difference that there is."""

import numpy as np
import pytest

from dicom_ai_node.training.bleed import (
    BLOOD_HU,
    SMALLEST_CM2,
    Head,
    crescent,
    lens,
    lump,
    varied,
    with_bleeding,
    with_distractors,
)

SIZE_PX, RADIUS_PX = 128, 45
TISSUE_HU, BONE_HU = 33.0, 900.0


def head() -> Head:
    """Return a round head of 1.6 mm pixels: noisy brain in a ring of bone."""
    rows, columns = np.ogrid[:SIZE_PX, :SIZE_PX]
    away = np.hypot(rows - SIZE_PX / 2, columns - SIZE_PX / 2)
    noise = np.random.default_rng(1).normal(0, 4, (SIZE_PX, SIZE_PX))
    hu = np.where(away < RADIUS_PX, TISSUE_HU + noise, -1000.0)
    hu[(away >= RADIUS_PX) & (away < RADIUS_PX + 6)] = BONE_HU
    return Head(hu=hu.astype(np.float32), inside=away < RADIUS_PX, pixel_mm=1.6)


@pytest.mark.parametrize("seed", range(12))
def test_blood_is_as_dense_as_blood_and_lies_in_the_skull(seed: int) -> None:
    """Its middle has 50 to 80 HU, give or take what a thick slice takes from it."""
    plain = head()
    bled = with_bleeding(plain, np.random.default_rng(seed))
    assert bled.blood is not None
    assert not (bled.blood & ~bled.inside).any()
    assert bled.blood.sum() * bled.pixel_mm**2 / 100 >= SMALLEST_CM2
    changed = np.abs(bled.hu - plain.hu) > 1
    assert not (changed & ~plain.inside).any()
    dense = float(np.percentile(bled.hu[bled.blood], 70))
    assert 0.8 * (BLOOD_HU[0] - TISSUE_HU) + TISSUE_HU - 8 < dense < BLOOD_HU[1] + 8


def test_the_noise_of_the_scanner_stays_in_the_blood() -> None:
    """A network must not learn that blood is where an image is smooth."""
    plain = head()
    for seed in range(6):
        bled = with_bleeding(plain, np.random.default_rng(seed))
        assert bled.blood is not None
        before = np.diff(plain.hu, axis=1)[bled.blood[:, 1:]].std()
        after = np.diff(bled.hu, axis=1)[bled.blood[:, 1:]].std()
        assert after > 0.8 * before


@pytest.mark.parametrize("shape", [lens, crescent])
def test_bleedings_outside_of_the_brain_touch_the_bone(shape: object) -> None:
    """An epidural lens and a subdural crescent lie against the inner table."""
    plain = head()
    rows, columns = np.ogrid[:SIZE_PX, :SIZE_PX]
    away = np.hypot(rows - SIZE_PX / 2, columns - SIZE_PX / 2)
    for seed in range(8):
        blood = shape(plain, np.random.default_rng(seed))  # type: ignore[operator]
        assert blood.any()
        assert away[blood].max() > RADIUS_PX - 3


def test_a_lens_is_thicker_than_a_crescent_of_the_same_width() -> None:
    """One bulges inward, the other follows the bone."""
    plain = head()
    rows, columns = np.ogrid[:SIZE_PX, :SIZE_PX]
    depth = (RADIUS_PX - np.hypot(rows - SIZE_PX / 2, columns - SIZE_PX / 2)) * plain.pixel_mm
    lenses = [depth[lens(plain, np.random.default_rng(n))].max() for n in range(20)]
    crescents = [depth[crescent(plain, np.random.default_rng(n))].max() for n in range(20)]
    assert np.mean(lenses) > 6
    assert np.mean(lenses) > np.mean(crescents)
    assert max(crescents) < 15


def test_a_lump_lies_in_the_brain() -> None:
    """Not against the bone, unless it is large."""
    plain = head()
    middles = [np.argwhere(lump(plain, np.random.default_rng(n))).mean(0) for n in range(20)]
    away = [np.hypot(*(middle - SIZE_PX / 2)) for middle in middles]
    assert max(away) < RADIUS_PX


def test_distractors_are_no_blood() -> None:
    """They change the image and are outlined by nobody; some are denser than any blood."""
    plain = head()
    drawn = [with_distractors(plain, np.random.default_rng(seed)) for seed in range(30)]
    assert all(one.blood is None for one in drawn)
    assert any((one.hu[one.inside] > 100).any() for one in drawn)
    assert any((one.hu == plain.hu).all() for one in drawn)


def test_a_varied_head_is_another_one_of_the_same_size() -> None:
    """Moved by some millimetres, with its inside moved along."""
    plain = head()
    other = varied(plain, np.random.default_rng(3))
    assert np.abs(other.hu - plain.hu).max() > 100
    assert other.inside.sum() == pytest.approx(plain.inside.sum(), rel=0.15)
    assert (other.hu[other.inside] > BONE_HU / 2).mean() < 0.02


def test_the_same_seed_draws_the_same() -> None:
    """Or no score could be repeated."""
    one, other = (with_bleeding(head(), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one.hu, other.hu)
