"""To the grid a model works on, and back. Tasks never resample by themselves.

Pixel borders stay where they are: when the step changes, pixel centres move by half the change,
or the image would shift in the patient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.findings import Segmentation
from dicom_ai_node.domain.image import Frames, Geometry, Image, Volume
from dicom_ai_node.domain.model import Grid
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.orient import canonical

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An image on the model's grid, and the way back.

    Attributes
    ----------
    image
        What the task sees. The sources of a volume that was resampled or turned are left out:
        its slices are no longer images that somebody has sent.
    back
        Brings a segmentation on `image` to the pixels of the source. Where the grids differ,
        probabilities are interpolated and the strongest class wins; labels alone go to the
        nearest pixel. Where they do not, labels come back exactly as they are.
    back_map
        Brings values (frames, rows, columns) of some or all frames of `image` back in the same
        way, linearly; 0 where the model saw nothing.
    back_points
        Brings points (n, axes) float64 back: places in array order, (slice, row, column) for a
        volume and (row, column) for frames, where whole numbers are the centres of pixels.
    is_same
        Whether the grids are the same, so that probabilities are not needed for the way back.
    """

    image: Image
    back: Callable[[Segmentation], Segmentation]
    back_map: Callable[[NDArray[np.float16]], NDArray[np.float16]]
    back_points: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    is_same: bool


def placed(image: Image, grid: Grid) -> Placed:
    """Bring `image` to `grid`.

    Raises
    ------
    Rejected
        MEAS_UNCALIBRATED if the grid is in millimetres and the image has no calibration.
    """
    match image:
        case Volume():
            return _placed_volume(image, grid)
        case Frames():
            return _placed_frames(image, grid)


def _placed_volume(source: Volume, grid: Grid) -> Placed:
    oriented = canonical(source)
    seen = oriented.volume
    old = seen.geometry
    spacing_mm = grid.spacing_mm or old.spacing_mm
    shape = _shape_at(old.shape, old.spacing_mm, spacing_mm)
    is_same = shape == old.shape
    if not is_same:
        tensor = torch.from_numpy(np.ascontiguousarray(seen.array))[None, None]
        array = interpolate(tensor, shape, mode="trilinear", align_corners=False)[0, 0]
        seen = replace(
            seen,
            array=array.numpy(),
            valid=None if seen.valid is None else _nearest(seen.valid, shape),
            geometry=_same_borders(old, (shape[0], shape[1], shape[2])),
            sources=(),
        )

    def back(found: Segmentation) -> Segmentation:
        resized = found if is_same else _resized(found, old.shape, antialias=False)
        probabilities = resized.probabilities
        return replace(
            resized,
            labels=np.ascontiguousarray(oriented.back(resized.labels)),
            probabilities=None
            if probabilities is None
            else np.ascontiguousarray(oriented.back(probabilities)),
            sources=source.sources,
        )

    def back_map(values: NDArray[np.float16]) -> NDArray[np.float16]:
        resized = values if is_same else _linear(values, old.shape)
        return np.ascontiguousarray(oriented.back(resized))

    def back_points(points: NDArray[np.float64]) -> NDArray[np.float64]:
        # Both grids lie in the same patient.
        to_source = np.linalg.inv(source.geometry.affine) @ seen.geometry.affine
        moved: NDArray[np.float64] = points @ to_source[:3, :3].T + to_source[:3, 3]
        return moved

    return Placed(
        image=seen, back=back, back_map=back_map, back_points=back_points, is_same=is_same
    )


def _placed_frames(source: Frames, grid: Grid) -> Placed:
    top, end, left, stop = source.region
    cut = source.array[:, top:end, left:stop]
    count, rows, columns = cut.shape
    shape = _shape_of_frames((rows, columns), source.spacing_mm, grid)
    is_same = shape == (rows, columns)
    valid = None if source.valid is None else source.valid[:, top:end, left:stop]
    if not is_same:
        tensor = torch.from_numpy(np.ascontiguousarray(cut))[:, None]
        # Smoothed before it shrinks, as image libraries do.
        smooth = interpolate(tensor, shape, mode="bilinear", align_corners=False, antialias=True)
        cut = smooth[:, 0].numpy()
        valid = None if valid is None else _nearest(valid, (count, *shape))
    seen = replace(
        source,
        array=np.ascontiguousarray(cut),
        valid=valid,
        spacing_mm=_stretched(source.spacing_mm, (rows, columns), shape),
        region=(0, shape[0], 0, shape[1]),
    )
    around = ((top, source.array.shape[1] - end), (left, source.array.shape[2] - stop))

    def back(found: Segmentation) -> Segmentation:
        resized = found if is_same else _resized(found, (count, rows, columns), antialias=True)
        probabilities = resized.probabilities
        return replace(
            resized,
            labels=np.pad(resized.labels, ((0, 0), *around)),
            probabilities=None
            if probabilities is None
            else np.pad(probabilities, ((0, 0), (0, 0), *around)),
            sources=source.sources,
        )

    def back_map(values: NDArray[np.float16]) -> NDArray[np.float16]:
        resized = values if is_same else _linear(values, (len(values), rows, columns))
        return np.pad(resized, ((0, 0), *around))

    def back_points(points: NDArray[np.float64]) -> NDArray[np.float64]:
        moved: NDArray[np.float64] = (points + 0.5) * np.divide((rows, columns), shape) - 0.5
        moved += np.array([top, left])
        return moved

    return Placed(
        image=seen, back=back, back_map=back_map, back_points=back_points, is_same=is_same
    )


