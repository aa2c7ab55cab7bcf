"""Headers that are made up from the first to the last element: nobody is called SAMPLE."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_ai_node.domain.uids import derive_uid

DATE, TIME = "20250303", "101500"


def header(name: str, sop_class_uid: UID, modality: str, number: int = 1) -> FileDataset:
    """Return instance `number` of a study of its own, without an image.

    Parameters
    ----------
    name
        Of the sample; every UID depends on nothing else and on `number`.
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = sop_class_uid
    meta.MediaStorageSOPInstanceUID = UID(derive_uid("sample", name, "instance", str(number)))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(derive_uid("sample", "implementation"))
    ds = FileDataset("sample", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class_uid, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID = derive_uid("sample", name, "study")
    ds.SeriesInstanceUID = derive_uid("sample", name, "series")
    ds.Modality, ds.ImageType = modality, ["ORIGINAL", "PRIMARY"]
    ds.PatientName = f"SAMPLE^{name.replace('-', ' ').upper()}"
    ds.PatientID = f"SAMPLE-{name.upper()}"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19700101", "O", "055Y"
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Published pixels under a made-up header"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "", ""
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = DATE
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = TIME
    ds.StudyDescription = "SAMPLE STUDY"
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 1, number, 1
    ds.Manufacturer, ds.ManufacturerModelName = "SAMPLES", "MADE UP"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "1", "1"
    return ds


def grey(ds: Dataset, values: NDArray[Any], bits: int) -> None:
    """Store (rows, columns) or (frames, rows, columns) of one sample per pixel."""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = values.shape[-2:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = values.itemsize * 8, bits, bits - 1
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    content = values.astype(values.dtype.newbyteorder("<")).tobytes()
    ds.PixelData = content + b"\0" * (len(content) % 2)
    ds["PixelData"].VR = "OW" if values.itemsize > 1 else "OB"


def place(
    ds: Dataset,
    name: str,
    corner_mm: NDArray[np.float64],
    spacing_mm: NDArray[np.float64],
    orientation: NDArray[np.float64] | None = None,
) -> None:
    """Place a slice: the centre of its first pixel, and (row, column) spacing, PS3.3 C.7.6.2."""
    if orientation is None:
        orientation = np.array([1.0, 0, 0, 0, 1, 0])
    ds.ImagePositionPatient = [f"{value:.6f}" for value in corner_mm]
    ds.ImageOrientationPatient = [f"{value:.7f}" for value in orientation]
    ds.PixelSpacing = [f"{value:.7g}" for value in spacing_mm]
    ds.FrameOfReferenceUID = derive_uid("sample", name, "frame of reference")
    ds.PositionReferenceIndicator = ""


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return a coded entry, PS3.3 8.8."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
