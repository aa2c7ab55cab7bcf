"""A network that looks at an image and at its mirror images, and answers with the mean.

Worth it where a mirror image is as likely as the image, such as of the left and the right side.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import cast

from torch import Tensor

AXES = ("columns", "rows", "slices")
"""Of a grid, the last one first."""


def mirrored(
    network: Callable[[Tensor], object], axes: Sequence[str]
) -> Callable[[Tensor], object]:
    """Return what a network says of an image and all its mirror images, in the mean.

    Parameters
    ----------
    network
        Takes (batch, channels, *grid) and gives one value for every place of the grid; another
        answer is given back as it is.
    axes
        Some of `AXES`, along which an image may be reversed; without any, the network itself comes
        back.
    """
    if not axes:
        return network
    places = [-1 - AXES.index(name) for name in axes]
    ways = [way for n in range(1, len(places) + 1) for way in combinations(places, n)]

    def mean(image: Tensor) -> object:
        total = network(image)
        if not isinstance(total, Tensor) or total.shape[2:] != image.shape[2:]:
            return total
        for way in ways:
            total = total + cast("Tensor", network(image.flip(way))).flip(way)
        return total / (1 + len(ways))

    return mean
