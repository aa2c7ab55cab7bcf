"""How many windows a sliding window has, and which of them is being looked at."""

from collections.abc import Callable, Sequence
from math import ceil

import torch

from dicom_ai_node.domain.progress import done

Network = Callable[[torch.Tensor], object]


def batches(
    shape: Sequence[int], roi_size: Sequence[int], overlap: float, items: int, at_once: int
) -> int:
    """Return how often MONAI's `sliding_window_inference` asks a network.

    Parameters
    ----------
    shape
        Of the axes that the window slides along.
    roi_size
        Of the window; an axis that is shorter is padded to it.
    items, at_once
        How many images are looked at together, and how many windows.
    """
    windows = items
    for length, size in zip(shape, roi_size, strict=True):
        step = size if length <= size else max(1, int(size * (1 - overlap)))
        windows *= 1 + ceil((max(length, size) - size) / step)
    return ceil(windows / at_once)


def counted(network: Network, total: int) -> Network:
    """Return a network that says after each of `total` answers how far that is."""
    answered = 0

    def answer(windows: torch.Tensor) -> object:
        nonlocal answered
        found = network(windows)
        answered += 1
        done(answered / total)
        return found

    return answer
