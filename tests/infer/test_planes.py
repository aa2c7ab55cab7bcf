"""Enhanced multi-frame images are read like the single slices that they replace."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from dicom_ai_node.domain.image import Volume
from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.infer.read import read_series
from tests.infer.reading import enhanced, material, rejection_of, volume_of
from tests.phantoms import ct, ct_values, mr, mr_values, us_cine


def _shuffled(series: list[FileDataset]) -> list[FileDataset]:
    return [series[i] for i in (3, 0, 11, 7, 5, 1, 2, 10, 9, 8, 6, 4)]


def test_frames_of_an_enhanced_ct_lie_where_their_groups_say(tmp_path: Path) -> None:
    """In any order; each frame is its own source with its own number."""
    volume = volume_of([enhanced(_shuffled(ct()))], tmp_path)
    assert np.array_equal(volume.array, ct_values(12, 64, 48))
    assert volume.unit == "[hnsf'U]"
    assert volume.geometry.spacing_mm == pytest.approx((2.5, 0.8, 0.8))
    numbers = [source.number for source in volume.sources]
    assert numbers == [2, 6, 7, 1, 12, 5, 11, 4, 10, 9, 8, 3]


def test_every_frame_has_its_own_rescale(tmp_path: Path) -> None:
    """Pixel Value Transformation may differ from frame to frame, PS3.3 C.7.6.16.2.9."""
    series = mr()
    for index, ds in enumerate(series):
        ds.RescaleSlope, ds.RescaleIntercept = index + 1, 0
    volume = volume_of([enhanced(series)], tmp_path)
    expected = mr_values(12, 64, 48) * (np.arange(12) + 1)[:, None, None]
    assert np.array_equal(volume.array, expected)


def _cut(ds: FileDataset, number: int, start: int, end: int, total: int) -> FileDataset:
    """Return the part `number` of a concatenation: frames from `start` to `end`."""
    part = deepcopy(ds)
    part.SOPInstanceUID = derive_uid("part", str(number))
    part.file_meta.MediaStorageSOPInstanceUID = part.SOPInstanceUID
    groups = ds.PerFrameFunctionalGroupsSequence
    part.PerFrameFunctionalGroupsSequence = [groups[i] for i in range(start, end)]
    part.NumberOfFrames = end - start
    size = len(ds.PixelData) // len(groups)
    part.PixelData = ds.PixelData[start * size : end * size]
    part.ConcatenationUID = derive_uid("concatenation")
    part.InConcatenationNumber, part.InConcatenationTotalNumber = number, total
    return part


def test_the_parts_of_a_concatenation_are_joined(tmp_path: Path) -> None:
    """Each frame keeps the instance and the number that it has in its own part."""
    whole = enhanced(ct())
    parts = [_cut(whole, 2, 5, 12, 2), _cut(whole, 1, 0, 5, 2)]
    volume = volume_of(parts, tmp_path)
    assert np.array_equal(volume.array, ct_values(12, 64, 48))
    assert volume.sources[5].sop_instance_uid == parts[0].SOPInstanceUID
    assert [source.number for source in volume.sources] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7]


def test_a_concatenation_with_a_part_missing_is_no_volume(tmp_path: Path) -> None:
    """Five of twelve frames would look like a short scan."""
    part = _cut(enhanced(ct()), 1, 0, 5, 2)
    assert rejection_of(part, Sees.VOLUME, tmp_path) is RejectCode.GEO_MULTIFRAME


def _without_position(ds: FileDataset) -> FileDataset:
    del ds.PerFrameFunctionalGroupsSequence[4].PlanePositionSequence
    return ds


def _one_group_less(ds: FileDataset) -> FileDataset:
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[1:]
    return ds


@pytest.mark.parametrize(
    "ds",
    [
        pytest.param(_without_position(enhanced(ct())), id="a frame without a position"),
        pytest.param(_one_group_less(enhanced(ct())), id="a frame without its groups"),
        pytest.param(us_cine(), id="a cine, which has no positions"),
    ],
)
def test_frames_that_cannot_be_placed_are_no_volume(ds: FileDataset, tmp_path: Path) -> None:
    """The functional groups do not form one."""
    assert rejection_of(ds, Sees.VOLUME, tmp_path) is RejectCode.GEO_MULTIFRAME


def test_maps_among_the_frames_are_left_out(tmp_path: Path) -> None:
    """Only ORIGINAL frames were measured; a derived one is noted."""
    ds = enhanced(mr())
    ds.PerFrameFunctionalGroupsSequence[11].MRImageFrameTypeSequence[0].FrameType = [
        "DERIVED", "PRIMARY", "DIFFUSION", "ADC",
    ]  # fmt: skip
    volume = volume_of([ds], tmp_path)
    assert len(volume.array) == 11
    assert volume.notes == ("1 derived frames left out",)


def test_two_time_points_in_one_file_are_a_time_series(tmp_path: Path) -> None:
    """The temporal position index of the frame content tells them apart."""
    later = mr()
    for ds in later:
        ds.PixelData = (ds.pixel_array + 1).tobytes()
    ds = enhanced(mr() + later)
    for index, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
        groups.FrameContentSequence[0].TemporalPositionIndex = index // 12 + 1
    assert rejection_of(ds, Sees.VOLUME, tmp_path) is RejectCode.GEO_4D
    volume = volume_of([ds], tmp_path, time_point=2)
    assert np.array_equal(volume.array, mr_values(12, 64, 48) + 1)
    assert volume.sources[0].number == 13


def test_a_real_enhanced_mr_is_a_volume() -> None:
    """Six frames of 64 x 64; two files of it are two time points."""
    paths = material("enhanced-mr/*.dcm")
    volume = read_series(paths[:1], Sees.VOLUME)
    assert isinstance(volume, Volume)
    assert volume.array.shape == (6, 64, 64)
    assert volume.geometry.spacing_mm == pytest.approx((2.4, 3.375, 3.375))
