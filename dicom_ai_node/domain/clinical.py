"""What is known of a patient in numbers: age, weight, lab values. Unknown is an answer, too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from dicom_ai_node.domain.reports import ReportReference

CLINICAL_INPUTS = Code("CLINICAL", "99DAIN", "Clinical facts that the model was told")
"""Of what a report tells the facts that its model was told; it has not observed them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedAs:
    """Under which code and in which unit, UCUM, a report may tell a fact.

    What it tells, times `factor`, is in the unit of the fact.
    """

    concept: Code
    unit: str
    factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFact:
    """A fact that a model asks for, and how its network takes it.

    Attributes
    ----------
    concept, unit
        What it is, and in which unit; what is said by codes has none.
    attribute
        The PS3.6 keyword of the header that tells it, "" if headers do not.
    values
        The numbers that stand for the codes of such an attribute.
    reported
        As what a report may tell it; empty if reports are not asked.
    earlier_days
        How many days before the study a report of an earlier study may have observed it; 0 asks
        reports of the same study only.
    least, most
        What lies beyond cannot be right and counts as unknown.
    mean, deviation
        The network takes (value - mean) / deviation.
    """

    name: str
    concept: Code
    unit: Code | None
    attribute: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    reported: tuple[ReportedAs, ...] = ()
    earlier_days: float = 0.0
    least: float = -np.inf
    most: float = np.inf
    mean: float = 0.0
    deviation: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFact:
    """What is known of one fact.

    Attributes
    ----------
    value
        In `unit`, or `None` if it is unknown.
    said
        The code that a header says, where facts are said by codes.
    report
        The report that told it, `None` if that was the header of the images.
    days_before
        How long before the study it was observed, if that was at an earlier study.
    """

    name: str
    concept: Code
    unit: Code | None
    value: float | None = None
    said: str = ""
    report: ReportReference | None = None
    days_before: float | None = None


def unknown(asked: Sequence[AskedFact]) -> tuple[KnownFact, ...]:
    """Return that nothing is known of what is asked."""
    return tuple(KnownFact(name=one.name, concept=one.concept, unit=one.unit) for one in asked)


def told_vector(known: Sequence[KnownFact], asked: Sequence[AskedFact]) -> NDArray[np.float32]:
    """Return (2 * facts,) float32: scaled numbers, 0 if unknown; then 1 for each that is known."""
    by_name = {one.name: one.value for one in known}
    values = [by_name.get(one.name) for one in asked]
    numbers = [
        0.0 if value is None else (value - one.mean) / one.deviation
        for value, one in zip(values, asked, strict=True)
    ]
    return np.array([*numbers, *(value is not None for value in values)], np.float32)
