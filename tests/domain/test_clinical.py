"""What a network is told of a patient: a scaled number for what is known, and that it is known."""

from dataclasses import replace

import numpy as np
from pydicom.sr.coding import Code

from dicom_ai_node.domain.clinical import AskedFact, told_vector, unknown

AGE = AskedFact(
    name="age",
    concept=Code("121033", "DCM", "Subject Age"),
    unit=Code("a", "UCUM", "year"),
    mean=60,
    deviation=15,
)
ASKED = (AGE, replace(AGE, name="years with it", mean=0, deviation=2))


def test_what_is_unknown_is_told_apart_from_what_is_average() -> None:
    """Both have the number 0; only the second one is marked as known."""
    nothing = unknown(ASKED)
    average = (replace(nothing[0], value=60.0), nothing[1])
    assert told_vector(nothing, ASKED).tolist() == [0, 0, 0, 0]
    assert told_vector(average, ASKED).tolist() == [0, 0, 1, 0]


def test_numbers_are_scaled_as_the_model_was_trained() -> None:
    """By mean and deviation, in the order in which the model asks, whatever came first."""
    known = (replace(unknown(ASKED)[1], value=5.0), replace(unknown(ASKED)[0], value=30.0))
    found = told_vector(known, ASKED)
    assert found.dtype == np.float32
    assert found.tolist() == [-2, 2.5, 1, 1]
