"""How the tests of this folder read phantoms, and where the real material lies."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage, EnhancedPETImageStorage

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import Frames, Image, Volume
from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.infer.read import read_series
from tests.phantoms import CANARY, write

MATERIAL = Path(__file__).parents[2] / "../shared/material/dicom"


def material(*names: str) -> list[Path]:
    """Return files of the real material; skip the test where it is absent."""
    paths = [path for name in names for path in sorted(MATERIAL.glob(name))]
    if not paths:
        pytest.skip("the real material is not on this machine")
    return paths


def image_of(
    datasets: Dataset | Iterable[Dataset], sees: Sees, folder: Path, **options: Option
) -> Image:
    """Write phantoms and read them."""
    return read_series(write(datasets, folder), sees, options=options)


def volume_of(datasets: Iterable[Dataset], folder: Path, **options: Option) -> Volume:
    """Write phantoms and read them as a volume."""
    image = image_of(datasets, Sees.VOLUME, folder, **options)
    assert isinstance(image, Volume)
    return image


def slices_of(datasets: Iterable[Dataset], folder: Path, **options: Option) -> Frames:
    """Write phantoms and read them as slices."""
    image = image_of(datasets, Sees.SLICES, folder, **options)
    assert isinstance(image, Frames)
    return image


def frames_of(datasets: Dataset | Iterable[Dataset], folder: Path, **options: Option) -> Frames:
    """Write phantoms and read them as frames."""
    image = image_of(datasets, Sees.FRAMES, folder, **options)
    assert isinstance(image, Frames)
    return image


def rejection_of(
    datasets: Dataset | Iterable[Dataset], sees: Sees, folder: Path, **options: Option
) -> RejectCode:
    """Write phantoms and return why they cannot be read; the reason names no patient."""
    with pytest.raises(Rejected) as caught:
        image_of(datasets, sees, folder, **options)
    assert CANARY not in str(caught.value)
    assert caught.value.detail
    return caught.value.code


def enhanced(series: list[FileDataset], **changes: object) -> FileDataset:
    """Return the enhanced multi-frame image of a phantom's slices, frames in the order given.

    Position and rescale go into the groups of each frame, orientation and spacing into the
    shared one.
    """
    ds = series[0]
    kind = {"CT": EnhancedCTImageStorage, "MR": EnhancedMRImageStorage}
    ds.SOPClassUID = kind.get(ds.Modality, EnhancedPETImageStorage)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.SOPInstanceUID = derive_uid("phantom", "enhanced", ds.Modality)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.PerFrameFunctionalGroupsSequence = [
        _frame_groups(one, index) for index, one in enumerate(series)
    ]
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ds, "ImageOrientationPatient")]
    shared.PixelMeasuresSequence = [_item(ds, "PixelSpacing", "SliceThickness")]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.NumberOfFrames = len(series)
    ds.PixelData = b"".join(one.PixelData for one in series)
    for keyword in (
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
        "RescaleIntercept", "RescaleSlope", "RescaleType", "Units",
    ):  # fmt: skip
        if keyword in ds:
            delattr(ds, keyword)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def _frame_groups(one: Dataset, index: int) -> Dataset:
    groups = Dataset()
    groups.PlanePositionSequence = [_item(one, "ImagePositionPatient")]
    content = Dataset()
    content.StackID, content.InStackPositionNumber = "1", index + 1
    groups.FrameContentSequence = [content]
    if "RescaleSlope" in one:
        item = _item(one, "RescaleIntercept", "RescaleSlope")
        item.RescaleType = one.get("Units") or one.get("RescaleType") or "US"
        groups.PixelValueTransformationSequence = [item]
    frame_type = Dataset()
    frame_type.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    name = {"CT": "CTImage", "MR": "MRImage"}.get(one.Modality, "PET")
    setattr(groups, f"{name}FrameTypeSequence", [frame_type])
    return groups


def _item(one: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        if keyword in one:
            setattr(item, keyword, one[keyword].value)
    return item


def replace_pixels(ds: FileDataset, values: np.ndarray) -> None:
    """Give a phantom other pixels of the same size."""
    ds.BitsAllocated = values.dtype.itemsize * 8
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    ds.PixelData = values.tobytes()
