"""The samples that are looked at one by one: X-ray and ultrasound."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)
from scipy.ndimage import shift

from dicom_ai_node.samples.headers import grey, header

CINE_FRAMES, CINE_FRAME_MS = 24, 40.0
CINE_SWAY_PX, CINE_SWAYS, CINE_DRIFT_PX = 10.0, 2.5, 6.0
GROWN_BY, GROWN_DAYS = 1.2, 28
"""About what a head grows in four weeks of the second trimester."""

_MM_PER_PX: Mapping[str, tuple[float, float]] = {
    "us-fetal-head-2nd": (0.136595851666 * 540 / 173, 0.136595851666 * 800 / 256),
    "us-fetal-head-3rd": (0.193766080416 * 540 / 173, 0.193766080416 * 800 / 256),
    "us-cine": (0.0919285471793 * 540 / 173, 0.0919285471793 * 800 / 256),
}
"""(row, column); HC18 tells it for 800 x 540 pixels, and the images were made 256 x 173."""


def cine_path_px(frames: int = CINE_FRAMES) -> NDArray[np.float64]:
    """Return how far the cine has moved: (frames, 2) pixels along rows and columns.

    A slow drift down and two and a half sways to the right and the left, as breathing would.
    """
    phase = np.arange(frames) / frames
    sway = CINE_SWAY_PX * np.sin(2 * np.pi * CINE_SWAYS * phase)
    return np.stack([CINE_DRIFT_PX * phase, sway], axis=1)


def cr_chest() -> list[FileDataset]:
    """Return the chest; nothing can be measured on it in millimetres."""
    ds = header("cr-chest", ComputedRadiographyImageStorage, "CR")
    grey(ds, _png("cr-chest"), bits=8)
    ds.SeriesDescription, ds.BodyPartExamined = "CHEST PA", "CHEST"
    ds.ViewPosition, ds.PatientOrientation = "PA", ["L", "F"]
    # The size of its pixels was not published, so none is claimed.
    ds.KVP, ds.PlateID = None, ""
    ds.WindowCenter, ds.WindowWidth = 128, 256
    return [ds]


def fetal_head(name: str) -> list[FileDataset]:
    """Return one still image of a fetal head."""
    ds = header(name, UltrasoundImageStorage, "US")
    grey(ds, _png(name), bits=8)
    _ultrasound_facts(ds, _MM_PER_PX[name])
    return [ds]


def grown_head() -> list[FileDataset]:
    """Return the second-trimester head as it would look after `GROWN_DAYS`: every length longer.

    The same pixels with another calibration: of the same patient, and by how much the head has
    grown is known exactly.
    """
    name = "us-fetal-head-2nd"
    ds = header("us-fetal-head-grown", UltrasoundImageStorage, "US")
    grey(ds, _png(name), bits=8)
    row, column = _MM_PER_PX[name]
    _ultrasound_facts(ds, (row * GROWN_BY, column * GROWN_BY))
    ds.SeriesDescription = "MADE: A HEAD THAT HAS GROWN BY A KNOWN AMOUNT"
    first = header(name, UltrasoundImageStorage, "US")
    ds.PatientName, ds.PatientID = first.PatientName, first.PatientID
    at = datetime.strptime(str(first.StudyDate), "%Y%m%d") + timedelta(days=GROWN_DAYS)  # noqa: DTZ007
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = f"{at:%Y%m%d}"
    return [ds]


def us_cine() -> list[FileDataset]:
    """Return a cine whose every movement is `cine_path_px`."""
    ds = header("us-cine", UltrasoundMultiFrameImageStorage, "US")
    still = _png("us-cine").astype(np.float64)
    frames = [shift(still, step, order=1, cval=0.0) for step in cine_path_px()]
    grey(ds, np.round(np.stack(frames)).astype(np.uint8), bits=8)
    _ultrasound_facts(ds, _MM_PER_PX["us-cine"])
    ds.SeriesDescription = "MADE: A STILL MOVED BY A KNOWN PATH"
    ds.NumberOfFrames, ds.FrameTime, ds.FrameIncrementPointer = (
        CINE_FRAMES,
        CINE_FRAME_MS,
        0x00181063,
    )
    return [ds]


def _ultrasound_facts(ds: Dataset, mm_per_px: tuple[float, float]) -> None:
    """Calibrate the whole image as one region of tissue, PS3.3 C.8.5.5."""
    ds.SeriesDescription, ds.BodyPartExamined, ds.PatientSex = "FETAL HEAD", "HEAD", "F"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OBSTETRICAL", "0001"]
    ds.PatientOrientation, ds.LossyImageCompression, ds.BurnedInAnnotation = "", "00", "NO"
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 2
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = ds.Columns - 1, ds.Rows - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaY, region.PhysicalDeltaX = (length / 10 for length in mm_per_px)
    region.ReferencePixelX0 = region.ReferencePixelY0 = 0
    region.ReferencePixelPhysicalValueX = region.ReferencePixelPhysicalValueY = 0.0
    region.TransducerFrequency = 3500
    ds.SequenceOfUltrasoundRegions = [region]


def _png(name: str) -> NDArray[np.uint8]:
    path = Path(__file__).parent / "pixels" / f"{name.replace('-', '_')}.png"
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.uint8)
