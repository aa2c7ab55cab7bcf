"""How one measured quantity of one patient changes from study to study."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pydicom.sr.coding import Code

from dicom_ai_node.domain.reports import ReportReference

_DAY = timedelta(days=1)
_HAS_RATE = frozenset({"mm", "mm2", "cm", "cm2", "cm3", "ml", "mL"})
"""Units of what grows or shrinks; a change per day of anything else says little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What was measured at one study.

    Attributes
    ----------
    at
        When the patient was examined, as the study says it.
    low, high
        The least and the greatest of several frames, of which `value` is the median.
    report
        Where it stands; `None` for what this job has measured.
    """

    at: datetime
    value: float
    low: float
    high: float
    report: ReportReference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One quantity of one structure at two studies or more, the last of which is this one.

    Attributes
    ----------
    of
        The number of the segment that was measured, or `None` for the image as a whole.
    label
        What a person calls what was measured.
    points
        By time, one per study.
    """

    of: int | None
    label: str
    concept: Code
    unit: Code
    derivation: Code | None = None
    points: tuple[Point, ...]

    @property
    def change(self) -> float:
        """How much more it is now than at the study before, in `unit`."""
        return self.points[-1].value - self.points[-2].value

    @property
    def change_percent(self) -> float | None:
        """The change in percent of what it was, or `None` if that was nothing or less."""
        before = self.points[-2].value
        return 100 * self.change / before if before > 0 else None

    @property
    def days(self) -> float:
        """Days from the study before to this one."""
        return (self.points[-1].at - self.points[-2].at) / _DAY

    @property
    def per_day(self) -> float | None:
        """The slope of the straight line nearest to all points, in `unit` per day.

        `None` if all points lie within a day, and for quantities that do not grow.
        """
        days = np.array([(point.at - self.points[0].at) / _DAY for point in self.points])
        if days[-1] < 1 or self.unit.value not in _HAS_RATE:
            return None
        slope, _ = np.polyfit(days - days.mean(), [point.value for point in self.points], 1)
        return float(slope)

    @property
    def reports(self) -> tuple[ReportReference, ...]:
        """The earlier reports that values were taken from."""
        return tuple(point.report for point in self.points if point.report is not None)
