"""Which frames of a series a model gets, and which it does not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.uids import derive_uid
from tests.infer.reading import rejection_of, replace_pixels, slices_of, volume_of
from tests.phantoms import ct, ct_values, mr

Series = list[FileDataset]
OTHER = derive_uid("test", "another series")


def _again(series: Series, **changes: object) -> Series:
    """Return the same slices as other instances, one grey value brighter."""
    for ds in series:
        values = ds.pixel_array + 1
        ds.SOPInstanceUID = derive_uid("again", ds.SOPInstanceUID, str(changes))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        replace_pixels(ds, values.astype(np.uint16))
        for keyword, value in changes.items():
            setattr(ds, keyword, value)
    return series


def _one(change: Callable[[FileDataset], None]) -> Series:
    series = ct()
    change(series[5])
    return series


def _sagittal(ds: FileDataset) -> None:
    ds.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def _half_as_high(ds: FileDataset) -> None:
    ds.Rows //= 2
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]


def _elsewhere(ds: FileDataset) -> None:
    ds.FrameOfReferenceUID = derive_uid("another", "frame of reference")


def _coarse(ds: FileDataset) -> None:
    ds.PixelSpacing = [0.9, 0.9]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_sagittal, id="another orientation"),
        pytest.param(_half_as_high, id="fewer rows"),
        pytest.param(_elsewhere, id="another frame of reference"),
        pytest.param(_coarse, id="another pixel spacing"),
    ],
)
def test_a_slice_of_another_kind_in_the_middle_is_not_missing_but_mixed(
    change: Callable[[FileDataset], None], tmp_path: Path
) -> None:
    """Sending it again would not help, so the code is not GEO_MISSING_SLICE."""
    assert rejection_of(_one(change), Sees.VOLUME, tmp_path) is RejectCode.GEO_MIXED


@pytest.mark.parametrize(
    ("series", "code"),
    [
        pytest.param(
            ct() + _again(ct(), ConvolutionKernel="BONE"),
            RejectCode.GEO_MIXED,
            id="two reconstructions of one scan",
        ),
        pytest.param(
            mr(EchoNumbers=1) + _again(mr(), EchoNumbers=2), RejectCode.GEO_MIXED, id="two echoes"
        ),
        pytest.param(
            mr(TemporalPositionIdentifier=1) + _again(mr(), TemporalPositionIdentifier=2),
            RejectCode.GEO_4D,
            id="two time points",
        ),
        pytest.param(
            mr(TriggerTime=0) + _again(mr(), TriggerTime=400), RejectCode.GEO_4D, id="a heart beat"
        ),
        pytest.param(
            mr(DiffusionBValue=0.0) + _again(mr(), DiffusionBValue=1000.0),
            RejectCode.GEO_4D,
            id="two b-values",
        ),
        pytest.param(
            ct(AcquisitionNumber=1) + _again(ct(), AcquisitionNumber=2),
            RejectCode.GEO_4D,
            id="perfusion, told only by the acquisition number",
        ),
        pytest.param(
            ct() + _again(ct()), RejectCode.GEO_DUPLICATE, id="other pixels and no reason why"
        ),
        pytest.param(
            ct() + _again(ct()[3:4]), RejectCode.GEO_DUPLICATE, id="one slice twice, differing"
        ),
        pytest.param(
            ct(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
            RejectCode.GEO_ONLY_LOCALIZER,
            id="nothing but localizers",
        ),
        pytest.param(
            ct(ImageType=["DERIVED", "SECONDARY", "REFORMATTED"]),
            RejectCode.IN_SECONDARY,
            id="a reformat",
        ),
        pytest.param(
            mr(ImageType=["DERIVED", "PRIMARY", "MIP"]), RejectCode.IN_SECONDARY, id="a projection"
        ),
        pytest.param(
            ct(SOPClassUID=SecondaryCaptureImageStorage), RejectCode.IN_SECONDARY, id="screenshots"
        ),
    ],
)
@pytest.mark.parametrize("sees", [Sees.VOLUME, Sees.SLICES])
def test_what_is_not_one_stack_of_the_patient_is_rejected(
    series: Series, code: RejectCode, sees: Sees, tmp_path: Path
) -> None:
    """A model never sees two things laid into one another."""
    assert rejection_of(series, sees, tmp_path) is code


def test_a_maximum_intensity_projection_is_known_by_its_derivation_code(tmp_path: Path) -> None:
    """Some scanners write ORIGINAL and PRIMARY into ImageType of a projection."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113078", "DCM"
    code.CodeMeaning = "Maximum intensity projection"
    series = ct(DerivationCodeSequence=[code])
    assert rejection_of(series, Sees.VOLUME, tmp_path) is RejectCode.IN_SECONDARY


