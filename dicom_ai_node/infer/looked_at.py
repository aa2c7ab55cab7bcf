"""What of an input a guard looks at, and how it asks the network about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from dicom_ai_node.domain.excerpts import CROP_PX, MOST_PLANES, evenly, excerpts
from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.domain.model import ModelFacts, Scaling, Sees
from dicom_ai_node.domain.scaling import laid_out
from dicom_ai_node.neural.asked import Z_RANGE, Asked
from dicom_ai_node.neural.separate import brightened, histogram_of


@dataclass(frozen=True, slots=True)
class LookedAt:
    """Items (items, inputs, *axes) float32 in about 0..1 for `Asked`, and what they are.

    `inside` is the part of every axis that is image, from its start; `said` tells which parts of
    the input they are, and is empty if they are all of it.
    """

    items: NDArray[np.float32]
    inside: tuple[int, ...]
    said: str


def asked(facts: ModelFacts, network: torch.nn.Module) -> Asked:
    """Return the network of a model as its guard asks it."""
    return Asked(
        network,
        facts.kind,
        span=_span(facts),
        factor=int(facts.settings.get("factor", 1)) if facts.kind == "restore" else 1,
        told=2 * len(facts.clinical),
    )


def looked_at(images: Mapping[str, Image], facts: ModelFacts) -> LookedAt:
    """Return evenly spread slices or frames of `images`, and windows of them where it has to be."""
    first = next(iter(images.values()))
    is_stack = isinstance(first, Frames)
    shape = first.array.shape[1:] if is_stack else first.array.shape
    if is_stack and facts.sees is not Sees.SLICES:
        images = {name: _thinned(image) for name, image in images.items()}
    items = _scaled(images, facts) / np.float32(_span(facts))
    if facts.kind == "fuse":  # takes any size, and no padding
        whole = slice(None)
        items = items[(whole, whole, *(slice(0, length) for length in shape))]
    found = excerpts(items, shape, _size(facts, len(shape)))
    inside = tuple(map(min, shape, found.size))
    said = ""
    if is_stack and (inside != shape or len(found.places) < len(first.array)):
        parts = f"{len(found.places)} parts of " if inside != shape else ""
        images_seen = len({item for item, *_ in found.places})
        said = f"the guard looked at {parts}{images_seen} of {len(first.array)} images"
    elif inside != shape:
        said = f"the guard looked at {len(found.places)} parts of the volume"
    return LookedAt(found.of(items), inside, said)


def _span(facts: ModelFacts) -> float:
    return Z_RANGE if facts.intensity.scaling is Scaling.ZSCORE else 1.0


def _size(facts: ModelFacts, axes: int) -> tuple[int, ...] | None:
    """Return the size of windows, or `None` where the network takes a grid of one size."""
    if facts.window is not None:
        return facts.window.roi_size
    is_whole = facts.grid.size_px is not None and facts.sees is not Sees.REGIONS
    return None if is_whole or axes > 2 else (CROP_PX, CROP_PX)  # noqa: PLR2004


def _scaled(images: Mapping[str, Image], facts: ModelFacts) -> NDArray[np.float32]:
    """Return (items, inputs, *axes) as the task scales them."""
    if facts.sees is not Sees.REGIONS:
        return laid_out(images, facts)
    image = facts.only_frames(images)
    percent, whole = (facts.intensity.low, facts.intensity.high), image.histogram
    frames = [
        brightened(frame, histogram_of(frame) if whole is None else whole, percent)
        for frame in image.array
    ]
    return np.stack(frames)[:, None]


def _thinned(image: Image) -> Image:
    """Return the frames that are looked at; nothing but their values is kept in step."""
    if not isinstance(image, Frames):
        return image
    chosen = evenly(len(image.array), MOST_PLANES)
    valid = None if image.valid is None else image.valid[chosen]
    return replace(image, array=image.array[chosen], valid=valid)
