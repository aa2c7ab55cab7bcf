"""One place at many times: the moments of a cine MR, a perfusion, an enhanced image over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import Frames
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.colour import FULL_SCALE
from dicom_ai_node.infer.geometry import SAME_PLACE_MM, Slice, depth_mm
from dicom_ai_node.infer.slices import filled, located, read_slices
from dicom_ai_node.infer.stacks import largest_stack, parts_by
from dicom_ai_node.infer.units import NO_UNIT

_TIMES_MS: Final[Mapping[str, float]] = {
    "TriggerTime": 1.0,
    "NominalCardiacTriggerDelayTime": 1.0,
    "FrameReferenceTime": 1.0,
    "TemporalPositionTimeOffset": 1000.0,
}
"""Attributes that say when a frame was taken, and how many ms their unit is."""
_ORDERS: Final = ("TemporalPositionIdentifier", "TemporalPositionIndex")
"""Attributes that say only which came first; TemporalResolution may say how far apart."""
_CLOCK: Final = "AcquisitionTime"
_SHOWN: Final = (0.5, 99.5)
"""Percentiles of all moments together that become black and white."""


@dataclass(frozen=True, slots=True)
class _Moments:
    """Slices at one place, in the order of time."""

    slices: Sequence[Slice]
    times_ms: tuple[float, ...] | None
    notes: tuple[str, ...]


def read_moments(
    headers: Sequence[Dataset], options: Mapping[str, Option], max_pixels_bytes: int
) -> Frames:
    """Return a series over time in 0..255, frame by frame; another one as `read_slices` does.

    Grey values of all moments are brought to 0..255 together, so that none flickers. The option
    `place` (from 1, along the normal) says which of several places; `time_point` takes one moment
    of all places instead.

    Raises
    ------
    Rejected
        With GEO_4D if several places were imaged over time and none was chosen; see `read_slices`.
    """
    if options.get("time_point") is None:
        slices, notes = located(headers, options, max_pixels_bytes)
        moments = _moments(slices, options)
        if moments is not None:
            return _frames(moments, notes, options)
    return read_slices(headers, options, max_pixels_bytes)


def _frames(moments: _Moments, notes: tuple[str, ...], options: Mapping[str, Option]) -> Frames:
    values = filled(moments.slices, options)
    seen = values.array if values.valid is None else values.array[values.valid]
    low, high = (float(value) for value in np.percentile(seen, _SHOWN))
    shown = np.clip((values.array - low) / max(high - low, 1e-6), 0, 1) * FULL_SCALE
    rows, columns = moments.slices[0].size
    return Frames(
        array=shown.astype(np.float32),
        unit=NO_UNIT,
        sources=tuple(item.plane.source for item in moments.slices),
        spacing_mm=moments.slices[0].spacing_mm,
        region=(0, rows, 0, columns),
        times_ms=moments.times_ms,
        valid=values.valid,
        notes=(*notes, *moments.notes, *values.notes),
    )


def _moments(slices: Sequence[Slice], options: Mapping[str, Option]) -> _Moments | None:
    """Return one place over time, or `None` if no place was imaged at several times."""
    places = _places(largest_stack(slices))
    if max(map(len, places)) < 2:  # noqa: PLR2004
        return None
    which = int(options.get("place", 0))
    if not which and len(places) > 1:
        if _in_time(places[0]) is None:
            return None
        raise Rejected(
            RejectCode.GEO_4D,
            f"{len(places)} places over time; the option `place` says which one",
        )
    if not 0 <= which <= len(places):
        raise Rejected(RejectCode.GEO_4D, f"there are {len(places)} places")
    ordered = _in_time(places[which - 1 if which else 0])
    if ordered is None:
        return None
    keyword, chosen = ordered
    times_ms = _times_ms(keyword, chosen)
    notes = [f"{len(chosen)} moments of one place, told apart by {keyword}"]
    if times_ms is None:
        notes.append(f"{RejectCode.TIME_UNKNOWN.name}: frames have no times")
    if len(places) > 1:
        notes.append(f"place {which} of {len(places)} taken")
    return _Moments(chosen, times_ms, tuple(notes))


def _places(ordered: Sequence[Slice]) -> list[list[Slice]]:
    """Part slices in order along their normal by where they lie."""
    normal = ordered[0].normal
    places = [[ordered[0]]]
    for item in ordered[1:]:
        if depth_mm(item, normal) - depth_mm(places[-1][0], normal) > SAME_PLACE_MM:
            places.append([])
        places[-1].append(item)
    return places


def _in_time(place: Sequence[Slice]) -> tuple[str, list[Slice]] | None:
    """Return the attribute that tells all slices of one place apart in time, and their order."""
    for keyword in (*_TIMES_MS, *_ORDERS, _CLOCK):
        parts = parts_by(place, keyword)
        if len(parts) == len(place) and all(part[0].plane.texts(keyword) for part in parts):
            return keyword, [part[0] for part in parts]
    return None


def _times_ms(keyword: str, ordered: Sequence[Slice]) -> tuple[float, ...] | None:
    first = ordered[0].plane
    if keyword in _ORDERS:
        step = first.numbers("TemporalResolution")
        if not step or step[0] <= 0:
            return None
        counted = [item.plane.numbers(keyword)[0] for item in ordered]
        values = np.array(counted) * step[0]
    elif keyword == _CLOCK:
        values = np.array([_clock_ms(item.plane.texts(keyword)[0]) for item in ordered])
    else:
        said = [item.plane.numbers(keyword)[0] for item in ordered]
        values = np.array(said) * _TIMES_MS[keyword]
    return _from_first(values)


def _clock_ms(text: str) -> float:
    """Return the milliseconds of a DICOM time, HHMMSS.F, since midnight; NaN if it is none."""
    digits, _, fraction = text.partition(".")
    if len(digits) != 6 or not (digits + fraction).isdecimal():  # noqa: PLR2004
        return float("nan")
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:])
    return 1000 * (3600 * hours + 60 * minutes + seconds + float(f"0.{fraction or 0}"))


def _from_first(values: NDArray[np.float64]) -> tuple[float, ...] | None:
    """Return times from the first, if they are times and rise."""
    if not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        return None
    return tuple(float(value) for value in values - values[0])
