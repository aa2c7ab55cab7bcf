"""Voxels lie where dcm2niix, an independent reader, puts them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.dataset import FileDataset

from dicom_ai_node.domain.image import Volume
from dicom_ai_node.domain.model import Sees
from dicom_ai_node.encode.write import ENCODERS, encode_job, write_objects
from dicom_ai_node.infer.read import read_series
from tests.encode import scenes
from tests.infer.reading import enhanced, material
from tests.peers.tools import find
from tests.phantoms import ct, mr, write

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def _oblique() -> list[FileDataset]:
    """Return a sagittal-like stack, turned by 37 degrees, from right to left."""
    across, down = np.array([0.6, 0.8, 0.0]), np.array([0.0, 0.0, -1.0])
    series = mr(slices=7, ImageOrientationPatient=[*across, *down])
    for index, ds in enumerate(series):
        place = np.array([12.5, -30.0, 44.0]) + 2.0 * index * np.cross(across, down)
        ds.ImagePositionPatient = [round(float(value), 6) for value in place]
    return series


def _upside_down() -> list[FileDataset]:
    series = ct(spacing_mm=(3.0, 0.7, 0.9))
    for index, ds in enumerate(series):
        ds.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [20, -10, -3.0 * index]
    return series


def _differing_scales() -> list[FileDataset]:
    series = mr()
    for index, ds in enumerate(series):
        ds.RescaleSlope, ds.RescaleIntercept = 1 + index / 4, 0
    return series


@pytest.mark.peer
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(ct, id="axial CT"),
        pytest.param(_upside_down, id="axial CT counted toward the feet"),
        pytest.param(_oblique, id="oblique MR"),
        pytest.param(_differing_scales, id="MR with a scale per slice"),
    ],
)
def test_made_volumes_lie_where_dcm2niix_says(
    make: Callable[[], list[FileDataset]], tmp_path: Path
) -> None:
    """Every voxel at the same place with the same value."""
    _compare(write(reversed(make()), tmp_path / "series"), tmp_path)


@pytest.mark.peer
@pytest.mark.parametrize(
    "names",
    [
        pytest.param("dcmqi/data/segmentations/ct-3slice/*.dcm", id="liver CT"),
        pytest.param("enhanced-mr/6_1.dcm", id="enhanced MR"),
    ],
)
def test_real_volumes_lie_where_dcm2niix_says(names: str, tmp_path: Path) -> None:
    """The same with the habits of real scanners."""
    folder = tmp_path / "series"
    folder.mkdir()
    paths = [folder / path.name for path in material(names)]
    for path, source in zip(paths, material(names), strict=True):
        path.write_bytes(source.read_bytes())
    _compare(paths, tmp_path)


@pytest.mark.peer
def test_enhanced_ct_lies_where_dcm2niix_says(tmp_path: Path) -> None:
    """Frames of a multi-frame image, in the order of their positions."""
    _compare(write(enhanced(ct()), tmp_path / "series"), tmp_path)


@pytest.mark.peer
@pytest.mark.parametrize(
    "make", [pytest.param(ct, id="CT"), pytest.param(_oblique, id="oblique MR")]
)
@pytest.mark.parametrize("factor", [1, 2])
def test_a_derived_series_lies_where_its_source_lies(
    make: Callable[[], list[FileDataset]], factor: int, tmp_path: Path
) -> None:
    """The same affine to the last digit; with twice the pixels, that of the same borders."""
    scene = scenes.restored(make(), factor)
    objects = encode_job(scene.findings, scene.origin, {"derived_image": ENCODERS["derived_image"]})
    write_objects(tmp_path / "derived", objects)
    write(make(), tmp_path / "source")
    source, derived = (_converted(tmp_path / name) for name in ("source", "derived"))
    assert derived.shape == (factor * source.shape[0], factor * source.shape[1], source.shape[2])
    finer = np.diag([1 / factor, 1 / factor, 1, 1])
    finer[:2, 3] = (1 / factor - 1) / 2
    # dcm2niix counts rows from below; the borders are the same from either side.
    assert np.allclose(derived.affine, source.affine @ finer, atol=1e-3)
    assert derived.dataobj.slope == source.dataobj.slope
    assert derived.dataobj.inter == source.dataobj.inter


def _converted(folder: Path) -> nibabel.Nifti1Image:
    subprocess.run(
        [find("dcm2niix"), "-b", "n", "-z", "n", "-f", "out", "-o", folder, folder],
        check=True,
        capture_output=True,
        timeout=60,
    )
    (written,) = folder.glob("*.nii")
    image = nibabel.load(written)
    assert isinstance(image, nibabel.Nifti1Image)
    return image


def _compare(paths: list[Path], folder: Path) -> None:
    ours = read_series(paths, Sees.VOLUME)
    assert isinstance(ours, Volume)
    subprocess.run(
        [find("dcm2niix"), "-b", "n", "-z", "n", "-f", "out", "-o", folder, paths[0].parent],
        check=True,
        capture_output=True,
        timeout=60,
    )
    (written,) = folder.glob("*.nii")
    theirs = nibabel.load(written)
    values = np.asarray(theirs.dataobj)
    indices = np.indices(ours.array.shape).reshape(3, -1)
    homogeneous = np.vstack([indices, np.ones(indices.shape[1])])
    ras = RAS_FROM_LPS @ ours.geometry.affine @ homogeneous
    there = (np.linalg.inv(theirs.affine) @ ras)[:3]
    places = np.rint(there).astype(int)
    assert np.abs(there - places).max() < 0.02  # voxels; NIfTI holds float32
    valid = np.ones(ours.array.size, bool) if ours.valid is None else ours.valid.ravel()
    difference = np.abs(values[tuple(places)] - ours.array.ravel())[valid]
    assert difference.max() <= 1e-3 * max(1.0, float(np.abs(ours.array).max()))
