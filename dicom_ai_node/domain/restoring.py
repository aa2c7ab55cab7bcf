"""What restoring does to an image besides what a network says: its size, and its mean."""

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.scaling import EVEN_TO_PX

MEAN_WITHIN = 0.01
"""By how much of itself the mean of a restored image may move before it is set back."""
MOST_MOVED = 0.1
"""By how much of its distance from zero it may move before nothing is believed."""


def shrunk(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return (rows // factor, columns // factor): the mean of every square of pixels."""
    rows, columns = (length // factor for length in image.shape)
    squares = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return np.asarray(squares.mean((1, 3)), np.float32)


def enlarged(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return (rows * factor, columns * factor) by cubic convolution (Keys 1981), same borders.

    The outer borders of the image stay where they are, so that pixel centres move.
    """
    if factor == 1:
        return image
    rows, columns = (cubic(length, factor) for length in image.shape)
    return np.asarray(rows @ image @ columns.T, np.float32)


def cubic(length: int, factor: int) -> NDArray[np.float32]:
    """Return (length * factor, length) weights; beyond an end its last pixel goes on."""
    centres = (np.arange(length * factor) + 0.5) / factor - 0.5
    weights = np.zeros((length * factor, length), np.float32)
    for step in (-1, 0, 1, 2):
        neighbour = np.floor(centres).astype(int) + step
        away = np.abs(centres - neighbour)
        near = 1.5 * away**3 - 2.5 * away**2 + 1
        far = -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
        at = np.clip(neighbour, 0, length - 1)
        np.add.at(weights, (np.arange(len(centres)), at), np.where(away <= 1, near, far))
    return weights


def extended(
    stack: NDArray[np.float32], least: tuple[int, ...] | None = None
) -> NDArray[np.float32]:
    """Return (items, rows, columns) filled up at the end to what a network takes.

    The last row and column go on: a black border would be an edge that is none. Without `least`,
    the size of a window, rows and columns become a multiple of `EVEN_TO_PX`.
    """
    have = stack.shape[1:]
    want = [-(-n // EVEN_TO_PX) * EVEN_TO_PX for n in have] if least is None else least
    missing = [(0, max(0, w - h)) for w, h in zip(want, have, strict=True)]
    return np.pad(stack, ((0, 0), *missing), mode="edge")


def kept_mean(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    zero: float,
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return `after` with the mean of `before`, and a note if it had to be set back.

    A mean that has moved by more than `MEAN_WITHIN` of itself is set back by a factor, which
    leaves `zero` as it is: 0 of whatever is counted, and air of what is in HU.

    Raises
    ------
    TaskFailed
        If that factor is too far from 1 to be an offset: then the image is another one.
    """
    old, new = (_mean(array, valid) for array in (before, after))
    if abs(new - old) <= MEAN_WITHIN * abs(old):
        return after, ()
    if not abs(new - old) <= MOST_MOVED * abs(old - zero):
        raise TaskFailed(f"the mean moved from {old:.4g} to {new:.4g}, which is no restoration")
    held = np.asarray(zero + (after - zero) * ((old - zero) / (new - zero)), np.float32)
    if valid is not None:
        held[~valid] = before[~valid]
    return held, (f"the mean had moved from {old:.4g} to {new:.4g} and was set back",)


def _mean(array: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> float:
    counted = array if valid is None or not valid.any() else array[valid]
    return float(counted.mean(dtype=np.float64))
