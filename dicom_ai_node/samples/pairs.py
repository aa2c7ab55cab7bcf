"""The sample that is a pair: PET and CT of one patient, in one frame of reference."""

import numpy as np
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage, PositronEmissionTomographyImageStorage

from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.samples.headers import grey, header, place
from dicom_ai_node.samples.labs import lab_report
from dicom_ai_node.samples.volumes import BQML_PER_SUV, corner, npz, pet_facts

NAME = "petct-lung"


def petct_lung() -> list[FileDataset]:
    """Return the PET, slices of 2 mm, and the CT, finer in its planes, of a part of a chest."""
    pixels = npz("petct_lung")
    return [*_pet(pixels["milli_suv"]), *_ct(pixels["hu"])]


def petct_lung_with_labs() -> list[FileDataset]:
    """Return the pair, and what the laboratory has said of the patient on the same day."""
    return [*petct_lung(), lab_report(NAME)]


def _pet(milli: np.ndarray) -> list[FileDataset]:
    spacing_mm, series = np.array([2.0, 2.0, 2.0]), []
    for index, values in enumerate(milli):
        ds = header(NAME, PositronEmissionTomographyImageStorage, "PT", index + 1)
        grey(ds, values.astype(np.int16), bits=16)
        place(ds, NAME, corner(milli.shape, spacing_mm, index), spacing_mm[1:])
        pet_facts(ds, len(milli))
        ds.SeriesDescription, ds.BodyPartExamined = "FDG PET OF A LUNG", "CHEST"
        ds.RescaleIntercept, ds.RescaleSlope = 0, f"{BQML_PER_SUV / 1000:.9g}"
        ds.SliceThickness = 2.0
        ds.WindowCenter, ds.WindowWidth = round(2 * BQML_PER_SUV), round(4 * BQML_PER_SUV)
        series.append(ds)
    return series


def _ct(hu: np.ndarray) -> list[FileDataset]:
    spacing_mm, series = np.array([2.0, 1.0, 1.0]), []
    for index, values in enumerate(hu):
        ds = header(NAME, CTImageStorage, "CT", index + 1)
        ds.SOPInstanceUID = derive_uid("sample", NAME, "CT", str(index + 1))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.SeriesInstanceUID = derive_uid("sample", NAME, "CT series")
        ds.SeriesNumber = 2
        grey(ds, values, bits=16)
        place(ds, NAME, corner(hu.shape, spacing_mm, index), spacing_mm[1:])
        ds.SliceThickness = 2.0
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.SeriesDescription, ds.BodyPartExamined, ds.PatientPosition = "CT", "CHEST", "HFS"
        ds.KVP, ds.ConvolutionKernel = 120, "STANDARD"
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "HU"
        ds.WindowCenter, ds.WindowWidth = -400, 1400
        series.append(ds)
    return series
