"""Patients that are made up: complete Part 10 data sets with known pixels and stable UIDs.

Every phantom is the same patient in the same study, so that a CT, a PET and an MR of one call can
be one study. `changes` sets attributes of every instance by keyword; `None` removes one. UIDs
depend on nothing but the series and the number of the instance: give another `SeriesInstanceUID`
to get other instances.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    VLMicroscopicImageStorage,
    VLWholeSlideMicroscopyImageStorage,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
)
from scipy.ndimage import gaussian_filter, shift

from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.samples.slides import whole_slide

CANARY = "ZZCANARY^PHI"
"""The name of the patient. No log, ledger row, metric or message may ever contain it."""

STUDY_INSTANCE_UID = derive_uid("phantom", "study")
FRAME_OF_REFERENCE_UID = derive_uid("phantom", "frame of reference")
SUV_PER_BQML = 75_000 / (370e6 * 0.5 ** (3600 / 6586.2))
"""SUVbw = Bq/ml x this, for `pet`: 75 kg, 370 MBq of F-18 at 10:00, scanned at 11:00."""


def ct_values(slices: int, rows: int, columns: int) -> NDArray[np.int16]:
    """Return Hounsfield units: air, a body of 40, a ball of 120; pixel [i, 0, 0] is -1000 + i."""
    z, y, x = _centred(slices, rows, columns)
    values = np.full((slices, rows, columns), -1000, np.int16)
    values[np.broadcast_to((y / 0.8) ** 2 + (x / 0.8) ** 2 < 1, values.shape)] = 40
    values[(z / 0.5) ** 2 + ((y + 0.2) / 0.4) ** 2 + ((x + 0.2) / 0.4) ** 2 < 1] = 120
    values[:, 0, 0] = -1000 + np.arange(slices)
    return values


def mr_values(slices: int, rows: int, columns: int) -> NDArray[np.int16]:
    """Return a body of 400 with a ball of 900 in air of 20; pixel [i, 0, 0] is i."""
    hounsfield = ct_values(slices, rows, columns)
    values = np.select([hounsfield == 40, hounsfield == 120], [400, 900], 20).astype(np.int16)
    values[:, 0, 0] = np.arange(slices)
    return values


def pet_values(slices: int, rows: int, columns: int) -> NDArray[np.int16]:
    """Return stored values: a body of 2000 with a ball of 8000; pixel [i, 0, 0] is i."""
    hounsfield = ct_values(slices, rows, columns)
    values = np.select([hounsfield == 40, hounsfield == 120], [2000, 8000], 0).astype(np.int16)
    values[:, 0, 0] = np.arange(slices)
    return values


def xray_values(rows: int, columns: int) -> NDArray[np.uint16]:
    """Return 12 bits: bright all around, two dark lungs of 800; pixel [0, 0] is 4095, [0, 1] 0."""
    _, y, x = _centred(1, rows, columns)
    values = (2600 + 400 * y[0] + 0 * x[0]).astype(np.uint16)
    for centre in (-0.4, 0.4):
        values[(y[0] / 0.7) ** 2 + ((x[0] - centre) / 0.3) ** 2 < 1] = 800
    values[0, :2] = 4095, 0
    return values


def us_values(frames: int, rows: int, columns: int) -> NDArray[np.uint8]:
    """Return grey speckle of 30..70 in the fan region and a disc of 200 that wanders right."""
    y, x = np.mgrid[:rows, :columns]
    values = np.zeros((frames, rows, columns), np.uint8)
    top, end, left, stop = us_region(rows, columns)
    for frame in range(frames):
        speckle = 30 + (y * 7 + x * 13 + frame * 5) % 41
        disc = (y - rows / 2) ** 2 + (x - columns / 3 - frame) ** 2 < (rows / 6) ** 2
        shown = np.where(disc, 200, speckle)
        values[frame, top:end, left:stop] = shown[top:end, left:stop]
    values[:, 0, 0] = 255  # burnt-in text outside the region
    return values


def us_region(rows: int, columns: int) -> tuple[int, int, int, int]:
    """Return (first row, end row, first column, end column) of the calibrated region."""
    return rows // 10, rows - rows // 10, columns // 12, columns - columns // 12


def ct(
    slices: int = 12,
    rows: int = 64,
    columns: int = 48,
    spacing_mm: tuple[float, float, float] = (2.5, 0.8, 0.8),
    **changes: object,
) -> list[FileDataset]:
    """Return an axial CT, feet to head, of `ct_values` stored with intercept -1024."""
    series = []
    for index, values in enumerate(ct_values(slices, rows, columns)):
        ds = _instance(CTImageStorage, "CT", index)
        _plane(ds, index, (slices, rows, columns), spacing_mm)
        _pixels(ds, (values + 1024).astype(np.uint16), bits=12)
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.AcquisitionNumber = 1
        ds.KVP = 120
        ds.ConvolutionKernel = "STANDARD"
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
        ds.WindowCenter, ds.WindowWidth = 40, 400
        series.append(_changed(ds, index, changes))
    return series


def mr(
    slices: int = 12,
    rows: int = 64,
    columns: int = 48,
    spacing_mm: tuple[float, float, float] = (2.0, 1.0, 1.0),
    **changes: object,
) -> list[FileDataset]:
    """Return an axial T1-weighted MR of `mr_values`, without a rescale, as MR usually comes."""
    series = []
    for index, values in enumerate(mr_values(slices, rows, columns)):
        ds = _instance(MRImageStorage, "MR", index)
        _plane(ds, index, (slices, rows, columns), spacing_mm)
        _pixels(ds, values.astype(np.uint16), bits=12)
        ds.SeriesDescription = "T1 axial"
        ds.BodyPartExamined = "HEAD"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "SE", "NONE", ""
        ds.MRAcquisitionType, ds.EchoTrainLength, ds.MagneticFieldStrength = "2D", 1, 3
        ds.EchoTime, ds.RepetitionTime = 10, 500
        ds.WindowCenter, ds.WindowWidth = 450, 900
        series.append(_changed(ds, index, changes))
    return series


def pet(
    slices: int = 12,
    rows: int = 64,
    columns: int = 48,
    spacing_mm: tuple[float, float, float] = (2.5, 0.8, 0.8),
    **changes: object,
) -> list[FileDataset]:
    """Return an FDG PET in Bq/ml of `pet_values` x 1.5; the frame of reference is that of `ct`.

    Corrected for decay to the start of the scan; `SUV_PER_BQML` turns Bq/ml into SUVbw.
    """
    series = []
    for index, values in enumerate(pet_values(slices, rows, columns)):
        ds = _instance(PositronEmissionTomographyImageStorage, "PT", index)
        _plane(ds, index, (slices, rows, columns), spacing_mm)
        _pixels(ds, values, bits=16)
        ds.ImageType = ["ORIGINAL", "PRIMARY"]
        ds.Units, ds.CountsSource, ds.SeriesType = "BQML", "EMISSION", ["STATIC", "IMAGE"]
        ds.NumberOfSlices, ds.ImageIndex, ds.AcquisitionNumber = slices, index + 1, 1
        ds.CorrectedImage, ds.DecayCorrection = ["DECY", "ATTN", "SCAT"], "START"
        ds.AttenuationCorrectionMethod, ds.ScatterCorrectionMethod = "CT", "MODEL"
        ds.CollimatorType, ds.FrameReferenceTime, ds.DecayFactor = "NONE", 0, 1
        ds.ActualFrameDuration = 120000
        ds.RescaleIntercept, ds.RescaleSlope = 0, 1.5
        ds.SeriesTime = ds.AcquisitionTime = "110000"
        ds.RadiopharmaceuticalInformationSequence = [_fdg()]
        ds.PatientOrientationCodeSequence = [_code("102538003", "SCT", "recumbent")]
        ds.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = [
            _code("40199007", "SCT", "supine")
        ]
        ds.PatientGantryRelationshipCodeSequence = [_code("102540001", "SCT", "headfirst")]
        del ds.PatientPosition
        series.append(_changed(ds, index, changes))
    return series


def dx(rows: int = 96, columns: int = 80, **changes: object) -> FileDataset:
    """Return a frontal chest X-ray FOR PRESENTATION of `xray_values`, window over all 12 bits."""
    ds = _instance(DigitalXRayImageStorageForPresentation, "DX", 0)
    _pixels(ds, xray_values(rows, columns), bits=12)
    _chest(ds)
    ds.PresentationIntentType, ds.PresentationLUTShape = "FOR PRESENTATION", "IDENTITY"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.ImagerPixelSpacing = [0.2, 0.2]
    ds.DetectorType, ds.DetectorID, ds.PositionerType, ds.KVP = "DIRECT", "1", "NONE", 120
    ds.DateOfLastDetectorCalibration = ds.TimeOfLastDetectorCalibration = ""
    ds.ImageLaterality, ds.BurnedInAnnotation, ds.LossyImageCompression = "U", "NO", "00"
    ds.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    ds.ViewCodeSequence = [_code("399348003", "SCT", "postero-anterior")]
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = []
    ds.AcquisitionContextSequence = []
    return _changed(ds, 0, changes)


def cr(rows: int = 96, columns: int = 80, **changes: object) -> FileDataset:
    """Return a computed radiograph of `xray_values`; the plate's pixels are 0.2 mm."""
    ds = _instance(ComputedRadiographyImageStorage, "CR", 0)
    _pixels(ds, xray_values(rows, columns), bits=12)
    _chest(ds)
    ds.ImagerPixelSpacing, ds.KVP, ds.PlateID = [0.2, 0.2], 120, ""
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    return _changed(ds, 0, changes)


