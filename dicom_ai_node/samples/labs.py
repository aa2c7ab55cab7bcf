"""Lab values of a sample patient as a structured report; they are made up like all headers here."""

from collections.abc import Sequence
from typing import TypeAlias

from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ComprehensiveSRStorage

from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.samples.headers import code, header

GLUCOSE_MG_DL, CRP_MG_L = 148, 6.2
Value: TypeAlias = tuple[str, str, float, str]
VALUES: Sequence[Value] = (
    ("2339-0", "Glucose [Mass/volume] in Blood", GLUCOSE_MG_DL, "mg/dL"),
    ("1988-5", "C reactive protein [Mass/volume] in Serum or Plasma", CRP_MG_L, "mg/L"),
)
"""LOINC code and meaning, number, and unit in UCUM."""
OBSERVED_AT = "20250303085500"
_NO_IMAGE = ("ImageType", "AcquisitionDate", "AcquisitionTime", "AcquisitionNumber",
             "SeriesDate", "SeriesTime")  # fmt: skip


def lab_report(name: str, values: Sequence[Value] = VALUES) -> FileDataset:
    """Return a Comprehensive SR, PS3.3 A.35.3, of the study of the sample called `name`."""
    ds = header(name, ComprehensiveSRStorage, "SR")
    for keyword in _NO_IMAGE:
        delattr(ds, keyword)
    ds.SOPInstanceUID = derive_uid("sample", name, "labs")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.SeriesInstanceUID = derive_uid("sample", name, "labs series")
    ds.SeriesNumber, ds.SeriesDescription = 3, "LAB VALUES"
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.PerformedProcedureCodeSequence = []
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [code("11502-2", "LN", "Laboratory report")]
    ds.ContentSequence = _content(values)
    return ds


def _content(values: Sequence[Value]) -> Sequence[Dataset]:
    items = []
    for number, meaning, value, unit in values:
        measured = Dataset()
        measured.NumericValue = str(value)
        measured.MeasurementUnitsCodeSequence = [code(unit, "UCUM", unit)]
        item = Dataset()
        item.RelationshipType, item.ValueType = "CONTAINS", "NUM"
        item.ObservationDateTime = OBSERVED_AT
        item.ConceptNameCodeSequence = [code(number, "LN", meaning)]
        item.MeasuredValueSequence = [measured]
        items.append(item)
    return items
