"""How often the nearest pictures are of the same class: what retrieval is measured by."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.training.ranking import Labels

Vectors: TypeAlias = NDArray[np.float64]
"""(pictures, length), one row each; nearer by a larger scalar product."""


def likeness_by_angle(vectors: Vectors) -> NDArray[np.float64]:
    """Return (pictures, pictures) cosines of unit vectors."""
    return np.asarray(vectors @ vectors.T)


def likeness_by_distance(vectors: Vectors) -> NDArray[np.float64]:
    """Return (pictures, pictures) negative squared Euclidean distances."""
    squares = (vectors**2).sum(1)
    return np.asarray(2 * vectors @ vectors.T - squares[:, None] - squares[None, :])


def precisions(
    likeness: NDArray[np.float64], labels: Labels, groups: Sequence[str], count: int
) -> NDArray[np.float64]:
    """Return for every picture which part of its `count` nearest is of its own class.

    Every picture asks once, among all others that are not of its own group: near-duplicates and
    other pictures of the same patient prove nothing.

    Returns
    -------
    NDArray
        (pictures,) in 0..1; NaN where other groups hold fewer than `count` of the class.
    """
    names = np.asarray(groups)
    is_same_group = names[:, None] == names[None, :]
    is_same_class = labels[:, None] == labels[None, :]
    order = np.where(is_same_group, -np.inf, likeness).argsort(axis=1, kind="stable")[:, ::-1]
    nearest = np.take_along_axis(is_same_class, order[:, :count], axis=1)
    can_be_found = (is_same_class & ~is_same_group).sum(1) >= count
    return np.where(can_be_found, nearest.mean(1), np.nan)