def us(rows: int = 80, columns: int = 96, **changes: object) -> FileDataset:
    """Return an ultrasound image in grey RGB of `us_values`, 0.5 mm a pixel in `us_region`."""
    ds = _ultrasound(UltrasoundImageStorage, 1, rows, columns)
    return _changed(ds, 0, changes)


def us_cine(frames: int = 8, rows: int = 80, columns: int = 96, **changes: object) -> FileDataset:
    """Return an ultrasound cine in grey RGB of `us_values`, one frame every 40 ms."""
    ds = _ultrasound(UltrasoundMultiFrameImageStorage, frames, rows, columns)
    ds.NumberOfFrames, ds.FrameTime, ds.FrameIncrementPointer = frames, 40, 0x00181063
    return _changed(ds, 0, changes)


def us_tissue_cine(way: NDArray[np.float64], **changes: object) -> FileDataset:
    """Return a cine of tissue that moves along `way`, (frames, 2) rows and columns in pixels.

    Every place looks different, and the edge of `us_region` stays where it is.
    """
    rows, columns = 80, 96
    ds = us_cine(len(way), rows, columns)
    noise = np.random.default_rng(7).normal(size=(rows, columns))
    tissue = np.clip(110 + 130 * gaussian_filter(noise, 1.5) * 3, 0, 255)
    top, end, left, stop = us_region(rows, columns)
    values = np.zeros((len(way), rows, columns), np.uint8)
    for frame, step in zip(values, way, strict=True):
        frame[top:end, left:stop] = shift(tissue, step, order=1)[top:end, left:stop]
    ds.PixelData = np.repeat(values[..., None], 3, axis=-1).tobytes()
    return _changed(ds, 0, changes)


