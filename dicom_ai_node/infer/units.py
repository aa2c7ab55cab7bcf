"""From stored values to real units: the modality LUT, Hounsfield units, SUV, and padding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.planes import Plane
from dicom_ai_node.infer.suv import SUVBW, suv_factors

HOUNSFIELD: Final = "[hnsf'U]"
"""UCUM code of Hounsfield units."""

NO_UNIT: Final = "1"

AIR_HU: Final = -1000.0

USUAL_HU: Final = (-1024.0, 4095.0)
"""Values beyond are metal or an error; they stay, and a note says so."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the values of a stack mean.

    `factors` has one entry per plane: what its rescaled values are multiplied by. `fill` is the
    value for padding, `None` where that is the smallest valid value.
    """

    unit: str
    factors: tuple[float, ...]
    fill: float | None = None
    notes: tuple[str, ...] = ()


def calibrate(planes: Sequence[Plane], options: Mapping[str, Option]) -> Calibration:
    """Return the calibration of a stack; `allow_unscaled` takes PET that cannot be SUV as it is.

    Raises
    ------
    Rejected
        With PIX_NO_RESCALE for a CT that is not in Hounsfield units; SUV_UNITS or SUV_MISSING
        for a PET that cannot be brought to SUVbw.
    """
    ones = (1.0,) * len(planes)
    match str(planes[0].ds.get("Modality")):
        case "CT":
            for plane in planes:
                _check_hounsfield(plane)
            return Calibration(HOUNSFIELD, ones, AIR_HU)
        case "PT":
            try:
                return Calibration(SUVBW, tuple(suv_factors(planes)), 0.0)
            except Rejected as reason:
                if not options.get("allow_unscaled"):
                    raise
                return Calibration(NO_UNIT, ones, 0.0, (f"no SUV, {reason}",))
        case _:
            return Calibration(NO_UNIT, ones)


def rescaled(
    plane: Plane, stored: NDArray[Any], into: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Apply the modality LUT of one plane, PS3.3 C.11.1: the LUT itself, or slope and intercept.

    The values go into `into`, of the shape of `stored`, or into an array of their own.
    """
    values = np.empty(stored.shape, np.float32) if into is None else into
    table = plane.ds.get("ModalityLUTSequence") or ()
    if table:
        values[...] = looked_up(table[0], stored, is_signed=stored.dtype.kind == "i")
        return values
    slope, intercept = _linear(plane)
    values[...] = stored
    if slope != 1:
        values *= np.float32(slope)
    if intercept != 0:
        values += np.float32(intercept)
    return values


def looked_up(table: Dataset, stored: NDArray[Any], *, is_signed: bool) -> NDArray[np.float32]:
    """Return what a LUT says for each value; beyond its ends, its first and last entry.

    Parameters
    ----------
    is_signed
        Whether the values that go in can be negative: then so can the first that is mapped.

    Raises
    ------
    Rejected
        With PIX_CORRUPT if the LUT is not what its descriptor says, PS3.3 C.11.1.1.
    """
    try:
        count, first, bits = (int(value) for value in table.LUTDescriptor)
        data = table.LUTData
        if isinstance(data, bytes):
            order = ">" if table.original_encoding[1] is False else "<"
            width = 2 if len(data) >= 2 * (count or 65536) else 1
            entries = np.frombuffer(data, f"{order}u{width}")
        else:
            entries = np.atleast_1d(np.array(data))
    except (AttributeError, TypeError, ValueError) as error:
        raise Rejected(RejectCode.PIX_CORRUPT, "a LUT is incomplete") from error
    count = count or 65536  # 0 says 2**16
    if bits not in range(1, 17) or len(entries) < count:
        raise Rejected(RejectCode.PIX_CORRUPT, "a LUT is not what its descriptor says")
    if is_signed:  # the descriptor's VR may have made -1024 to 64512
        first = (first + 32768) % 65536 - 32768
    places = np.clip(stored.astype(np.int64) - first, 0, count - 1)
    return entries.astype(np.float32)[places]


def padding(plane: Plane, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return where a plane holds padding, PS3.3 C.7.5.1.1.2, or `None` if it declares none."""
    bounds = [
        _as_stored(value, stored.dtype)
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        for value in plane.numbers(keyword)[:1]
    ]
    if not bounds:
        return None
    padded: NDArray[np.bool_] = (stored >= min(bounds)) & (stored <= max(bounds))
    return padded


def unusual(unit: str, low: float, high: float) -> tuple[str, ...]:
    """Return a note if a CT, with values from `low` to `high`, leaves the usual range."""
    if unit != HOUNSFIELD or (USUAL_HU[0] <= low and high <= USUAL_HU[1]):
        return ()
    return (f"values from {low:.0f} to {high:.0f} HU",)


def _check_hounsfield(plane: Plane) -> None:
    """Raise unless the rescaled values are Hounsfield units, PS3.3 C.8.2.1 and C.11.1.1.2."""
    kind = plane.texts("RescaleType")
    if kind and kind[0] not in ("HU", "HU_MOD"):
        raise Rejected(RejectCode.PIX_NO_RESCALE, "RescaleType is not HU")
    if plane.ds.get("ModalityLUTSequence"):
        return
    if plane.value("RescaleSlope") is None or plane.value("RescaleIntercept") is None:
        raise Rejected(RejectCode.PIX_NO_RESCALE, "RescaleSlope or RescaleIntercept is absent")
    _, intercept = _linear(plane)
    if intercept >= 0 and plane.ds.get("PixelRepresentation") == 0:
        raise Rejected(RejectCode.PIX_NO_RESCALE, "as they are rescaled, no value can be air")


def _linear(plane: Plane) -> tuple[float, float]:
    slope, intercept = plane.numbers("RescaleSlope"), plane.numbers("RescaleIntercept")
    factor = slope[0] if slope else 1.0
    if factor == 0:
        raise Rejected(RejectCode.PIX_NO_RESCALE, "RescaleSlope is 0")
    return factor, intercept[0] if intercept else 0.0


def _as_stored(value: float, dtype: np.dtype[Any]) -> int:
    """Return a padding value in the signedness of the pixels: its own VR often has the other."""
    bits = 8 * dtype.itemsize
    number = int(value) % (1 << bits)
    return number - (1 << bits) if dtype.kind == "i" and number >= 1 << (bits - 1) else number
