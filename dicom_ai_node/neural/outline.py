"""Outlines of what a network has found, drawn where the image itself rises.

A network finds a hot spot well and draws its border badly; readers of PET draw it at a fixed part
of the way up to the maximum.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

AROUND_PX = 2
"""How far what counts as the surroundings of a part reaches."""


def outlined(
    found: NDArray[np.bool_], values: NDArray[np.float32], part_of_rise: float
) -> NDArray[np.bool_]:
    """Return `found` with every connected part cut back to where it is hot.

    The threshold of a part lies `part_of_rise` of the way from the median of its surroundings to
    its own maximum, as in A. Schaefer et al., European Journal of Nuclear Medicine and Molecular
    Imaging 35, 2008: 1989. A part that is no hotter than its surroundings stays as it is.

    Parameters
    ----------
    found
        (slices, rows, columns) or (rows, columns).
    values
        Of the same shape, in any unit, more is hotter.
    """
    parts, _ = ndimage.label(found)
    result = np.zeros_like(found)
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        wide = tuple(slice(max(0, s.start - AROUND_PX), s.stop + AROUND_PX) for s in box)
        mine, inside = parts[wide] == number, values[wide]
        around = ndimage.binary_dilation(mine, iterations=AROUND_PX) & (parts[wide] == 0)
        low = float(np.median(inside[around])) if around.any() else 0.0
        top = float(inside[mine].max())
        result[wide] |= mine & ((inside >= low + part_of_rise * (top - low)) | (top <= low))
    return result
