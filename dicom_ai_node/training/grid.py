"""The grid rules of a model folder, as a training needs them.

`size_px`: the image is scaled by one factor so that it fits, placed at the top left, padded with
the lowest value.  `spacing_mm`: resampled with the same outer borders, shape rounded.  The runner
has its own code for this, on whole DICOM geometries; the golden result ties the two together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Facts: TypeAlias = Mapping[str, Any]
"""`configs/dicom.yaml` as it was read."""


def fitted_shape(shape: Sequence[int], size_px: Sequence[int]) -> tuple[int, ...]:
    """Return the largest shape with the aspect of `shape` that fits into `size_px`."""
    factor = min(size / length for size, length in zip(size_px, shape, strict=True))
    return tuple(
        min(size, max(1, round(length * factor)))
        for size, length in zip(size_px, shape, strict=True)
    )


def shape_on_grid(
    facts: Facts, shape: Sequence[int], spacing_mm: Sequence[float]
) -> tuple[int, ...]:
    """Return the shape of an image on the model's grid, before any padding."""
    grid = facts["grid"]
    if "size_px" in grid:
        return fitted_shape(shape, grid["size_px"])
    return tuple(
        max(1, round(length * old / new))
        for length, old, new in zip(shape, spacing_mm, grid["spacing_mm"], strict=True)
    )


def resize(images: Tensor, shape: Sequence[int]) -> Tensor:
    """Resample (batch, channels, *axes) linearly to `shape`, keeping the outer borders.

    Two axes are smoothed before they shrink, as image libraries do; three are not, which is
    right only for moderate changes.
    """
    if tuple(images.shape[2:]) == tuple(shape):
        return images
    if len(shape) == 2:  # noqa: PLR2004
        return functional.interpolate(images, tuple(shape), mode="bilinear", antialias=True)
    return functional.interpolate(images, tuple(shape), mode="trilinear")


def resize_labels(labels: Tensor, shape: Sequence[int], classes: int) -> Tensor:
    """Resample (*axes) whole-number labels to `shape`: each pixel goes to its strongest class."""
    if tuple(labels.shape) == tuple(shape):
        return labels
    planes = functional.one_hot(labels.long(), classes).movedim(-1, 0)[None].float()
    return resize(planes, shape)[0].argmax(0).to(labels.dtype)


def pad_end(images: Tensor, shape: Sequence[int], value: float) -> Tensor:
    """Pad the trailing axes at their ends up to `shape`."""
    axes = len(shape)
    missing = [want - have for want, have in zip(shape, images.shape[-axes:], strict=True)]
    return functional.pad(images, [n for lack in reversed(missing) for n in (0, lack)], value=value)


def scaled(image: Tensor, facts: Facts) -> Tensor:
    """Bring values to what the network sees: window, percentile or z-score."""
    intensity = facts["intensity"]
    match intensity["scaling"]:
        case "window":
            low, high = float(intensity["low"]), float(intensity["high"])
        case "percentile":
            ends = torch.tensor([intensity["low"], intensity["high"]], dtype=torch.float64) / 100
            low, high = (float(v) for v in torch.quantile(image.double().flatten(), ends))
        case "standard":
            clipped = image.clamp(float(intensity["low"]), float(intensity["high"]))
            return (clipped - float(intensity["mean"])) / float(intensity["deviation"])
        case _:
            return (image - image.mean()) / image.std(correction=0).clamp(min=1e-6)
    return ((image - low) / max(high - low, 1e-6)).clamp(0.0, 1.0)
