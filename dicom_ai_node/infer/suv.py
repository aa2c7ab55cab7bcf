"""From stored PET values to the standardized uptake value by body weight (SUVbw).

Follows the vendor-neutral recipe of the QIBA FDG-PET/CT profile: which clock the activity was
corrected to decides how much of the dose was left, and a wrong clock is wrong by tens of percent.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.planes import Plane

SUVBW: Final = "g/ml{SUVbw}"
"""UCUM code of SUV by body weight."""

LEAST_DOSE_BQ: Final = 1e6
"""Less has surely been written in MBq."""

MOST_WEIGHT_KG: Final = 500.0
"""More has surely been written in grams or pounds."""

LONGEST_DECAY: Final = timedelta(hours=12)
HALF_LIVES: Final = 6.5
"""A scan is at most 12 h, or 6.5 half-lives, after the injection: for F-18 both are the same."""

_PHILIPS: Final = (0x7053, "Philips PET Private Group")
_GE: Final = (0x0009, "GEMS_PETD_01")


def suv_factors(planes: Sequence[Plane]) -> list[float]:
    """Return for each plane by how much its rescaled values must be multiplied to be SUVbw.

    Raises
    ------
    Rejected
        With SUV_UNITS if Units are nothing that leads to SUVbw; with SUV_MISSING, naming the
        attribute, if one that is needed is absent or impossible.
    """
    units = {_units(plane) for plane in planes}
    if len(units) != 1:
        raise _no_units("Units differ within the stack")
    match units.pop():
        case "GML":
            if any(plane.value("SUVType") not in (None, "BW") for plane in planes):
                raise _no_units("SUVType is not BW")
            return [1.0] * len(planes)
        case "BQML":
            return _by_weight_and_dose(planes, [1.0] * len(planes))
        case "CNTS":
            return _of_counts(planes)
        case other:
            raise _no_units(f"Units are {other or 'absent'}")


def _units(plane: Plane) -> str:
    """Return Units; enhanced PET says them in RescaleType."""
    return next(iter(plane.texts("Units") or plane.texts("RescaleType")), "")


def _of_counts(planes: Sequence[Plane]) -> list[float]:
    """Philips writes beside its counts what one is worth, in SUV or in Bq/ml."""
    suv_per_count = [_private_number(plane.ds, _PHILIPS, 0x00) for plane in planes]
    if all(value and value > 0 for value in suv_per_count):
        return [value for value in suv_per_count if value]
    bqml_per_count = [_private_number(plane.ds, _PHILIPS, 0x09) for plane in planes]
    if all(value and value > 0 for value in bqml_per_count):
        return _by_weight_and_dose(planes, [value for value in bqml_per_count if value])
    raise _no_units("Units are CNTS without a scale")


def _by_weight_and_dose(planes: Sequence[Plane], bqml: Sequence[float]) -> list[float]:
    ds = planes[0].ds
    weight_kg = _positive(ds, "PatientWeight")
    if weight_kg > MOST_WEIGHT_KG:
        raise _impossible("PatientWeight")
    dose = _Dose(ds)
    _check_attenuation(ds)
    decays = _decays(planes, dose)
    return [
        value * weight_kg * 1000 / (dose.bq * 0.5 ** (decay.total_seconds() / dose.half_life_s))
        for value, decay in zip(bqml, decays, strict=True)
    ]


class _Dose:
    """What was injected, and when."""

    def __init__(self, ds: Dataset) -> None:
        items = list(ds.get("RadiopharmaceuticalInformationSequence") or ())
        if len(items) != 1:
            raise _impossible("RadiopharmaceuticalInformationSequence")
        self._item: Dataset = items[0]
        self.bq = _positive(self._item, "RadionuclideTotalDose")
        if self.bq < LEAST_DOSE_BQ:
            raise _impossible("RadionuclideTotalDose")
        self.half_life_s = _positive(self._item, "RadionuclideHalfLife")

    def time_before(self, scan: datetime) -> timedelta:
        """Return how long before `scan` the injection was; not in the future, not days ago."""
        keyword = "RadiopharmaceuticalStartDateTime"
        if self._item.get(keyword):
            injected = _datetime(self._item, keyword)
        else:
            keyword = "RadiopharmaceuticalStartTime"
            clock = _parsed(TM, self._item, keyword)
            injected = datetime.combine(scan.date(), clock)
            if injected > scan:  # injected before midnight, scanned after it
                injected -= timedelta(days=1)
        passed = scan - injected
        longest = max(LONGEST_DECAY, timedelta(seconds=HALF_LIVES * self.half_life_s))
        if not timedelta(0) <= passed <= longest:
            raise _impossible(keyword)
        return passed


def _decays(planes: Sequence[Plane], dose: _Dose) -> list[timedelta]:
    """Return for each plane how long the dose had decayed at the time its values stand for."""
    match _decay_correction(planes[0].ds):
        case "ADMIN":
            return [timedelta(0)] * len(planes)
        case "NONE":
            return [dose.time_before(_acquired(plane)) for plane in planes]
        case "START":
            if "DECY" not in planes[0].texts("CorrectedImage") and not _is_enhanced(planes[0].ds):
                raise _impossible("CorrectedImage")
            return [dose.time_before(_scan_start(planes))] * len(planes)
        case _:
            raise _impossible("DecayCorrection")


def _decay_correction(ds: Dataset) -> str:
    if not _is_enhanced(ds):
        return str(ds.get("DecayCorrection") or "")
    return "START" if ds.get("DecayCorrected") == "YES" else "NONE"


def _check_attenuation(ds: Dataset) -> None:
    corrections = [str(item).strip() for item in Plane(ds).texts("CorrectedImage")]
    if "ATTN" not in corrections and ds.get("AttenuationCorrected") != "YES":
        raise _impossible("CorrectedImage")


def _scan_start(planes: Sequence[Plane]) -> datetime:
    """Return the time that START means: the start of the scan, not of the bed position.

    SeriesTime is it only as long as nobody has rewritten it: not if it is later than an
    acquisition. GE then says it in a private element; else it follows from FrameReferenceTime.
    """
    ds = planes[0].ds
    if _is_enhanced(ds):
        return _datetime(ds, "DecayCorrectionDateTime")
    acquired = [_acquired(plane) for plane in planes]
    if ds.get("SeriesDate") and ds.get("SeriesTime"):
        series = _combined(ds, "SeriesDate", "SeriesTime")
        if series <= min(acquired):
            return series
    ge_scan = _private(ds, _GE, 0x0D)
    if ge_scan is not None:
        return _naive(_as_text(ge_scan), "0009,xx0D")
    starts = [_start_by_reference(plane) for plane in planes]
    return min(starts)


def _start_by_reference(plane: Plane) -> datetime:
    """Return the scan start from the time at which the frame had its average activity."""
    half_life_s = _Dose(plane.ds).half_life_s
    duration_s = _positive(plane.ds, "ActualFrameDuration") / 1000
    reference = plane.numbers("FrameReferenceTime")
    if not reference:
        raise _impossible("FrameReferenceTime")
    decay_constant = math.log(2) / half_life_s
    decayed = decay_constant * duration_s
    average_s = math.log(decayed / -math.expm1(-decayed)) / decay_constant
    return _acquired(plane) + timedelta(seconds=average_s - reference[0] / 1000)


def _acquired(plane: Plane) -> datetime:
    if plane.value("AcquisitionDateTime"):
        return _naive(str(plane.value("AcquisitionDateTime")), "AcquisitionDateTime")
    if plane.value("FrameAcquisitionDateTime"):
        return _naive(str(plane.value("FrameAcquisitionDateTime")), "FrameAcquisitionDateTime")
    return _combined(plane.ds, "AcquisitionDate", "AcquisitionTime")


def _is_enhanced(ds: Dataset) -> bool:
    return "PerFrameFunctionalGroupsSequence" in ds


def _combined(ds: Dataset, date: str, time: str) -> datetime:
    return datetime.combine(_parsed(DA, ds, date), _parsed(TM, ds, time))


def _datetime(ds: Dataset, keyword: str) -> datetime:
    return _naive(str(ds.get(keyword) or ""), keyword)


def _naive(text: str, keyword: str) -> datetime:
    """Return a DT without its offset: times of one scanner are compared with each other."""
    try:
        parsed = DT(text)
    except ValueError as error:
        raise Rejected(RejectCode.SUV_MISSING, keyword) from error
    if parsed is None:
        raise _impossible(keyword)
    return datetime.fromisoformat(parsed.isoformat()).replace(tzinfo=None)


def _parsed(kind: Any, ds: Dataset, keyword: str) -> Any:  # noqa: ANN401 (DA and TM share no type)
    try:
        value = kind(str(ds.get(keyword) or ""))
    except ValueError as error:
        raise Rejected(RejectCode.SUV_MISSING, keyword) from error
    if value is None:
        raise _impossible(keyword)
    return value


def _positive(ds: Dataset, keyword: str) -> float:
    try:
        value = ds.get(keyword)
        number = math.nan if value is None or value == "" else float(value)
    except (TypeError, ValueError) as error:
        raise Rejected(RejectCode.SUV_MISSING, keyword) from error
    if not (math.isfinite(number) and number > 0):
        raise _impossible(keyword)
    return number


def _private(ds: Dataset, block: tuple[int, str], element: int) -> object | None:
    try:
        value: object = ds.private_block(*block)[element].value
    except KeyError:
        return None
    return value


def _private_number(ds: Dataset, block: tuple[int, str], element: int) -> float | None:
    value = _private(ds, block, element)
    try:
        return None if value is None else float(_as_text(value))
    except ValueError:
        return None


def _as_text(value: object) -> str:
    """Return a private value as text; implicit VR leaves it as bytes."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip(" \0")


def _no_units(why: str) -> Rejected:
    return Rejected(RejectCode.SUV_UNITS, why)


def _impossible(keyword: str) -> Rejected:
    return Rejected(RejectCode.SUV_MISSING, keyword)
