"""Cross-sections, CT, MR and PET: from headers to one stack in real units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import Frames, Volume
from dicom_ai_node.domain.progress import done
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.ahead import used_instances
from dicom_ai_node.infer.geometry import Slice, locate, oddities, orthogonal, thickness_mm
from dicom_ai_node.infer.pixels import Decoded, check_size, decoded_frames
from dicom_ai_node.infer.planes import planes_of
from dicom_ai_node.infer.stacks import Stack, choose, eligible
from dicom_ai_node.infer.units import NO_UNIT, calibrate, padding, rescaled, unusual


@dataclass(frozen=True, slots=True)
class Filled:
    """The values of a stack; `valid` is `None` where all are."""

    array: NDArray[np.float32]
    valid: NDArray[np.bool_] | None
    unit: str
    notes: tuple[str, ...]


def read_volume(
    headers: Sequence[Dataset], options: Mapping[str, Option], max_pixels_bytes: int
) -> Volume:
    """Return the one evenly spaced, orthogonal volume of a series; see `read.read_series`."""
    stack = _stack(headers, options, max_pixels_bytes)
    try:
        geometry = orthogonal(stack.slices)
    except Rejected as reason:
        if reason.code is RejectCode.GEO_MISSING_SLICE and stack.left_out:
            # it is not missing, it is there with another orientation, size or kind
            raise Rejected(RejectCode.GEO_MIXED, "; ".join(stack.notes)) from reason
        raise
    values = filled(stack.slices, options)
    return Volume(
        array=values.array,
        geometry=geometry,
        unit=values.unit,
        sources=tuple(item.plane.source for item in stack.slices),
        valid=values.valid,
        notes=stack.notes + values.notes,
    )


def read_slices(
    headers: Sequence[Dataset], options: Mapping[str, Option], max_pixels_bytes: int
) -> Frames:
    """Return the slices of a series one by one, in order; see `read.read_series`."""
    stack = _stack(headers, options, max_pixels_bytes)
    values = filled(stack.slices, options)
    rows, columns = stack.slices[0].size
    return Frames(
        array=values.array,
        unit=values.unit,
        sources=tuple(item.plane.source for item in stack.slices),
        spacing_mm=stack.slices[0].spacing_mm,
        region=(0, rows, 0, columns),
        thickness_mm=thickness_mm(stack.slices),
        valid=values.valid,
        notes=stack.notes + oddities(stack.slices) + values.notes,
    )


def _stack(
    headers: Sequence[Dataset], options: Mapping[str, Option], max_pixels_bytes: int
) -> Stack:
    slices, notes = located(headers, options, max_pixels_bytes)
    stack = choose(slices, options, _show_the_same)
    return replace(stack, notes=notes + stack.notes)


def located(
    headers: Sequence[Dataset], options: Mapping[str, Option], max_pixels_bytes: int
) -> tuple[list[Slice], tuple[str, ...]]:
    """Return where all frames lie that are images of the patient, and notes on the others.

    Raises
    ------
    Rejected
        See `stacks.eligible`, `geometry.locate` and `pixels.check_size`.
    """
    planes, notes = eligible(planes_of(headers), options)
    check_size(list({id(plane.ds): plane.ds for plane in planes}.values()), max_pixels_bytes)
    return [locate(plane) for plane in planes], notes


def _show_the_same(one: Slice, other: Slice) -> bool:
    """Return whether two slices have the same values after the modality LUT."""
    values = [_single(item) for item in (one, other)]
    return np.array_equal(values[0], values[1])


def _single(item: Slice) -> NDArray[np.float32]:
    for number, decoded in enumerate(decoded_frames(item.plane.ds), start=1):
        if number == item.plane.number:
            return rescaled(item.plane, decoded.values)
    raise Rejected(RejectCode.PIX_CORRUPT, "a frame is absent")


@dataclass(frozen=True, slots=True)
class _Placed:
    """A slice that is in its place: where, what of it is padding (`None`: nothing), its range."""

    at: int
    padded: NDArray[np.bool_] | None
    low: float
    high: float


def filled(slices: Sequence[Slice], options: Mapping[str, Option]) -> Filled:
    """Decode every slice into its place; a few slices at a time are in memory beside the array."""
    calibration = calibrate([item.plane for item in slices], options)
    shape = (len(slices), *slices[0].size)
    array = np.empty(shape, np.float32)
    places = {(id(item.plane.ds), item.plane.number): at for at, item in enumerate(slices)}

    def place(ds: Dataset, number: int, decoded: Decoded) -> _Placed | None:
        at = places.get((id(ds), number))
        if at is None:
            return None
        if decoded.values.ndim != 2:  # noqa: PLR2004 (rows, columns)
            raise Rejected(RejectCode.PIX_UNSUPPORTED, "a cross-section in colour")
        plane, here = slices[at].plane, array[at]
        rescaled(plane, decoded.values, here)
        if calibration.factors[at] != 1:
            here *= np.float32(calibration.factors[at])
        outside = padding(plane, decoded.values)
        padded = outside if outside is not None and outside.any() else None
        return _Placed(at, padded, float(here.min()), float(here.max()))

    instances = list({id(item.plane.ds): item.plane.ds for item in slices}.values())
    ranges: list[tuple[float, float]] = []
    padded: NDArray[np.bool_] | None = None
    for frames in used_instances(instances, place):
        for one in filter(None, frames):
            padded = _marked(padded, one, shape)
            ranges.append((one.low, one.high))
            done(len(ranges) / len(slices))
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    if padded is not None:
        _set_padding(array, padded, calibration.fill)
        low, high = float(array.min()), float(array.max())
    _make_more_brighter(slices, array, calibration.unit)
    return Filled(
        array,
        None if padded is None else ~padded,
        calibration.unit,
        calibration.notes + unusual(calibration.unit, low, high),
    )


def _marked(
    padded: NDArray[np.bool_] | None, one: _Placed, shape: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """Return where all slices are padding, with another one; `None` if none is anywhere."""
    if one.padded is not None:
        padded = np.zeros(shape, np.bool_) if padded is None else padded
        padded[one.at] = one.padded
    return padded


def _set_padding(array: NDArray[np.float32], padded: NDArray[np.bool_], fill: float | None) -> None:
    if padded.all():
        raise Rejected(RejectCode.PIX_CORRUPT, "all pixels are padding")
    array[padded] = array[~padded].min() if fill is None else fill


def _make_more_brighter(slices: Sequence[Slice], array: NDArray[np.float32], unit: str) -> None:
    """Invert MONOCHROME1 where values have no unit; real units mean the same either way."""
    kinds = {item.plane.ds.get("PhotometricInterpretation") for item in slices}
    if unit == NO_UNIT and kinds == {"MONOCHROME1"}:
        np.subtract(array.max() + array.min(), array, out=array)
