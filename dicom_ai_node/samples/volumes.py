"""The samples that are volumes: CT, MR and PET."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from dicom_ai_node.samples.headers import DATE, code, grey, header, place

SUV_OF_TEMPLATE = 6.0
"""SUVbw where the PET template, which has no unit, is 1."""

_DOSE_BQ, _WEIGHT_KG, _UPTAKE_S, _HALF_LIFE_S = 370e6, 70.0, 3600.0, 6586.2
BQML_PER_SUV = _DOSE_BQ * 0.5 ** (_UPTAKE_S / _HALF_LIFE_S) / (_WEIGHT_KG * 1000)
"""Bq/ml of an SUVbw of 1, after what `pet_facts` says."""


def ct_head() -> list[FileDataset]:
    """Return the head, tilted and unevenly spaced as it was scanned."""
    pixels = npz("ct_head")
    series = []
    for index, hu in enumerate(pixels["hu"]):
        ds = header("ct-head", CTImageStorage, "CT", index + 1)
        grey(ds, hu, bits=16)
        place(
            ds, "ct-head", pixels["position_mm"][index], pixels["spacing_mm"], pixels["orientation"]
        )
        ds.SliceThickness = float(pixels["thickness_mm"][index])
        ds.GantryDetectorTilt = float(pixels["tilt_degrees"])
        ds.PixelPaddingValue = -1500
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.SeriesDescription, ds.BodyPartExamined, ds.PatientPosition = "HEAD CT", "HEAD", "HFS"
        ds.KVP, ds.ConvolutionKernel = 120, "STANDARD"
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "HU"
        ds.WindowCenter, ds.WindowWidth = 35, 100
        series.append(ds)
    return series


def mr_hippocampus() -> list[FileDataset]:
    """Return the crop around one hippocampus; its place in the patient is made up."""
    pixels = npz("mr_hippocampus")
    spacing_mm, series = pixels["spacing_mm"], []
    for index, values in enumerate(pixels["values"]):
        ds = header("mr-hippocampus", MRImageStorage, "MR", index + 1)
        grey(ds, values, bits=12)
        place(
            ds, "mr-hippocampus", corner(pixels["values"].shape, spacing_mm, index), spacing_mm[1:]
        )
        ds.SliceThickness = ds.SpacingBetweenSlices = float(spacing_mm[0])
        ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        ds.SeriesDescription, ds.BodyPartExamined = "T1 HIPPOCAMPUS", "BRAIN"
        ds.PatientPosition = "HFS"
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = ["GR", "IR"], "MP", ""
        ds.MRAcquisitionType, ds.EchoTrainLength, ds.MagneticFieldStrength = "3D", 1, 3
        ds.EchoTime, ds.RepetitionTime, ds.InversionTime = 3.7, 8.0, 860
        ds.WindowCenter, ds.WindowWidth = 700, 1400
        series.append(ds)
    return series


def pet_brain() -> list[FileDataset]:
    """Return the template as if it were one patient, in Bq/ml."""
    pixels = npz("pet_brain")
    spacing_mm, series = pixels["spacing_mm"], []
    for index, milli in enumerate(pixels["milli"]):
        ds = header("pet-brain", PositronEmissionTomographyImageStorage, "PT", index + 1)
        grey(ds, milli.astype(np.int16), bits=16)
        place(ds, "pet-brain", corner(pixels["milli"].shape, spacing_mm, index), spacing_mm[1:])
        pet_facts(ds, len(pixels["milli"]))
        ds.SeriesDescription, ds.BodyPartExamined = "FDG BRAIN, MADE FROM A TEMPLATE", "BRAIN"
        ds.RescaleIntercept = 0
        ds.RescaleSlope = f"{SUV_OF_TEMPLATE / 1000 * BQML_PER_SUV:.9g}"
        ds.SliceThickness = float(spacing_mm[0])
        ds.WindowCenter, ds.WindowWidth = round(5 * BQML_PER_SUV), round(10 * BQML_PER_SUV)
        series.append(ds)
    return series


def pet_facts(ds: Dataset, slices: int) -> None:
    """Say all that SUV by body weight needs, PS3.3 C.8.9."""
    ds.PatientWeight = _WEIGHT_KG
    ds.Units, ds.CountsSource, ds.SeriesType = "BQML", "EMISSION", ["STATIC", "IMAGE"]
    ds.NumberOfSlices, ds.ImageIndex = slices, ds.InstanceNumber
    ds.CorrectedImage, ds.DecayCorrection = ["DECY", "ATTN", "SCAT"], "START"
    ds.AttenuationCorrectionMethod, ds.ScatterCorrectionMethod = "CT", "MODEL"
    ds.CollimatorType, ds.FrameReferenceTime, ds.DecayFactor = "NONE", 0, 1
    ds.ActualFrameDuration = 600_000
    fdg = Dataset()
    fdg.Radiopharmaceutical = "FDG"
    fdg.RadiopharmaceuticalStartTime = "091500"  # `_UPTAKE_S` before the scan
    fdg.RadiopharmaceuticalStartDateTime = f"{DATE}091500"
    fdg.RadionuclideTotalDose, fdg.RadionuclideHalfLife = _DOSE_BQ, _HALF_LIFE_S
    fdg.RadionuclidePositronFraction = 0.97
    fdg.RadionuclideCodeSequence = [code("77004003", "SCT", "^18^Fluorine")]
    fdg.RadiopharmaceuticalCodeSequence = [code("35321007", "SCT", "Fluorodeoxyglucose F^18^")]
    ds.RadiopharmaceuticalInformationSequence = [fdg]
    lying = code("102538003", "SCT", "recumbent")
    lying.PatientOrientationModifierCodeSequence = [code("40199007", "SCT", "supine")]
    ds.PatientOrientationCodeSequence = [lying]
    ds.PatientGantryRelationshipCodeSequence = [code("102540001", "SCT", "headfirst")]


def npz(name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of one file of pixels."""
    with np.load(Path(__file__).parent / "pixels" / f"{name}.npz") as arrays:
        return dict(arrays)


def corner(
    shape: tuple[int, ...], spacing_mm: NDArray[np.float64], index: int
) -> NDArray[np.float64]:
    """Return where slice `index` begins if the middle of the volume lies at the origin."""
    middle = (np.array(shape) - 1) / 2 * spacing_mm
    return np.array([-middle[2], -middle[1], index * spacing_mm[0] - middle[0]])