def _shape_of_frames(
    shape: tuple[int, int], spacing_mm: tuple[float, float] | None, grid: Grid
) -> tuple[int, int]:
    if grid.size_px is not None:
        factor = min(want / have for want, have in zip(grid.size_px, shape, strict=True))
        rows, columns = (
            min(want, max(1, round(have * factor)))
            for want, have in zip(grid.size_px, shape, strict=True)
        )
        return rows, columns
    if grid.spacing_mm is None:
        return shape
    if spacing_mm is None:
        raise Rejected(RejectCode.MEAS_UNCALIBRATED, "the model works at a spacing in millimetres")
    rows, columns = _shape_at(shape, spacing_mm, grid.spacing_mm)
    return rows, columns


def _shape_at(
    shape: Sequence[int], have_mm: Sequence[float], want_mm: Sequence[float]
) -> tuple[int, ...]:
    return tuple(
        max(1, round(length * have / want))
        for length, have, want in zip(shape, have_mm, want_mm, strict=True)
    )


def _stretched(
    spacing_mm: tuple[float, float] | None, old: tuple[int, int], new: tuple[int, int]
) -> tuple[float, float] | None:
    if spacing_mm is None:
        return None
    return spacing_mm[0] * old[0] / new[0], spacing_mm[1] * old[1] / new[1]


def _same_borders(old: Geometry, shape: tuple[int, int, int]) -> Geometry:
    step = np.divide(old.shape, shape)
    affine = old.affine.copy()
    affine[:3, :3] *= step
    affine[:3, 3] += old.affine[:3, :3] @ ((step - 1) / 2)
    return Geometry(affine, shape, old.frame_of_reference_uid)


def _centres(old: int, new: int) -> NDArray[np.float64]:
    """Return where the centres of `new` pixels lie among `old` ones between the same borders."""
    centres: NDArray[np.float64] = (np.arange(new, dtype=np.float64) + 0.5) * (old / new) - 0.5
    return centres


def _nearest(array: NDArray[_T], shape: Sequence[int]) -> NDArray[_T]:
    indices = [
        np.clip(np.round(_centres(old, new)), 0, old - 1).astype(np.intp)
        for old, new in zip(array.shape, shape, strict=True)
    ]
    return array[np.ix_(*indices)]


def _resized(found: Segmentation, shape: tuple[int, int, int], *, antialias: bool) -> Segmentation:
    """Return `found` at `shape`, slice by slice, so that no large array of floats is needed."""
    if found.probabilities is None:
        return replace(found, labels=_nearest(found.labels, shape))
    numbers = np.array([0, *(segment.number for segment in found.segments)], np.uint8)
    labels = np.empty(shape, np.uint8)
    probabilities = np.empty((len(found.segments), *shape), np.float16)
    for place, centre in enumerate(_centres(found.labels.shape[0], shape[0])):
        section = _section(found.probabilities, float(centre))
        if section.shape[1:] != shape[1:]:
            section = interpolate(
                section[None], shape[1:], mode="bilinear", align_corners=False, antialias=antialias
            )[0]
        background = 1 - section.sum(0, keepdim=True)
        labels[place] = numbers[torch.cat([background, section]).argmax(0).numpy()]
        probabilities[:, place] = section.numpy()
    return replace(found, labels=labels, probabilities=probabilities)


def _linear(values: NDArray[np.float16], shape: Sequence[int]) -> NDArray[np.float16]:
    tensor = torch.from_numpy(values.astype(np.float32))[None, None]
    resized = interpolate(tensor, tuple(shape), mode="trilinear", align_corners=False)[0, 0]
    found: NDArray[np.float16] = resized.numpy().astype(np.float16)
    return found


def _section(probabilities: NDArray[np.float16], centre: float) -> torch.Tensor:
    """Return (segments, rows, columns) float32 at `centre` between two slices, linearly."""
    centre = min(max(centre, 0.0), probabilities.shape[1] - 1.0)
    below = int(centre)
    above = min(below + 1, probabilities.shape[1] - 1)
    weight = centre - below
    section = probabilities[:, below].astype(np.float32)
    if weight:
        section = (1 - weight) * section + weight * probabilities[:, above].astype(np.float32)
    return torch.from_numpy(section)
