"""Places that can be found again are chosen inside of the sector, apart from each other."""

import numpy as np
from scipy.ndimage import gaussian_filter

from dicom_ai_node.neural.corners import corners

SHAPE = (120, 160)


def _plain() -> np.ndarray:
    return np.full(SHAPE, 0.3, np.float32)


def test_a_corner_is_chosen_and_an_edge_is_not() -> None:
    """Along an edge every place looks the same."""
    image = _plain()
    image[:, 80:] = 0.6
    image[50:70, 40:60] = 0.7
    found = corners(image, 4, 15)
    for place in found:
        assert min(np.hypot(*(place - end)) for end in ((50, 40), (50, 60), (70, 40), (70, 60))) < 6


def test_the_best_come_first_and_keep_their_distance() -> None:
    """And there are no more of them than were asked for."""
    noise = gaussian_filter(np.random.default_rng(1).normal(size=SHAPE), 2)
    image = np.clip(0.5 + 3 * noise, 0.05, 1).astype(np.float32)
    found = corners(image, 5, 15)
    assert found.shape == (5, 2)
    assert np.array_equal(found[:2], corners(image, 2, 15))
    away = np.linalg.norm(found[:, None] - found[None], axis=2)[np.triu_indices(5, 1)]
    assert away.min() >= 15


def test_the_edge_of_the_sector_is_no_place_to_follow() -> None:
    """It stays where it is while the tissue moves; dark fluid that is shut in has no such edge."""
    image = np.zeros(SHAPE, np.float32)
    image[20:100, 30:130] = 0.3
    assert len(corners(image, 4, 15)) == 0
    image[50:70, 60:90] = 0.0
    found = corners(image, 4, 15)
    assert len(found) == 4
    assert (np.abs(found - [60, 75]) < [16, 21]).all()


def test_where_nothing_is_to_be_seen_nothing_is_chosen() -> None:
    """Neither in the dark nor in even light."""
    assert corners(np.zeros(SHAPE, np.float32), 4, 15).shape == (0, 2)
    assert corners(_plain(), 4, 15).shape == (0, 2)