def test_a_route_may_allow_derived_images(tmp_path: Path) -> None:
    """A model made for reformats says so with `allow_derived`."""
    series = ct(ImageType=["DERIVED", "SECONDARY", "REFORMATTED"])
    assert len(volume_of(series, tmp_path, allow_derived=True).array) == 12


def test_localizers_beside_the_stack_are_left_out_and_noted(tmp_path: Path) -> None:
    """Most CT series of old scanners begin with one."""
    scout = ct(slices=2, SeriesInstanceUID=OTHER, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    volume = volume_of(scout + ct(), tmp_path)
    assert np.array_equal(volume.array, ct_values(12, 64, 48))
    assert volume.notes == ("2 localizer frames left out",)


def test_the_largest_stack_is_taken_and_the_rest_noted(tmp_path: Path) -> None:
    """Two scouts that call themselves AXIAL lie in another plane."""
    scout = ct(slices=2, SeriesInstanceUID=OTHER, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    volume = volume_of(scout + ct(), tmp_path)
    assert len(volume.array) == 12
    assert volume.notes == ("2 frames of other orientation, size or kind left out",)


def test_bolus_tracking_does_not_hide_the_scan(tmp_path: Path) -> None:
    """Three monitoring slices at one place belong to another acquisition."""
    monitoring = [_again(ct()[5:6], AcquisitionNumber=n)[0] for n in (7, 8, 9)]
    volume = volume_of(ct(AcquisitionNumber=1) + monitoring, tmp_path)
    assert np.array_equal(volume.array, ct_values(12, 64, 48))
    assert volume.notes == ("3 frames of another AcquisitionNumber left out",)


def test_the_same_slice_sent_twice_under_two_uids_counts_once(tmp_path: Path) -> None:
    """Equal pixels at the same place can only be the same slice; the report says it."""
    volume = volume_of(ct() + ct(SeriesInstanceUID=OTHER)[4:6], tmp_path)
    assert np.array_equal(volume.array, ct_values(12, 64, 48))
    assert volume.notes == ("2 frames left out that repeat another",)


def test_trigger_times_that_differ_along_the_stack_do_not_part_it(tmp_path: Path) -> None:
    """Every slice of a gated scan has its own time; that is not yet a time series."""
    series = mr()
    for index, ds in enumerate(series):
        ds.TriggerTime, ds.AcquisitionNumber = 13 * index, index
    assert len(volume_of(series, tmp_path).array) == 12


@pytest.mark.parametrize(("time_point", "first"), [(1, 0), (2, 1)])
def test_a_route_may_choose_a_time_point(time_point: int, first: int, tmp_path: Path) -> None:
    """`time_point: 2` of a dynamic scan is a volume like any other."""
    series = mr(TemporalPositionIdentifier=9) + _again(mr(), TemporalPositionIdentifier=10)
    volume = volume_of(series, tmp_path, time_point=time_point)
    assert volume.array[0, 0, 0] == first
    assert volume.notes == (f"TemporalPositionIdentifier: {time_point} of 2 taken",)


def test_times_of_single_slices_do_not_hide_the_time_points(tmp_path: Path) -> None:
    """Each slice has its own trigger time, each time point its own acquisition number."""
    series = mr(AcquisitionNumber=1) + _again(mr(), AcquisitionNumber=2)
    for index, ds in enumerate(series):
        ds.TriggerTime = 13 * index
    volume = volume_of(series, tmp_path, time_point=1)
    assert len(volume.array) == 12
    assert volume.notes == ("AcquisitionNumber: 1 of 2 taken",)


def test_a_time_point_that_is_not_there_is_rejected(tmp_path: Path) -> None:
    """Asking for the third of two time points is no reason to give the second."""
    series = mr(TriggerTime=0) + _again(mr(), TriggerTime=400)
    assert rejection_of(series, Sees.VOLUME, tmp_path, time_point=3) is RejectCode.GEO_4D


def test_slices_side_by_side_in_one_plane_are_two_stacks(tmp_path: Path) -> None:
    """Both breasts, imaged sagittally in one series, are not one volume."""
    left = ct(SeriesInstanceUID=OTHER)
    for ds in left:
        ds.ImagePositionPatient[0] = 100
    assert rejection_of(ct() + left, Sees.VOLUME, tmp_path) is RejectCode.GEO_MIXED


def test_orientation_may_differ_by_rounding(tmp_path: Path) -> None:
    """Some scanners write seven digits in one slice and five in the next."""
    series = ct()
    for ds in series[::2]:
        ds.ImageOrientationPatient = [0.99999, 0.0004, 0, -0.0004, 0.99999, 0]
    frames = slices_of(series, tmp_path)
    assert len(frames.array) == 12
