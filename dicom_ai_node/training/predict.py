"""Run a network on a case the way its facts say, at the resolution of the case."""

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from dicom_ai_node.neural.mirror import mirrored
from dicom_ai_node.neural.precision import in_bfloat16
from dicom_ai_node.training.case import Case
from dicom_ai_node.training.grid import Facts, pad_end, resize, scaled, shape_on_grid

MULTIPLE_PX = 16
"""A grid without windows is padded to a multiple of this, so that every pooling comes out even."""


def on_grid(case: Case, facts: Facts) -> Tensor:
    """Return the image of a case on the model's grid, in its unit, without padding.

    Returns
    -------
    Tensor
        (rows, columns) or (slices, rows, columns) float32. Slices of a volume keep their number.
    """
    image = torch.from_numpy(np.ascontiguousarray(case.image))[None, None]
    return resize(image, shape_on_grid(facts, case.image.shape, case.spacing_mm))[0, 0]


def _padding_value(facts: Facts, values: Tensor) -> float:
    return float(values.min()) if facts["intensity"]["scaling"] == "zscore" else 0.0


def probabilities(network: nn.Module, image: Tensor, facts: Facts) -> Tensor:
    """Run `network` on an image that `on_grid` returned.

    Returns
    -------
    Tensor
        (1 + segments, *axes) float32 on the same grid.
    """
    values = scaled(image, facts)
    return probabilities_of(network, values[None], facts, _padding_value(facts, values))


def probabilities_of(
    network: nn.Module, values: Tensor, facts: Facts, padding: float = 0.0
) -> Tensor:
    """Run `network` on (inputs, *axes) that are scaled already; see `probabilities`."""
    axes = values.shape[1:]
    window = facts.get("window")
    if window:
        shape = [max(n, roi) for n, roi in zip(axes, window["roi_size"], strict=True)]
    elif "size_px" in facts["grid"]:
        shape = list(facts["grid"]["size_px"])
    else:
        shape = [-(-n // MULTIPLE_PX) * MULTIPLE_PX for n in axes]
    padded = pad_end(values[None], shape, padding)
    settings = facts.get("settings", {})
    quick = in_bfloat16(network, "cpu") if settings.get("bfloat16") else network
    predictor = mirrored(quick, settings.get("mirror", ()))
    with torch.inference_mode():
        if window:
            logits = sliding_window_inference(
                padded,
                roi_size=window["roi_size"],
                sw_batch_size=window.get("batch", 4),
                predictor=predictor,
                overlap=window.get("overlap", 0.5),
                mode="gaussian",
            )
        else:
            logits = predictor(padded)
    inside = (slice(None), *(slice(0, n) for n in axes))
    found = torch.as_tensor(logits)[0]
    found = torch.cat([found[:1] + settings.get("background", 0.0), found[1:]])
    return found.softmax(0)[inside]


def tidied(labels: NDArray[np.uint8], facts: Facts) -> NDArray[np.uint8]:
    """Keep the largest part of every segment and fill its holes, where the facts ask for it."""
    result = np.zeros_like(labels)
    settings = facts.get("settings", {})
    for number in (s["number"] for s in facts["segments"]):
        mask = labels == number
        if settings.get("largest_only") and mask.any():
            parts, _ = ndimage.label(mask)
            mask = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
        if settings.get("fill_holes"):
            # A hole that another segment fills is none.
            mask = ndimage.binary_fill_holes(mask) & ((labels == number) | (labels == 0))
        result[mask] = number
    return result


def labels_on_grid(network: nn.Module, image: Tensor, facts: Facts) -> NDArray[np.uint8]:
    """Return the tidied labels of an image on the model's grid, where the task works."""
    return _tidy(probabilities(network, image, facts), facts)[0]


def labels_of(network: nn.Module, case: Case, facts: Facts) -> NDArray[np.uint8]:
    """Return labels on the pixels of the case, as the node reports them.

    Tidied on the grid; then probabilities are interpolated and the strongest class wins.
    """
    _, found = _tidy(probabilities(network, on_grid(case, facts), facts), facts)
    strongest = resize(found[None], case.image.shape)[0].argmax(0)
    return np.asarray(strongest.numpy().astype(np.uint8))


def _tidy(found: Tensor, facts: Facts) -> tuple[NDArray[np.uint8], Tensor]:
    """Return tidied labels, and probabilities in which what was taken away cannot come back."""
    before = found.argmax(0).numpy().astype(np.uint8)
    after = tidied(before, facts)
    changed = torch.from_numpy(before != after)
    certain = functional.one_hot(torch.from_numpy(after).long(), len(found)).movedim(-1, 0)
    return after, torch.where(changed, certain.to(found.dtype), found)
