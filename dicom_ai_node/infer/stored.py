"""Restored values, from the unit a model sees back to what the source stores.

The way from stored values to what is seen leads through rescaling, SUV, windows, inversion or
luma, by code that differs from modality to modality. The way back is not written a second time:
for every frame the straight line between what was stored and what was seen is found, and where
there is none nothing is restored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected, TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Frames, Image, SourceFrame
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.pictures import DerivedPixels, Restoration
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.restoring import enlarged
from dicom_ai_node.infer.colour import LUMA
from dicom_ai_node.infer.display import comparison
from dicom_ai_node.infer.pixels import Decoded, decoded_frames
from dicom_ai_node.infer.planes import read_headers
from dicom_ai_node.infer.resample import Placed

MOST_SHOWN: Final = 100
"""Frames that are compared in pictures; of more, every second, third ..."""

OFF_THE_LINE: Final = 0.51
"""Stored steps; a pixel further off shows that no straight line leads back."""


def as_stored(
    found: Findings, grid: Placed, image: Image, facts: ModelFacts, paths: Sequence[Path]
) -> Findings:
    """Return a restoration of what lies on `grid` as the source would have stored it.

    With it come pictures of the source beside it. Outside of the region that the model saw, such
    as the text around an ultrasound image, nothing changes.

    Parameters
    ----------
    paths
        The files that `image` was read from, in any order.

    Raises
    ------
    TaskFailed
        If the model did not restore the pixels of the source.
    Rejected
        PIX_UNSUPPORTED for a palette, or where shown and stored values do not lie on a line.
    """
    on_grid = found.restoration
    if on_grid is None or not isinstance(image, Frames) or not grid.is_same:
        raise TaskFailed(f"{facts.name} did not restore pixels of the source")
    _, rows, columns = grid.image.array.shape
    if on_grid.array.shape[1:] != (rows * on_grid.factor, columns * on_grid.factor):
        raise TaskFailed(f"{facts.name} did not restore the grid that it was given")
    array = np.stack([enlarged(frame, on_grid.factor) for frame in image.array])
    top, end, left, stop = (place * on_grid.factor for place in image.region)
    array[:, top:end, left:stop] = on_grid.array
    derived = derived_pixels(replace(on_grid, array=array), image, paths)
    shown, most = comparison(image, array, _frames(image, array), facts.display_window)
    return replace(
        found,
        restoration=None,
        derived=replace(derived, shown_change=most),
        backdrop=shown,
        notes=(*image.notes, *found.notes),
    )


def _frames(image: Frames, array: NDArray[np.float32]) -> list[int]:
    """Return which frames are compared: of a stack the most changed one, of others all."""
    count = len(array)
    if image.thickness_mm is None:
        return [int(n) for n in np.linspace(0, count - 1, min(count, MOST_SHOWN)).round()]
    changes = [
        float(np.abs(after - enlarged(before, len(after) // len(before))).sum(dtype=np.float64))
        for before, after in zip(image.array, array, strict=True)
    ]
    return [int(np.argmax(changes))]


def derived_pixels(found: Restoration, image: Frames, paths: Sequence[Path]) -> DerivedPixels:
    """Return what the source would store if it had been as `found` says.

    Only what has changed is written: a pixel that the model left alone, padding included, keeps
    its stored value, and in colours red, green and blue change by the same amount.

    Raises
    ------
    Rejected
        PIX_UNSUPPORTED for a palette, or where shown and stored values do not lie on a line.
    """
    places = {source: place for place, source in enumerate(image.sources)}
    pixels: dict[int, NDArray[Any]] = {}
    moved = []
    for header in _headers(paths, places):
        frames = decoded_frames(header)
        for number, decoded in enumerate(frames, start=1):
            place = places.get(SourceFrame(header.SOPInstanceUID, number))
            if place is not None:
                seen = image.array[place]
                valid = None if image.valid is None else image.valid[place]
                change = found.array[place] - enlarged(seen, found.factor)
                pixels[place] = _changed(decoded, header, change, _steps(decoded, seen, valid))
                moved.append(float(change.mean(dtype=np.float64)))
    return DerivedPixels(
        pixels=np.stack([pixels[place] for place in range(len(image.sources))]),
        sources=image.sources,
        factor=found.factor,
        derivation=found.derivation,
        unit=found.unit,
        mean_change=float(np.mean(moved)),
        shown_change=0.0,
    )


def _headers(paths: Sequence[Path], places: Mapping[SourceFrame, int]) -> list[Dataset]:
    wanted = {source.sop_instance_uid for source in places}
    return [header for header in read_headers(paths) if header.SOPInstanceUID in wanted]


def _grey(stored: NDArray[Any]) -> NDArray[np.float64]:
    return stored @ np.array(LUMA) if stored.ndim == 3 else stored.astype(np.float64)  # noqa: PLR2004


def _steps(decoded: Decoded, seen: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> float:
    """Return how many stored steps one unit of what is seen is; 0 if all pixels are alike."""
    if decoded.photometric == "PALETTE COLOR":
        raise Rejected(RejectCode.PIX_UNSUPPORTED, "a palette has no colours for restored values")
    stored, shown = _grey(decoded.values), seen.astype(np.float64)
    counted = np.ones(shown.shape, np.bool_) if valid is None else valid
    # A window cuts off at both ends, so that the extremes may stand for many stored values.
    inside = counted & (shown > shown.min()) & (shown < shown.max())
    if not inside.any() or float(np.ptp(shown[inside])) == 0:
        inside = counted
    x, y = shown[inside], stored[inside]
    if not x.size or float(np.ptp(x)) == 0:
        return 0.0
    steps, offset = np.polyfit(x - x.mean(), y, 1)
    if float(np.abs(offset + steps * (x - x.mean()) - y).max()) > OFF_THE_LINE:
        raise Rejected(RejectCode.PIX_UNSUPPORTED, "shown through a curve that cannot be undone")
    return float(steps)


def _changed(
    decoded: Decoded, header: Dataset, change: NDArray[np.float32], steps: float
) -> NDArray[Any]:
    """Return the stored values with the change, clipped to what the source can store."""
    stored = decoded.values
    bits = int(header.BitsStored)
    is_signed = stored.dtype.kind == "i"
    low = -(2 ** (bits - 1)) if is_signed else 0
    high = 2 ** (bits - 1) - 1 if is_signed else 2**bits - 1
    factor = len(change) // len(stored)
    planes = stored[..., None] if stored.ndim == 2 else stored  # noqa: PLR2004
    base = np.stack(
        [enlarged(planes[..., n].astype(np.float32), factor) for n in range(planes.shape[-1])], -1
    )
    values = np.clip(np.rint(base + (change * steps)[..., None]), low, high).astype(stored.dtype)
    return values if stored.ndim == 3 else values[..., 0]  # noqa: PLR2004