def mr_tissue_cine(
    way: NDArray[np.float64], places: int = 1, step_ms: float = 40.0, **changes: object
) -> list[FileDataset]:
    """Return a cine MR, one image for each moment of each place, in which tissue moves along `way`.

    Its pixels are 1.5 mm large, its moments told apart by TriggerTime; images come in no order.
    """
    noise = np.random.default_rng(7).normal(size=(80, 96))
    tissue = np.clip(400 + 500 * gaussian_filter(noise, 1.5) * 3, 0, 1500)
    series = []
    for place in range(places):
        for moment, step in enumerate(way):
            ds = mr(1, 80, 96, spacing_mm=(8.0, 1.5, 1.5))[0]
            index = place * len(way) + moment
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = derive_uid(
                "phantom", "MR cine", str(index)
            )
            ds.InstanceNumber = index + 1
            left, top, depth = ds.ImagePositionPatient
            ds.ImagePositionPatient = [left, top, depth + 8 * place]
            ds.TriggerTime, ds.SeriesDescription = step_ms * moment, "cine"
            ds.PixelData = np.rint(shift(tissue, step, order=1)).astype(np.uint16).tobytes()
            series.append(_changed(ds, index, changes))
    return series[::2] + series[1::2]


def xa_run(frames: int = 6, rows: int = 64, columns: int = 80, **changes: object) -> FileDataset:
    """Return an angiographic run of 8 frames a second: a wire that wanders; no calibration."""
    ds = _instance(XRayAngiographicImageStorage, "XA", 0)
    y, x = np.mgrid[:rows, :columns]
    values = np.zeros((frames, rows, columns), np.uint8)
    for frame in range(frames):
        values[frame] = np.where(abs(x - columns / 3 - frame - y / 8) < 2, 40, 180 + y % 7)
    _pixels(ds, values[0], bits=8)
    ds.PixelData = values.tobytes()
    ds.NumberOfFrames, ds.FrameTime, ds.FrameIncrementPointer = frames, 125, 0x00181063
    ds.ImageType, ds.PixelIntensityRelationship = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"], "LIN"
    ds.KVP, ds.RadiationSetting, ds.ExposureTime, ds.XRayTubeCurrent = 80, "SC", 10, 50
    ds.PositionerMotion = "STATIC"
    ds.ImagerPixelSpacing, ds.PatientOrientation = [0.3, 0.3], ["L", "F"]
    ds.PositionerPrimaryAngle, ds.PositionerSecondaryAngle = 0, 0
    return _changed(ds, 0, changes)


