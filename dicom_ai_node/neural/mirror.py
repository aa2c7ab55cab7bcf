"""A network that looks at an image and at its mirror images, and answers with the mean.

Worth it where a mirror image is as likely as the image, such as of the left and the right side.
"""

from collections.abc import Callable, Sequence
from itertools import chain, combinations

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
    ways = list(chain.from_iterable(combinations(places, n) for n in range(len(places) + 1)))

    def mean(image: Tensor) -> object:
        total: Tensor | None = None
        for way in ways:
            answer = network(image.flip(way) if way else image)
            if not isinstance(answer, Tensor) or answer.shape[2:] != image.shape[2:]:
                return answer
            back = answer.flip(way) if way else answer
            total = back if total is None else total + back
        return None if total is None else total / len(ways)

    return mean
