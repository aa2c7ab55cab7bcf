"""Recipe of `pixels/`: how the sources of the samples were made smaller.

python -m dicom_ai_node.samples.derive FOLDER

`FOLDER` holds the published data as `ATTRIBUTION.md` lists it.
"""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

PIXELS = Path(__file__).parent / "pixels"
PADDING_HU = -1500
"""What the CT stores outside of its field of view."""

COPIES: Mapping[str, str] = {
    "train/hc18/image/297_HC.png": "us_fetal_head_2nd.png",
    "train/hc18/image/702_HC.png": "us_fetal_head_3rd.png",
    "train/hc18/image/144_HC.png": "us_cine.png",
    "train/cxr/image/eaf0b33c9223.png": "cr_chest.png",
}
"""Images that are taken as they are."""

MR = "train/hippocampus/images/hippocampus_003.nii.gz"
NUCLEI = ("2246874c8b5b", "3bfa8b3b01fd", "cbca32daaae3", "cbff60361ded")
PETCT = "train/petct/A-IA001491-0-0x0"
PET = "train/brain-pet-template/CN_PET_TEMPLATE.nii.gz"


def halved(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """Average 2 x 2 pixels of (rows, columns); a pixel that holds padding stays padding."""
    blocks = hu.reshape(hu.shape[0] // 2, 2, hu.shape[1] // 2, 2).astype(np.float64)
    mean: NDArray[np.int16] = np.round(blocks.mean(axis=(1, 3))).astype(np.int16)
    mean[(blocks == PADDING_HU).any(axis=(1, 3))] = PADDING_HU
    return mean


def ct_head(data: Path) -> dict[str, NDArray[Any]]:
    """Return every slice at half the resolution, where it truly lies.

    The centre of the first pixel moves by half of an old pixel along rows and columns.
    """
    slices = [dcmread(path) for path in (data / "dicom/ct-head-ge-28").glob("*.dcm")]
    slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    orientation = np.array(slices[0].ImageOrientationPatient, float)
    spacing_mm = np.array(slices[0].PixelSpacing, float)
    step_mm = (orientation[:3] * spacing_mm[1] + orientation[3:] * spacing_mm[0]) / 2
    return {
        "hu": np.stack([halved(ds.pixel_array.astype(np.int16)) for ds in slices]),
        "orientation": orientation,
        "spacing_mm": spacing_mm * 2,
        "position_mm": np.array([ds.ImagePositionPatient for ds in slices], float) + step_mm,
        "thickness_mm": np.array([float(ds.SliceThickness) for ds in slices]),
        "tilt_degrees": np.array(float(slices[0].GantryDetectorTilt)),
    }


def axial(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read a NIfTI file as an axial DICOM stack.

    Returns
    -------
    tuple
        (slices, rows, columns), slices toward head, rows toward posterior, columns toward left;
        and its spacing in mm along these.
    """
    # The only use of nibabel, which the node itself does not need: extra `train`.
    import nibabel as nib  # noqa: PLC0415

    image = nib.as_closest_canonical(nib.load(path))
    array = np.asarray(image.dataobj, dtype=np.float64)
    return array.transpose(2, 1, 0)[:, ::-1, ::-1], np.array(image.header.get_zooms()[2::-1], float)


def mr_hippocampus(data: Path) -> dict[str, NDArray[Any]]:
    """Return one volume with its values rounded to whole numbers."""
    values, spacing_mm = axial(data / MR)
    return {"values": np.round(values).astype(np.uint16), "spacing_mm": spacing_mm}


def pet_brain(data: Path) -> dict[str, NDArray[Any]]:
    """Return the template with pairs of slices averaged, in thousandths of its own unit."""
    values, spacing_mm = axial(data / PET)
    even = values[: values.shape[0] // 2 * 2]
    pairs = even.reshape(-1, 2, *even.shape[1:]).mean(axis=1)
    return {
        "milli": np.round(pairs * 1000).astype(np.uint16),
        "spacing_mm": spacing_mm * (2, 1, 1),
    }


def sm_nuclei(data: Path) -> Image.Image:
    """Return four fields of one section, side by side."""
    fields = [Image.open(data / f"train/nuclei/image/he_{name}_0.png") for name in NUCLEI]
    size = fields[0].width
    sheet = Image.new("RGB", (2 * size, 2 * size))
    for place, field in enumerate(fields):
        sheet.paste(field.convert("RGB"), (place % 2 * size, place // 2 * size))
    return sheet


def petct_lung(data: Path) -> dict[str, NDArray[Any]]:
    """Return the PET at 2 mm in thousandths of SUV, and the CT with pairs of slices averaged."""
    folder = data / PETCT
    suv, _ = axial(folder / "InputPET_SUV_ROI.nii.gz")
    hu, _ = axial(folder / "InputCT_ROI.nii.gz")
    slices, rows, columns = (length // 2 for length in suv.shape)
    blocks = suv.reshape(slices, 2, rows, 2, columns, 2).mean(axis=(1, 3, 5))
    pairs = hu.reshape(slices, 2, *hu.shape[1:]).mean(axis=1)
    return {
        "milli_suv": np.round(blocks * 1000).astype(np.uint16),
        "hu": np.round(pairs).astype(np.int16),
    }


def main(data: Path, folder: Path = PIXELS) -> None:
    """Write all of `pixels/`."""
    folder.mkdir(exist_ok=True)
    for make in (ct_head, mr_hippocampus, pet_brain, petct_lung):
        arrays: dict[str, Any] = make(data)
        np.savez_compressed(folder / f"{make.__name__}.npz", **arrays)
    for source, name in COPIES.items():
        shutil.copyfile(data / source, folder / name)
    sm_nuclei(data).save(folder / "sm_nuclei.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