def rf(**changes: object) -> FileDataset:
    """Return a fluoroscopic run of the same wire."""
    ds = xa_run()
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = XRayRadiofluoroscopicImageStorage
    ds.Modality = "RF"
    for keyword in ("PositionerPrimaryAngle", "PositionerSecondaryAngle", "PositionerMotion"):
        delattr(ds, keyword)
    return _changed(ds, 0, changes)


def write(datasets: Dataset | Iterable[Dataset], folder: Path) -> list[Path]:
    """Write each as a Part 10 file, named by its place in the order given."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, ds in enumerate([datasets] if isinstance(datasets, Dataset) else datasets):
        paths.append(folder / f"{ds.get('Modality', 'none')}{index:04d}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def _centred(slices: int, rows: int, columns: int) -> list[NDArray[np.float64]]:
    """Return (slice, row, column) coordinates that run from -1 to 1 over the outer borders."""
    axes = ((np.arange(size) + 0.5) * 2 / size - 1 for size in (slices, rows, columns))
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def _instance(sop_class_uid: str, modality: str, index: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = sop_class_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = derive_uid("phantom", "implementation")
    ds = FileDataset("phantom", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.Modality, ds.StudyInstanceUID = sop_class_uid, modality, STUDY_INSTANCE_UID
    kind = "cine" if sop_class_uid == UltrasoundMultiFrameImageStorage else modality
    ds.SeriesInstanceUID = derive_uid("phantom", "series", kind)
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = CANARY, "ZZCANARY-ID", "19600229"
    ds.PatientSex, ds.PatientAge, ds.PatientWeight, ds.PatientSize = "F", "065Y", "75", "1.75"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "ZZCANARY-A", ""
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20250102"
    ds.StudyTime, ds.SeriesTime, ds.AcquisitionTime = "101010", "101011", "101012"
    ds.ContentTime = "101013"
    ds.StudyDescription, ds.SeriesDescription, ds.BodyPartExamined = "Phantom", modality, "CHEST"
    ds.SeriesNumber, ds.InstanceNumber = {"CT": 2, "PT": 3, "MR": 4}.get(modality, 1), index + 1
    ds.Manufacturer, ds.ManufacturerModelName = "Phantoms", "Made up"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "1", "1"
    return ds


def _plane(
    ds: Dataset,
    index: int,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
) -> None:
    """Place the slice so that the volume's middle is at the origin of the patient."""
    middle = [(size - 1) / 2 * step for size, step in zip(shape, spacing_mm, strict=True)]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    corner = (-middle[2], -middle[1], index * spacing_mm[0] - middle[0])
    ds.ImagePositionPatient = [round(value, 6) for value in corner]
    ds.PixelSpacing, ds.SliceThickness = list(spacing_mm[1:]), spacing_mm[0]
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = FRAME_OF_REFERENCE_UID, ""
    ds.PatientPosition = "HFS"


def _pixels(ds: Dataset, values: NDArray[Any], bits: int) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = values.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = values.itemsize * 8, bits, bits - 1
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    ds.PixelData = values.tobytes()


def _chest(ds: Dataset) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.ViewPosition, ds.PatientOrientation = "PA", ["L", "F"]


def _ultrasound(sop_class_uid: str, frames: int, rows: int, columns: int) -> FileDataset:
    ds = _instance(sop_class_uid, "US", 0)
    ds.BodyPartExamined = "HEAD"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "FETAL", "0001"]
    ds.PatientOrientation, ds.BurnedInAnnotation, ds.LossyImageCompression = "", "NO", "00"
    grey = us_values(frames, rows, columns)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = np.repeat(grey[..., None], 3, axis=-1).tobytes()
    top, end, left, stop = us_region(rows, columns)
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 2
    region.RegionLocationMinX0, region.RegionLocationMaxX1 = left, stop - 1
    region.RegionLocationMinY0, region.RegionLocationMaxY1 = top, end - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.05
    region.ReferencePixelX0 = region.ReferencePixelY0 = 0
    region.ReferencePixelPhysicalValueX = region.ReferencePixelPhysicalValueY = 0.0
    region.TransducerFrequency = 3500
    ds.SequenceOfUltrasoundRegions = [region]
    return ds


