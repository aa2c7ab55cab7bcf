"""What structured reports say in numbers, whoever wrote them."""

from dataclasses import dataclass
from datetime import datetime

from pydicom.sr.coding import Code

from dicom_ai_node.domain.uids import (
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)


@dataclass(frozen=True, slots=True)
class Place:
    """A point in the patient, (x, y, z) in mm, PS3.3 C.7.6.2.1.1; the middle of what was drawn."""

    frame_of_reference_uid: str
    at_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedMeasurement:
    """One number of a report with all that says what it is of, PS3.16 TID 300 and TID 1501.

    Attributes
    ----------
    concept, value, unit, derivation
        What was measured, how much it is, in UCUM, and whether it is a mean, a maximum ...
    finding, site, laterality
        Of what, where and on which side; `None` where the report does not say.
    tracking_id, tracking_uid
        By what the same thing is known in other reports; empty if by nothing.
    subject
        Which one, where a report tells of several subjects, such as twins in the womb; else empty.
    sources
        The images that it was measured on, as far as the report names them next to it.
    place
        Where in the patient, if the report has drawn it in three dimensions (SCOORD3D).
    observed_at
        When, if the report says so of this item; in the time zone of the report.
    """

    concept: Code
    value: float
    unit: Code
    derivation: Code | None = None
    finding: Code | None = None
    site: Code | None = None
    laterality: Code | None = None
    tracking_id: str = ""
    tracking_uid: str = ""
    subject: str = ""
    sources: tuple[SOPInstanceUID, ...] = ()
    place: Place | None = None
    observed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportReference:
    """By what a report is found again, PS3.3 C.17.2.3."""

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All numbers of one structured report, in the order in which it tells them.

    Attributes
    ----------
    reference
        Which report it is.
    studied_at
        When the patient was examined: the date of the study, or that of the report where it does
        not give one. Without a zone, as DICOM writes it; `None` if there is neither.
    written_at
        When the report itself was written, in the same way.
    made_by
        Manufacturer, model name and version of what made it, one after the other.
    replaces
        Reports that this one takes the place of, PS3.3 C.17.2 Predecessor Documents Sequence.
    left_out
        Sentences on numbers that are none, such as those without a unit. They quote nothing.
    """

    reference: ReportReference
    studied_at: datetime | None
    measurements: tuple[ReportedMeasurement, ...]
    written_at: datetime | None = None
    made_by: str = ""
    replaces: tuple[SOPInstanceUID, ...] = ()
    left_out: tuple[str, ...] = ()
