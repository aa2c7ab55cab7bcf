"""Whether probabilities mean what they say, and the one number that corrects them."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from dicom_ai_node.training.ranking import Labels, Probabilities

BINS = 10
"""Bins of equal width from 0 to 1."""

COLDEST, HOTTEST = 0.05, 20.0


def temperature_of(logits: NDArray[np.float64], labels: Labels) -> float:
    """Return the number by which logits are divided so that they are likeliest (Guo et al. 2017).

    Above 1 it makes a network less certain; the order of the classes never changes.
    """

    def surprise(log_temperature: float) -> float:
        chances = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(chances[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(surprise, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return round(float(np.exp(found.x)), 3)


def calibration_error(found: Probabilities, labels: Labels) -> float:
    """Return the expected calibration error (ECE) of the most probable class.

    The mean distance between how certain the model was and how often it was right, over ten bins
    of certainty, each weighted with the pictures in it.
    """
    certainty, right = found.max(1), found.argmax(1) == labels
    bins = np.minimum((certainty * BINS).astype(int), BINS - 1)
    return float(
        sum(
            (bins == b).mean() * abs(certainty[bins == b].mean() - right[bins == b].mean())
            for b in np.unique(bins)
        )
    )
