"""Whether a model is right as often as it says."""

import numpy as np
import pytest
from scipy.special import softmax

from dicom_ai_node.training.certainty import calibration_error, temperature_of


def honest(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits of three classes, and labels drawn with just those probabilities."""
    random = np.random.default_rng(3)
    logits = random.normal(0, 2, (count, 3))
    labels = [int(random.choice(3, p=row)) for row in softmax(logits, axis=1)]
    return logits, np.array(labels)


def test_a_model_that_is_right_as_often_as_it_says_has_no_calibration_error() -> None:
    """But for chance."""
    logits, labels = honest(4000)
    assert calibration_error(softmax(logits, axis=1), labels) < 0.025


def test_a_model_that_is_always_certain_and_half_the_time_wrong_is_off_by_half() -> None:
    """The error is the distance between the two."""
    found = np.tile([1.0, 0.0], (10, 1))
    assert calibration_error(found, np.arange(10) % 2) == pytest.approx(0.5)


def test_the_temperature_undoes_what_made_a_model_too_certain() -> None:
    """Logits three times too large are divided by three."""
    logits, labels = honest(4000)
    assert temperature_of(logits * 3, labels) == pytest.approx(3, rel=0.1)
    loud = calibration_error(softmax(logits * 3, axis=1), labels)
    assert calibration_error(softmax(logits, axis=1), labels) < loud / 3
