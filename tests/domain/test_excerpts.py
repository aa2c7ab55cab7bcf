"""What is looked at of a large input: evenly spread, and not where there is nothing."""

import numpy as np

from dicom_ai_node.domain.excerpts import MOST_PLANES, MOST_WINDOWS, evenly, excerpts


def test_few_are_all_looked_at_and_of_many_the_first_and_the_last() -> None:
    """The others lie evenly between them."""
    assert evenly(3, 16) == [0, 1, 2]
    assert evenly(101, 5) == [0, 25, 50, 75, 100]


def test_images_are_taken_whole_where_no_window_is_asked_for() -> None:
    """At most sixteen of a stack."""
    items = np.random.default_rng(1).random((40, 1, 8, 8), np.float32)
    found = excerpts(items, (8, 6), None)
    assert len(found.places) == MOST_PLANES
    assert np.array_equal(found.of(items)[-1], items[-1])


def test_windows_lie_side_by_side_and_the_last_one_ends_with_the_image() -> None:
    """No pixel of a small image is left out."""
    items = np.random.default_rng(1).random((1, 1, 48, 32), np.float32)
    found = excerpts(items, (40, 32), (32, 32))
    assert found.places == ((0, 0, 0), (0, 8, 0))
    assert found.size == (32, 32)


def test_windows_that_show_nothing_are_left_out() -> None:
    """Air around a patient says nothing about a manipulation of him."""
    items = np.zeros((1, 2, 32, 32, 32), np.float32)
    items[:, 1, 16:] = np.random.default_rng(1).random((16, 32, 32))
    found = excerpts(items, (32, 32, 32), (16, 16, 16))
    assert {place[1] for place in found.places} == {16}
    assert found.of(items).shape == (4, 2, 16, 16, 16)


def test_a_large_volume_gives_no_more_windows_than_time_allows() -> None:
    """Eight, from all over it."""
    items = np.random.default_rng(1).random((1, 1, 48, 48, 48), np.float32)
    found = excerpts(items, (48, 48, 48), (16, 16, 16))
    assert len(found.places) == MOST_WINDOWS
    assert found.places[0][1:] == (0, 0, 0)
    assert found.places[-1][1:] == (32, 32, 32)


def test_an_image_that_shows_nothing_at_all_is_still_looked_at() -> None:
    """An empty image has windows, too."""
    assert excerpts(np.zeros((1, 1, 32, 32), np.float32), (32, 32), (16, 16)).places
