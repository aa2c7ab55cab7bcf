"""How retrieval is measured: what counts as found, and among what."""

import numpy as np
import pytest

from dicom_ai_node.training.neighbours import likeness_by_angle, likeness_by_distance, precisions


def test_the_nearest_count_by_their_class() -> None:
    """A part of the nearest ones is of the class of the one that asks, its own picture left out."""
    place = np.array([[0.0], [1.0], [2.0], [10.0], [11.0]])
    found = precisions(
        likeness_by_distance(place), np.array([0, 0, 0, 1, 1]), ["a", "b", "c", "d", "e"], 2
    )
    assert found == pytest.approx([1, 1, 1, np.nan, np.nan], nan_ok=True)
    (_, _, third, *_) = precisions(
        likeness_by_distance(place), np.array([0, 0, 1, 1, 1]), ["a", "b", "c", "d", "e"], 2
    )
    assert third == 0


def test_what_is_of_the_same_group_proves_nothing() -> None:
    """The next slice of the same patient is nearest to everybody and found by nobody."""
    place = np.array([[0.0], [0.1], [5.0], [6.0]])
    labels = np.array([0, 0, 1, 0])
    found = precisions(likeness_by_distance(place), labels, ["a", "a", "b", "c"], 1)
    assert found == pytest.approx([0, 0, np.nan, 0], nan_ok=True)


def test_angles_and_distances_say_what_is_near() -> None:
    """Of unit vectors the larger cosine, of others the smaller distance."""
    one = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    assert likeness_by_angle(one)[0] == pytest.approx([1, 0.6, 0])
    assert likeness_by_distance(3 * one)[0] == pytest.approx([0, -9 * 0.8, -18])
