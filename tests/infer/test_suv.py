"""The standardized uptake value: the right dose at the right time, or none at all."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from tests.infer.reading import enhanced, material, rejection_of, slices_of, volume_of
from tests.phantoms import SUV_PER_BQML, pet, pet_values

HALF_LIFE_S = 6586.2
WEIGHT_BY_DOSE = 75_000 / 370e6
"""SUV of 1 Bq/ml if nothing of the dose had decayed."""

Series = list[FileDataset]


def _series(**radiopharmaceutical: object) -> Series:
    series = pet()
    for ds in series:
        for keyword, value in radiopharmaceutical.items():
            item = ds.RadiopharmaceuticalInformationSequence[0]
            if value is None:
                delattr(item, keyword)
            else:
                setattr(item, keyword, value)
    return series


def _factor(series: Series, folder: Path) -> float:
    """Return SUV per Bq/ml, measured on the body of the phantom."""
    volume = volume_of(series, folder)
    assert volume.unit == "g/ml{SUVbw}"
    return float(volume.array[6, 32, 40] / (pet_values(12, 64, 48)[6, 32, 40] * 1.5))


def test_suv_is_activity_by_dose_per_weight(tmp_path: Path) -> None:
    """75 kg, 370 MBq an hour ago: 3000 Bq/ml are SUV 0.89, computed by hand."""
    volume = volume_of(pet(), tmp_path)
    assert volume.array == pytest.approx(pet_values(12, 64, 48) * 1.5 * SUV_PER_BQML, rel=1e-5)
    assert float(volume.array[6, 32, 40]) == pytest.approx(0.8882, abs=1e-4)


def test_activity_corrected_to_the_injection_is_not_corrected_again(tmp_path: Path) -> None:
    """DecayCorrection ADMIN: the whole dose counts."""
    assert _factor(pet(DecayCorrection="ADMIN"), tmp_path) == pytest.approx(WEIGHT_BY_DOSE)


def test_activity_that_is_not_corrected_decays_slice_by_slice(tmp_path: Path) -> None:
    """DecayCorrection NONE: each slice stands for the time of its own acquisition."""
    series = pet(DecayCorrection="NONE", CorrectedImage=["ATTN"])
    for index, ds in enumerate(series):
        ds.AcquisitionTime = f"11{index:02d}00"
    volume = volume_of(series, tmp_path)
    minutes = 60 + np.arange(12)
    bqml = pet_values(12, 64, 48)[:, 32, 40] * 1.5
    expected = bqml * WEIGHT_BY_DOSE * 2 ** (minutes * 60 / HALF_LIFE_S)
    assert volume.array[:, 32, 40] == pytest.approx(expected, rel=1e-5)


def test_an_injection_before_midnight_was_yesterday(tmp_path: Path) -> None:
    """Injected at 23:30, scanned at 00:30, and only times of day are told."""
    series = _series(RadiopharmaceuticalStartDateTime=None, RadiopharmaceuticalStartTime="233000")
    for ds in series:
        ds.SeriesTime = ds.AcquisitionTime = "003000"
    assert _factor(series, tmp_path) == pytest.approx(SUV_PER_BQML, rel=1e-5)


def test_a_series_time_after_the_acquisition_is_not_believed(tmp_path: Path) -> None:
    """A reconstruction at 15:00 rewrote SeriesTime; the clock of the frames tells the start.

    Beds of 120 s with a half-life of 110 min have their average 59.94 s after their start.
    """
    series = pet(SeriesTime="150000", FrameReferenceTime=59_936.84)
    assert _factor(series, tmp_path) == pytest.approx(SUV_PER_BQML, rel=1e-5)


def test_ge_tells_its_scan_start_in_a_private_element(tmp_path: Path) -> None:
    """0009,100D counts where SeriesTime is later than an acquisition."""
    series = pet(SeriesTime="150000", FrameReferenceTime=None)
    for ds in series:
        block = ds.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x0D, "DT", "20250102110000.00")
    assert _factor(series, tmp_path) == pytest.approx(SUV_PER_BQML, rel=1e-6)


def test_suv_by_weight_is_taken_as_it_is(tmp_path: Path) -> None:
    """Units GML are SUVbw already."""
    assert _factor(pet(Units="GML"), tmp_path) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("element", "value", "factor"),
    [
        pytest.param(0x00, "0.00025", 0.00025, id="counts to SUV"),
        pytest.param(0x09, "2.0", 2 * SUV_PER_BQML, id="counts to Bq/ml"),
    ],
)
def test_philips_says_what_its_counts_are_worth(
    element: int, value: str, factor: float, tmp_path: Path
) -> None:
    """Two private elements lead from CNTS to SUV."""
    series = pet(Units="CNTS")
    for ds in series:
        block = ds.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(element, "DS", value)
    assert _factor(series, tmp_path) == pytest.approx(factor, rel=1e-5)


def _each(**changes: object) -> Callable[[], Series]:
    return lambda: pet(**changes)


def _dose(**changes: object) -> Callable[[], Series]:
    return lambda: _series(**changes)


def _mixed_units() -> Series:
    series = pet()
    series[3].Units = "GML"
    return series


@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(_each(Units="CNTS"), RejectCode.SUV_UNITS, id="counts without a scale"),
        pytest.param(_each(Units="PROPCNTS"), RejectCode.SUV_UNITS, id="relative counts"),
        pytest.param(_each(Units=None), RejectCode.SUV_UNITS, id="no units"),
        pytest.param(
            _each(Units="GML", SUVType="LBM"), RejectCode.SUV_UNITS, id="SUV by lean body mass"
        ),
        pytest.param(_mixed_units, RejectCode.GEO_MIXED, id="two units in one stack"),
        pytest.param(_each(PatientWeight=None), RejectCode.SUV_MISSING, id="no weight"),
        pytest.param(_each(PatientWeight=0), RejectCode.SUV_MISSING, id="a weight of 0"),
        pytest.param(_each(PatientWeight=75000), RejectCode.SUV_MISSING, id="a weight in grams"),
        pytest.param(
            _each(CorrectedImage=["DECY"]), RejectCode.SUV_MISSING, id="no attenuation correction"
        ),
        pytest.param(
            _each(CorrectedImage=["ATTN"]), RejectCode.SUV_MISSING, id="no decay correction"
        ),
        pytest.param(_each(DecayCorrection=None), RejectCode.SUV_MISSING, id="corrected to what?"),
        pytest.param(
            _each(RadiopharmaceuticalInformationSequence=None),
            RejectCode.SUV_MISSING,
            id="no radiopharmaceutical",
        ),
        pytest.param(_dose(RadionuclideTotalDose=370), RejectCode.SUV_MISSING, id="a dose in MBq"),
        pytest.param(_dose(RadionuclideTotalDose=None), RejectCode.SUV_MISSING, id="no dose"),
        pytest.param(_dose(RadionuclideHalfLife=0), RejectCode.SUV_MISSING, id="no half-life"),
        pytest.param(
            _dose(RadiopharmaceuticalStartDateTime="20250102120000"),
            RejectCode.SUV_MISSING,
            id="injected after the scan",
        ),
        pytest.param(
            _dose(RadiopharmaceuticalStartDateTime="20250101100000"),
            RejectCode.SUV_MISSING,
            id="injected the day before",
        ),
        pytest.param(
            _dose(RadiopharmaceuticalStartDateTime=None, RadiopharmaceuticalStartTime=None),
            RejectCode.SUV_MISSING,
            id="injected, but when?",
        ),
        pytest.param(_each(AcquisitionTime=None), RejectCode.SUV_MISSING, id="acquired, but when?"),
    ],
)
def test_without_a_trustworthy_suv_there_is_none(
    make: Callable[[], Series], code: RejectCode, tmp_path: Path
) -> None:
    """Wrong by half is worse than rejected; the sender learns which attribute it was."""
    assert rejection_of(make(), Sees.VOLUME, tmp_path) is code


def test_a_model_may_take_pet_without_units(tmp_path: Path) -> None:
    """`allow_unscaled` gives the rescaled values with unit 1, and the report says why."""
    volume = volume_of(pet(PatientWeight=None), tmp_path, allow_unscaled=True)
    assert volume.unit == "1"
    assert np.array_equal(volume.array, pet_values(12, 64, 48).astype(np.float32) * 1.5)
    assert volume.notes == ("no SUV, SUV_MISSING: PatientWeight",)


def test_enhanced_pet_tells_its_decay_correction_in_another_way(tmp_path: Path) -> None:
    """DecayCorrected with its date and time instead of DecayCorrection, PS3.3 C.8.22."""
    ds = enhanced(
        pet(),
        DecayCorrected="YES",
        DecayCorrectionDateTime="20250102110000",
        AttenuationCorrected="YES",
    )
    volume = volume_of([ds], tmp_path)
    assert volume.unit == "g/ml{SUVbw}"
    assert volume.array == pytest.approx(pet_values(12, 64, 48) * 1.5 * SUV_PER_BQML, rel=1e-5)


def test_real_pet_is_suv_or_rejected(tmp_path: Path) -> None:
    """A slice in Bq/ml becomes SUV as arithmetic on its header says; one in PROPCPS does not."""
    by_units = {ds.Units: ds for ds in map(dcmread, material("pet-slices/*.dcm"))}
    assert rejection_of([by_units["PROPCPS"]], Sees.SLICES, tmp_path) is RejectCode.SUV_UNITS
    ds = by_units["BQML"]
    frames = slices_of([ds], tmp_path)
    assert frames.unit == "g/ml{SUVbw}"
    item = ds.RadiopharmaceuticalInformationSequence[0]
    whole = float(ds.PatientWeight) * 1000 / float(item.RadionuclideTotalDose)
    largest_bqml = 32767 * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    decayed = frames.array.max() / (largest_bqml * whole)
    minutes = np.log2(decayed) * float(item.RadionuclideHalfLife) / 60
    injected, started = (
        _minutes(time) for time in (item.RadiopharmaceuticalStartTime, ds.SeriesTime)
    )
    assert minutes == pytest.approx(started - injected, abs=0.1)


def _minutes(time: str) -> float:
    return int(time[:2]) * 60 + int(time[2:4]) + float(time[4:]) / 60
