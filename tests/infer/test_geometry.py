"""Where slices lie, and every way in which they can fail to be a volume."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from tests.infer.reading import material, rejection_of, slices_of, volume_of
from tests.phantoms import FRAME_OF_REFERENCE_UID, ct, ct_values, mr

Series = list[FileDataset]


def _moved(series: Series, *positions_mm: tuple[float, float, float]) -> Series:
    for ds, position in zip(series, positions_mm, strict=True):
        ds.ImagePositionPatient = [round(value, 6) for value in position]
    return series


def _tilted(series: Series) -> Series:
    """Move the table along z under a leaning gantry: steps are not parallel to the normal."""
    return _moved(series, *((-18.8, -25.2 + 0.65 * i, 2.5 * i) for i in range(len(series))))


def _upright_with_tilt(series: Series) -> Series:
    for ds in series:
        ds.GantryDetectorTilt = 15
    return series


def _spaced(*gaps_mm: float) -> Callable[[Series], Series]:
    def change(series: Series) -> Series:
        depths = np.concatenate([[0], np.cumsum(gaps_mm)])
        return _moved(series[: len(depths)], *((-18.8, -25.2, float(z)) for z in depths))

    return change


def _shifted(series: Series) -> Series:
    series[5].ImagePositionPatient[0] += 5
    return series


def _without(keyword: str) -> Callable[[Series], Series]:
    def change(series: Series) -> Series:
        delattr(series[4], keyword)
        return series

    return change


def _set(keyword: str, value: object) -> Callable[[Series], Series]:
    def change(series: Series) -> Series:
        setattr(series[4], keyword, value)
        return series

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(_tilted, RejectCode.GEO_GANTRY_TILT, id="steps lean against the normal"),
        pytest.param(_upright_with_tilt, RejectCode.GEO_GANTRY_TILT, id="a tilt only declared"),
        pytest.param(lambda s: s[:5] + s[6:], RejectCode.GEO_MISSING_SLICE, id="one is missing"),
        pytest.param(lambda s: s[:5] + s[7:], RejectCode.GEO_MISSING_SLICE, id="two in a row"),
        pytest.param(
            _spaced(*[5.0] * 7, *[2.5] * 4), RejectCode.GEO_VARIABLE_SPACING, id="thick then thin"
        ),
        pytest.param(
            _spaced(*[2.5] * 7, *[5.0] * 4), RejectCode.GEO_VARIABLE_SPACING, id="thin then thick"
        ),
        pytest.param(
            _spaced(2.5, 2.5, 2.6, 2.5, 2.5), RejectCode.GEO_VARIABLE_SPACING, id="4 % off"
        ),
        pytest.param(_shifted, RejectCode.GEO_MIXED, id="one shifted sideways"),
        pytest.param(
            _without("ImagePositionPatient"), RejectCode.GEO_MISSING_ATTRIBUTE, id="no position"
        ),
        pytest.param(
            _without("ImageOrientationPatient"),
            RejectCode.GEO_MISSING_ATTRIBUTE,
            id="no orientation",
        ),
        pytest.param(
            _without("PixelSpacing"), RejectCode.GEO_MISSING_ATTRIBUTE, id="no pixel spacing"
        ),
        pytest.param(
            _set("PixelSpacing", [0, 0.8]), RejectCode.GEO_MISSING_ATTRIBUTE, id="spacing of 0"
        ),
        pytest.param(
            _set("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
            RejectCode.GEO_MISSING_ATTRIBUTE,
            id="rows along columns",
        ),
        pytest.param(lambda s: s[:1], RejectCode.IN_COVERAGE, id="a single slice"),
    ],
)
def test_each_flaw_of_a_volume_has_its_code(
    change: Callable[[Series], Series], code: RejectCode, tmp_path: Path
) -> None:
    """A model that needs a volume gets none from such a series, and the code says why."""
    assert rejection_of(change(ct()), Sees.VOLUME, tmp_path) is code


def test_the_message_says_where_slices_are_missing(tmp_path: Path) -> None:
    """The sender can look for the slice at 0.0 mm instead of counting."""
    series = _spaced(*[2.5] * 11)(ct())
    with pytest.raises(Exception, match=r"GEO_MISSING_SLICE: 1 missing at 12\.5 mm"):
        volume_of(series[:5] + series[6:], tmp_path)


@pytest.mark.parametrize(
    "series",
    [
        pytest.param(_tilted(ct()), id="tilted"),
        pytest.param(_spaced(*[5.0] * 7, *[2.5] * 4)(ct()), id="uneven"),
        pytest.param(ct()[:5] + ct()[6:], id="with a gap"),
    ],
)
def test_slices_may_be_tilted_and_uneven_but_it_is_noted(series: Series, tmp_path: Path) -> None:
    """A model that looks at single slices works on a tilted head CT; the report says so."""
    frames = slices_of(series, tmp_path)
    assert len(frames.array) == len(series)
    assert any(note.startswith("GEO_") for note in frames.notes)


def test_thickness_is_half_the_way_to_either_neighbour(tmp_path: Path) -> None:
    """Area times thickness sums up to the true volume, however uneven the slices are."""
    frames = slices_of(_spaced(5.0, 5.0, 2.0)(ct()), tmp_path)
    assert frames.thickness_mm == pytest.approx((5.0, 5.0, 3.5, 2.0))


def test_thickness_is_measured_along_the_normal(tmp_path: Path) -> None:
    """Under a tilt the way from slice to slice is longer than the slices are thick."""
    frames = slices_of(_tilted(ct()), tmp_path)
    assert frames.thickness_mm == pytest.approx([2.5] * 12)


def test_slice_thickness_and_location_do_not_place_slices(tmp_path: Path) -> None:
    """Overlapping slices are 5 mm thick and 2.5 mm apart: 2.5 mm it is."""
    series = ct(SliceThickness=5, SpacingBetweenSlices=5, SliceLocation=0)
    assert volume_of(series, tmp_path).geometry.spacing_mm == pytest.approx((2.5, 0.8, 0.8))


def test_half_a_percent_of_jitter_is_still_even(tmp_path: Path) -> None:
    """Positions are rounded decimal strings; 1 % of the gap is not worth a rejection."""
    series = _spaced(*[2.5, 2.51] * 5)(ct())
    assert volume_of(series, tmp_path).geometry.spacing_mm[0] == pytest.approx(2.505)


@pytest.mark.parametrize(
    ("cosines", "normal"),
    [
        pytest.param([1, 0, 0, 0, 1, 0], [0, 0, 1], id="axial, head first"),
        pytest.param([-1, 0, 0, 0, 1, 0], [0, 0, -1], id="axial, seen from the head"),
        pytest.param([0, 1, 0, 0, 0, -1], [-1, 0, 0], id="sagittal"),
        pytest.param([1, 0, 0, 0, 0, -1], [0, 1, 0], id="coronal"),
        pytest.param([0.8, 0.6, 0, 0, 0, -1], [-0.6, 0.8, 0], id="oblique"),
    ],
)
def test_the_affine_leads_to_the_patient_for_every_orientation(
    cosines: list[float], normal: list[float], tmp_path: Path
) -> None:
    """The last pixel of the last slice is where PS3.3 C.7.6.2.1.1 puts it."""
    series = mr(slices=6, ImageOrientationPatient=cosines)
    for index, ds in enumerate(series):
        ds.ImagePositionPatient = list(np.array([10, 20, 30]) + 2.0 * index * np.array(normal))
    volume = volume_of(reversed(series), tmp_path)
    across, down = np.array(cosines[:3]), np.array(cosines[3:])
    corner = np.array([10, 20, 30]) + 10.0 * np.array(normal) + 63 * down + 47 * across
    assert volume.geometry.affine @ [5, 63, 47, 1] == pytest.approx([*corner, 1])
    assert volume.geometry.affine[:3, 0] == pytest.approx(2.0 * np.array(normal))
    assert volume.geometry.frame_of_reference_uid == FRAME_OF_REFERENCE_UID


def test_the_order_of_files_and_instance_numbers_means_nothing(tmp_path: Path) -> None:
    """Slices are sorted by where they are; pixel [i, 0, 0] of the phantom says which it is."""
    series = ct()
    for number, ds in enumerate(reversed(series), start=1):
        ds.InstanceNumber = number
    shuffled = [series[i] for i in (3, 0, 11, 7, 5, 1, 2, 10, 9, 8, 6, 4)]
    volume = volume_of(shuffled, tmp_path)
    assert np.array_equal(volume.array, ct_values(12, 64, 48))
    assert [s.sop_instance_uid for s in volume.sources] == [ds.SOPInstanceUID for ds in series]


def test_a_volume_needs_a_frame_of_reference(tmp_path: Path) -> None:
    """Without it no result could say where it lies."""
    series = ct(FrameOfReferenceUID=None)
    assert rejection_of(series, Sees.VOLUME, tmp_path) is RejectCode.GEO_MISSING_ATTRIBUTE


def test_a_real_head_ct_with_tilt_is_no_volume_but_slices(tmp_path: Path) -> None:
    """28 slices of a GE head CT, sheared by 18.5 degrees, in two blocks of unequal thickness."""
    paths = material("ct-head-ge-28/*.dcm")
    series = [dcmread(path) for path in paths]
    assert rejection_of(series, Sees.VOLUME, tmp_path) is RejectCode.GEO_GANTRY_TILT
    frames = slices_of(series, tmp_path)
    assert frames.array.shape == (28, 512, 512)
    assert frames.array.min() == -1023
