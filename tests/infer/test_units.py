"""Stored values become Hounsfield units, or nothing at all."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.planes import Plane
from dicom_ai_node.infer.units import padding, rescaled
from tests.infer.reading import rejection_of, replace_pixels, slices_of, volume_of
from tests.phantoms import ct, ct_values, mr, mr_values


def test_ct_is_in_hounsfield_units(tmp_path: Path) -> None:
    """Air is -1000, whatever number stood in the file."""
    volume = volume_of(ct(), tmp_path)
    assert volume.unit == "[hnsf'U]"
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array, ct_values(12, 64, 48))


def test_mr_has_no_unit(tmp_path: Path) -> None:
    """Its values are as stored, because nothing else is known."""
    volume = volume_of(mr(), tmp_path)
    assert volume.unit == "1"
    assert np.array_equal(volume.array, mr_values(12, 64, 48))


def test_every_slice_has_its_own_slope(tmp_path: Path) -> None:
    """PET and some MR scale each slice to its own maximum, PS3.3 C.11.1."""
    series = mr()
    for index, ds in enumerate(series):
        ds.RescaleSlope, ds.RescaleIntercept = 1 + index / 10, index
    volume = volume_of(series, tmp_path)
    slopes = (1 + np.arange(12) / 10)[:, None, None]
    expected = mr_values(12, 64, 48) * slopes + np.arange(12)[:, None, None]
    assert volume.array == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"RescaleSlope": None}, id="no slope"),
        pytest.param({"RescaleIntercept": None}, id="no intercept"),
        pytest.param({"RescaleType": "ED"}, id="electron density of a spectral CT"),
        pytest.param({"RescaleSlope": 0}, id="a slope of 0"),
        pytest.param({"RescaleIntercept": 0}, id="unsigned values that cannot be air"),
    ],
)
def test_a_ct_that_is_not_in_hounsfield_units_is_rejected(
    changes: dict[str, object], tmp_path: Path
) -> None:
    """A guess of 1000 HU would turn lungs into bone."""
    assert rejection_of(ct(**changes), Sees.VOLUME, tmp_path) is RejectCode.PIX_NO_RESCALE


def test_a_ct_may_leave_out_the_rescale_type(tmp_path: Path) -> None:
    """Hounsfield units are what the standard means then, PS3.3 C.8.2.1."""
    assert volume_of(ct(RescaleType=None), tmp_path).unit == "[hnsf'U]"


def test_metal_beyond_the_usual_range_stays_and_is_noted(tmp_path: Path) -> None:
    """Nothing is clipped before the model's own intensity scaling."""
    series = ct()
    values = series[3].pixel_array.copy()
    values[5, 5] = 12000
    replace_pixels(series[3], values)
    series[3].BitsStored, series[3].HighBit = 16, 15
    volume = volume_of(series, tmp_path)
    assert volume.array[3, 5, 5] == 10976
    assert volume.notes == ("values from -1000 to 10976 HU",)


@pytest.mark.parametrize(
    "padding_value", [pytest.param(-2000, id="as SS"), pytest.param(63536, id="the same as US")]
)
def test_padding_becomes_air_and_is_not_valid(padding_value: int, tmp_path: Path) -> None:
    """GE fills the corners around its round field of view with -2000."""
    series = ct(RescaleIntercept=0)
    for ds, values in zip(series, ct_values(12, 64, 48), strict=True):
        values[:4, :4] = -2000
        replace_pixels(ds, values)
        ds.BitsStored, ds.HighBit = 16, 15
        ds.add_new(0x00280120, "SS" if padding_value < 0 else "US", padding_value)
    volume = volume_of(series, tmp_path)
    assert volume.valid is not None
    assert not volume.valid[:, :4, :4].any()
    assert volume.valid[:, 4:, 4:].all()
    assert (volume.array[:, :4, :4] == -1000).all()
    assert volume.notes == ()


def test_padding_may_be_a_range(tmp_path: Path) -> None:
    """PixelPaddingRangeLimit ends it on the other side, PS3.3 C.7.5.1.1.2."""
    series = mr(PixelPaddingValue=10, PixelPaddingRangeLimit=0)
    frames = slices_of(series, tmp_path)
    assert frames.valid is not None
    assert np.flatnonzero(~frames.valid.reshape(12, -1)[:, 0]).tolist() == list(range(11))
    assert (frames.array[:11, 0, 0] == 11).all()  # the smallest valid value


def test_a_stack_of_nothing_but_padding_is_corrupt(tmp_path: Path) -> None:
    """There is nothing to look at."""
    series = mr(PixelPaddingValue=0, PixelPaddingRangeLimit=65535)
    assert rejection_of(series, Sees.VOLUME, tmp_path) is RejectCode.PIX_CORRUPT


@pytest.mark.parametrize("first", [0, 100, 65036])
def test_a_modality_lut_does_what_pydicom_says(first: int) -> None:
    """An independent implementation of PS3.3 C.11.1.1 agrees, signed first value included."""
    table = Dataset()
    table.LUTDescriptor = [512, first, 16]
    table.LUTData = (np.arange(512) * 3 + 7).tolist()
    ds = Dataset()
    ds.ModalityLUTSequence = [table]
    ds.PixelRepresentation = int(first > 32767)
    kind = np.int16 if ds.PixelRepresentation else np.uint16
    stored = np.array([[0, 50, 400], [600, 1000, 99]]).astype(kind)
    table["LUTDescriptor"].VR = "SS" if ds.PixelRepresentation else "US"
    if ds.PixelRepresentation:
        reference_table = Dataset()
        reference_table.add_new(0x00283002, "SS", [512, first - 65536, 16])
        reference_table.LUTData = table.LUTData
        reference = Dataset()
        reference.ModalityLUTSequence = [reference_table]
    else:
        reference = ds
    assert np.array_equal(rescaled(Plane(ds), stored), apply_modality_lut(stored, reference))


def test_an_image_without_padding_has_no_mask() -> None:
    """`valid` is then `None`: all is valid, and no memory is spent on saying so."""
    assert padding(Plane(mr(slices=1)[0]), np.zeros((2, 2), np.uint16)) is None


def test_monochrome1_mr_is_inverted_once(tmp_path: Path) -> None:
    """More is brighter for every image without a unit."""
    volume = volume_of(mr(PhotometricInterpretation="MONOCHROME1"), tmp_path)
    assert np.array_equal(volume.array, 900 - mr_values(12, 64, 48))


def test_monochrome1_ct_stays_in_hounsfield_units(tmp_path: Path) -> None:
    """Bone has more HU than air however the image is shown."""
    volume = volume_of(ct(PhotometricInterpretation="MONOCHROME1"), tmp_path)
    assert np.array_equal(volume.array, ct_values(12, 64, 48))
