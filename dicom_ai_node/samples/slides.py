"""The sample of microscopy: one small whole slide in tiles."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import VLWholeSlideMicroscopyImageStorage

from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.samples.headers import DATE, TIME, code, header

TILE_PX = 256
ASSUMED_MM_PER_PX = 0.0005
"""What scanners give at 20 x. The source does not tell: whatever is measured on it is made up."""
CORNER_MM = (10.0, 40.0)
"""Where the first pixel lies on the glass, (x, y)."""


def sm_nuclei() -> list[FileDataset]:
    """Return four fields of one stained section, side by side as four tiles, TILED_FULL."""
    ds = header("sm-nuclei", VLWholeSlideMicroscopyImageStorage, "SM")
    with Image.open(Path(__file__).parent / "pixels/sm_nuclei.png") as image:
        pixels = np.asarray(image.convert("RGB"), np.uint8)
    ds.SeriesDescription = "MADE: FOUR FIELDS SIDE BY SIDE"
    whole_slide(ds, "sm-nuclei", pixels, TILE_PX, ASSUMED_MM_PER_PX)
    return [ds]


def whole_slide(
    ds: Dataset, name: str, pixels: NDArray[np.uint8], tile_px: int, mm_per_px: float
) -> None:
    """Make `ds` a slide of square tiles, PS3.3 A.32.8, rows of tiles from the first pixel on.

    Parameters
    ----------
    name
        Of what is shown; the UIDs depend on it.
    pixels
        (rows, columns, 3) RGB; whole numbers of tiles both ways.
    """
    rows, columns, _ = pixels.shape
    down, across = rows // tile_px, columns // tile_px
    tiles = pixels.reshape(down, tile_px, across, tile_px, 3).swapaxes(1, 2)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows = ds.Columns = tile_px
    ds.NumberOfFrames = down * across
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.LossyImageCompression, ds.BurnedInAnnotation, ds.SpecimenLabelInImage = "00", "NO", "NO"
    ds.PixelData = np.ascontiguousarray(tiles).tobytes()
    ds["PixelData"].VR = "OB"
    ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns = rows, columns
    _place(ds, name, mm_per_px)
    _optics(ds)
    _specimen(ds, name)


def _place(ds: Dataset, name: str, mm_per_px: float) -> None:
    ds.AcquisitionDateTime, ds.AcquisitionDuration = DATE + TIME, 1.0
    ds.FrameOfReferenceUID = derive_uid("sample", name, "frame of reference")
    ds.PositionReferenceIndicator = "SLIDE_CORNER"
    ds.VolumetricProperties, ds.FocusMethod, ds.ExtendedDepthOfField = "VOLUME", "AUTO", "NO"
    ds.ImagedVolumeHeight = ds.TotalPixelMatrixRows * mm_per_px
    ds.ImagedVolumeWidth = ds.TotalPixelMatrixColumns * mm_per_px
    ds.ImagedVolumeDepth = 4.0  # micrometres
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = CORNER_MM
    ds.TotalPixelMatrixOriginSequence = [origin]
    ds.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    ds.TotalPixelMatrixFocalPlanes, ds.NumberOfOpticalPaths = 1, 1
    ds.DimensionOrganizationType = "TILED_FULL"
    organization = Dataset()
    organization.DimensionOrganizationUID = derive_uid("sample", name, "dimensions")
    ds.DimensionOrganizationSequence = [organization]
    measures, kind, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [mm_per_px, mm_per_px], 0.004
    kind.FrameType = ds.ImageType
    shared.PixelMeasuresSequence = [measures]
    shared.WholeSlideMicroscopyImageFrameTypeSequence = [kind]
    ds.SharedFunctionalGroupsSequence = [shared]


def _optics(ds: Dataset) -> None:
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    path.IlluminationTypeCodeSequence = [code("111744", "DCM", "Brightfield illumination")]
    path.IlluminationColorCodeSequence = [code("414298005", "SCT", "Full Spectrum")]
    path.ICCProfile = _srgb()
    ds.OpticalPathSequence = [path]


def _srgb() -> bytes:
    """Return the profile of sRGB, always the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # the time at which it was made, ICC.1 7.2.8
    return bytes(profile) + b"\0" * (len(profile) % 2)


def _specimen(ds: Dataset, name: str) -> None:
    ds.AcquisitionContextSequence = []
    ds.ContainerIdentifier = f"SAMPLE-{name.upper()}"
    ds.IssuerOfTheContainerIdentifierSequence = []
    ds.ContainerTypeCodeSequence = [code("433466003", "SCT", "Microscope slide")]
    specimen = Dataset()
    specimen.SpecimenIdentifier = ds.ContainerIdentifier
    specimen.IssuerOfTheSpecimenIdentifierSequence = []
    specimen.SpecimenUID = derive_uid("sample", name, "specimen")
    specimen.SpecimenPreparationSequence = []
    ds.SpecimenDescriptionSequence = [specimen]
