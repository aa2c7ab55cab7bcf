"""How well probabilities order the classes, and how sure that is."""

import numpy as np
import pytest

from dicom_ai_node.training.ranking import (
    accuracy,
    auc,
    interval,
    mean_auc,
    threshold_at,
    threshold_of,
)


def two(values: list[float]) -> np.ndarray:
    """Return probabilities of two classes, given that of the second."""
    second = np.array(values)
    return np.stack([1 - second, second], axis=1)


def test_the_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    """Of the six pairs here five are in order."""
    values = np.array([0.1, 0.4, 0.3, 0.8, 0.9])
    assert auc(values, np.array([False, False, True, True, True])) == pytest.approx(5 / 6)


def test_the_auc_counts_ties_as_half() -> None:
    """A model that says the same of everything knows nothing."""
    assert auc(np.full(7, 0.5), np.arange(7) < 3) == 0.5


def test_the_auc_of_one_kind_alone_is_not_defined() -> None:
    """It is NaN and no number that looks like a result."""
    assert np.isnan(auc(np.array([0.1, 0.2]), np.array([True, True])))


def test_two_classes_have_one_auc() -> None:
    """The mean over both is that of either."""
    found, labels = two([0.1, 0.6, 0.4, 0.9]), np.array([0, 0, 1, 1])
    assert mean_auc(found, labels) == pytest.approx(auc(found[:, 1], labels == 1)) == 0.75
    assert accuracy(found, labels) == 0.5


def test_the_threshold_lies_between_the_values_that_it_parts() -> None:
    """So that the last digit of a float moves nobody across."""
    values = np.array([0.1, 0.3, 0.7, 0.9])
    assert threshold_of(values, values > 0.5) == pytest.approx(0.5)


def test_a_threshold_can_be_told_how_many_false_alarms_it_may_raise() -> None:
    """As low as it can be with that; 1, which nothing reaches, if that is too much to ask."""
    values = np.array([0.1, 0.2, 0.3, 0.6, 0.5, 0.9])
    is_positive = np.array([False, False, False, False, True, True])
    assert threshold_at(values, is_positive, 0.25) == pytest.approx(0.4)
    assert threshold_at(values, is_positive, 0.0) == pytest.approx(0.75)
    assert threshold_at(values, values < 0.5, 0.0) == 1.0


def test_an_interval_holds_the_value_and_narrows_with_more_pictures() -> None:
    """Four times the pictures, about half the width."""
    random = np.random.default_rng(1)
    widths = []
    for count in (100, 400):
        labels = random.integers(0, 2, count)
        found = two(list(np.clip(labels * 0.3 + random.uniform(0, 0.7, count), 0, 1)))
        low, high = interval(mean_auc, found, labels, [str(n) for n in range(count)])
        assert low < mean_auc(found, labels) < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.4)


def test_an_interval_knows_that_pictures_of_one_group_are_alike() -> None:
    """A hundred pictures of ten patients tell less than a hundred patients."""
    random = np.random.default_rng(2)
    labels = np.repeat(random.integers(0, 2, 20), 10)
    found = two(list(np.repeat(random.uniform(0, 1, 20), 10)))
    single = interval(accuracy, found, labels, [str(n) for n in range(200)])
    grouped = interval(accuracy, found, labels, [str(n // 10) for n in range(200)])
    assert grouped[1] - grouped[0] > 2 * (single[1] - single[0])