def _fdg() -> Dataset:
    item = Dataset()
    item.Radiopharmaceutical = "FDG"
    item.RadiopharmaceuticalStartTime = "100000"
    item.RadiopharmaceuticalStartDateTime = "20250102100000"
    item.RadionuclideTotalDose = 370e6
    item.RadionuclideHalfLife = 6586.2
    item.RadionuclidePositronFraction = 0.97
    item.RadionuclideCodeSequence = [_code("77004003", "SCT", "^18^Fluorine")]
    item.RadiopharmaceuticalCodeSequence = [_code("35321007", "SCT", "Fluorodeoxyglucose F^18^")]
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _changed(ds: FileDataset, index: int, changes: dict[str, object]) -> FileDataset:
    for keyword, value in changes.items():
        if value is not None:
            setattr(ds, keyword, value)
        elif keyword in ds:
            delattr(ds, keyword)
    if "SOPInstanceUID" not in changes:
        ds.SOPInstanceUID = derive_uid("phantom", str(ds.get("SeriesInstanceUID")), str(index))
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", "")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "")
    return ds


def sm_values(rows: int, columns: int) -> tuple[NDArray[np.uint8], list[tuple[int, int]]]:
    """Return stained discs of radius 9 on bright ground, (rows, columns, 3), and their middles.

    They lie 32 pixels apart from (24, 24) on, so that some lie across the borders of tiles.
    """
    y, x = np.mgrid[:rows, :columns]
    pixels = np.empty((rows, columns, 3), np.uint8)
    pixels[:] = (225, 205, 235)
    middles = [(r, c) for r in range(24, rows - 12, 32) for c in range(24, columns - 12, 32)]
    for row, column in middles:
        pixels[(y - row) ** 2 + (x - column) ** 2 <= 81] = (90, 40, 130)
    return pixels, middles


def sm(
    rows: int = 192, columns: int = 256, tile_px: int = 64, um: float = 0.5, **changes: object
) -> FileDataset:
    """Return a whole slide of `sm_values` in square tiles, TILED_FULL, `um` micrometres a pixel."""
    ds = _instance(VLWholeSlideMicroscopyImageStorage, "SM", 0)
    del ds.BodyPartExamined
    whole_slide(ds, "phantom", sm_values(rows, columns)[0], tile_px, um / 1000)
    return _changed(ds, 0, changes)


def sparse(ds: FileDataset, kept: Iterable[int]) -> FileDataset:
    """Return a slide, TILED_FULL before, as one that has only these tiles, numbered from 0."""
    size = int(ds.Rows)
    frame_bytes = size * size * 3
    across = int(ds.TotalPixelMatrixColumns) // size
    stored, groups = ds.PixelData, []
    ds.PixelData = b"".join(stored[n * frame_bytes : (n + 1) * frame_bytes] for n in kept)
    for n in kept:
        position, content, group = Dataset(), Dataset(), Dataset()
        row, column = divmod(n, across)
        position.RowPositionInTotalImagePixelMatrix = row * size + 1
        position.ColumnPositionInTotalImagePixelMatrix = column * size + 1
        for axis in "XYZ":
            setattr(position, f"{axis}OffsetInSlideCoordinateSystem", "0")
        content.DimensionIndexValues = [row + 1, column + 1]
        group.PlanePositionSlideSequence, group.FrameContentSequence = [position], [content]
        groups.append(group)
    ds.DimensionOrganizationType, ds.NumberOfFrames = "TILED_SPARSE", len(groups)
    ds.PerFrameFunctionalGroupsSequence = groups
    ds.DimensionIndexSequence = []
    for keyword in ("RowPositionInTotalImagePixelMatrix", "ColumnPositionInTotalImagePixelMatrix"):
        item = Dataset()
        item.DimensionIndexPointer = Tag(keyword)
        item.FunctionalGroupPointer = Tag("PlanePositionSlideSequence")
        item.DimensionOrganizationUID = ds.DimensionOrganizationSequence[0].DimensionOrganizationUID
        ds.DimensionIndexSequence.append(item)
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    ds.SharedFunctionalGroupsSequence[0].OpticalPathIdentificationSequence = [path]
    return ds


def vl_microscopic(rows: int = 100, columns: int = 120, **changes: object) -> FileDataset:
    """Return a microscopy image in one piece of `sm_values`; it says no pixel spacing."""
    ds = _instance(VLMicroscopicImageStorage, "GM", 0)
    del ds.BodyPartExamined
    ds.ImageType, ds.LossyImageCompression = ["ORIGINAL", "PRIMARY"], "00"
    ds.PatientOrientation, ds.Laterality, ds.AcquisitionContextSequence = "", "", []
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = sm_values(rows, columns)[0].tobytes()
    return _changed(ds, 0, changes)
