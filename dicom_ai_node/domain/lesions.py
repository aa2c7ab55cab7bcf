"""Lesions one by one, and what has become of them since earlier studies."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydicom.sr.coding import Code

from dicom_ai_node.domain.image import SourceFrame

LONG_AXIS = Code("103339001", "SCT", "Long axis")
SHORT_AXIS = Code("103340004", "SCT", "Short axis")
SUM_OF_DIAMETERS = Code("SUMLD", "99DAIN", "Sum of longest diameters of target lesions")
"""Of our own: there is no standard code for it."""
MILLIMETRE = Code("mm", "UCUM", "mm")
COMPLETE = Code("112041", "DCM", "Target Lesion Complete Response")
PARTIAL = Code("112042", "DCM", "Target Lesion Partial Response")
PROGRESSIVE = Code("112043", "DCM", "Target Lesion Progressive Disease")
STABLE = Code("112044", "DCM", "Target Lesion Stable Disease")

_GROWN, _GROWN_MM, _SHRUNK = 0.2, 5.0, 0.3
"""RECIST 1.1 (Eisenhauer et al. 2009): 20 % and 5 mm above the least sum, 30 % below the first."""
LEAST_TARGET_MM, MOST_OF_ORGAN, MOST_TARGETS = 10.0, 2, 5
"""What may be a target lesion, and how many."""


class Fate(StrEnum):
    """What a lesion is, compared with earlier studies."""

    FIRST = "first"  # there is no earlier study to compare with
    NEW = "new"
    FOLLOWED = "followed"
    PART = "part"  # of what was one lesion before
    UNKNOWN = "unknown"  # the studies could not be brought together


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One connected part of a segment.

    Attributes
    ----------
    number
        By which people call it; it stays the same from study to study.
    of
        The number of its segment.
    tracking_uid
        By which reports name it; it stays the same, too.
    centre_mm
        (x, y, z) of its middle in the patient, PS3.3 C.7.6.2.1.1.
    frame
        The slice on which it is longest.
    ends_px
        (row, column, row, column) of the ends of its long axis on that slice.
    long_mm, short_mm
        The longest diameter in a slice, and the longest across it in the same slice.
    suv_max
        `None` where the image is no PET in SUV.
    part_of
        The tracking UID of what it was a part of, if its fate is PART.
    """

    number: int
    of: int
    tracking_uid: str
    centre_mm: tuple[float, float, float]
    frame: SourceFrame
    ends_px: tuple[float, float, float, float]
    long_mm: float
    short_mm: float
    volume_cm3: float
    suv_max: float | None = None
    fate: Fate = Fate.FIRST
    part_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A lesion of an earlier study that is not there any more.

    `merged_into` is the number of the lesion that has taken it in, or 0 if it has vanished.
    """

    number: int
    of: int
    tracking_uid: str
    merged_into: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The sum of the longest diameters of target lesions, and how it has changed.

    Attributes
    ----------
    targets
        Numbers of the lesions that were chosen at the first study.
    sum_mm, baseline_mm, nadir_mm
        Now, at the first study, and the least of all earlier ones.
    new
        How many lesions are new.
    """

    targets: tuple[int, ...]
    sum_mm: float
    baseline_mm: float
    nadir_mm: float
    new: int

    @property
    def category(self) -> Code:
        """What RECIST 1.1 would call the change of the target lesions."""
        growth = self.sum_mm - self.nadir_mm
        if self.sum_mm == 0:
            return COMPLETE
        if growth >= _GROWN_MM and growth >= _GROWN * self.nadir_mm:
            return PROGRESSIVE
        if self.baseline_mm - self.sum_mm >= _SHRUNK * self.baseline_mm:
            return PARTIAL
        return STABLE

    @property
    def is_progressive(self) -> bool:
        """Whether the targets have grown or there is something new."""
        return self.new > 0 or self.category == PROGRESSIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesions:
    """All lesions of a study. `response` is `None` where nothing can be compared."""

    frame_of_reference_uid: str
    present: tuple[Lesion, ...]
    gone: tuple[Gone, ...] = ()
    response: Response | None = None


def lesion_name(label: str, number: int) -> str:
    """Return what a person calls a lesion in a list: `Nodule no. 3`."""
    return f"{label[:50]} no. {number}"


def targets(sizes: Sequence[tuple[int, float, str]]) -> tuple[int, ...]:
    """Return which lesions are measured at every study: (number, longest diameter, organ) each.

    The longest, at least 10 mm, no more than two of one organ and five in all, RECIST 1.1.
    """
    chosen: list[int] = []
    organs: list[str] = []
    for number, long_mm, organ in sorted(sizes, key=lambda one: (-one[1], one[0])):
        if long_mm >= LEAST_TARGET_MM and organs.count(organ) < MOST_OF_ORGAN:
            chosen.append(number)
            organs.append(organ)
    return tuple(chosen[:MOST_TARGETS])
